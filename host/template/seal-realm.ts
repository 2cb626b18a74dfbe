import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';
import process from 'node:process';
import stream from 'node:stream';
import { inspect } from 'node:util';
import { ALLOWED_IMPORTS, HIDDEN_GLOBALS } from '#sdk/template';
import { boundCrypto } from './bound-crypto.js';
import { makeFunction } from './code-from-text.js';
import { makeDriverBuffer } from './driver-buffers.js';
import { freezeShared } from './freeze-shared.js';
import { processForbidden, WITHHELD, withTimeout } from './template-globals.js';

/**
 * Leads to modules, to native code, to sockets or to the process itself; neither the host nor a driver uses it in a thread.
 * Templates have a `process` of their own: this is for code that finds the real one after all.
 */
const STRIPPED = [
  ...['getBuiltinModule', 'binding', '_linkedBinding', 'dlopen', 'mainModule', 'moduleLoadList', 'report', 'execve'],
  ...['_getActiveHandles', '_getActiveRequests', '_debugProcess', '_debugEnd', 'loadEnvFile', 'permission'],
  ...['kill', '_kill', 'abort', 'chdir', 'umask', 'setuid', 'setgid', 'seteuid', 'setegid', 'setgroups', 'initgroups'],
] as const;

/** What a regular expression matched last, whoever's it was. */
const LAST_MATCH = [
  ...['input', '$_', 'lastMatch', '$&', 'lastParen', '$+', 'leftContext', '$`', 'rightContext', "$'"],
  ...['$1', '$2', '$3', '$4', '$5', '$6', '$7', '$8', '$9'],
] as const;

/** Global names that templates have in another form than the thread, or not at all. */
const NOT_SHARED = new Set<string>([...HIDDEN_GLOBALS, 'process', 'console', 'global', 'globalThis']);

/** What the host asks for with every request is no accessor. */
const USED_BY_HOST = new Set(['process', 'Buffer', 'performance']);

export interface SealOptions {
  /** Those of objects that templates are handed. */
  readonly classes: readonly { readonly prototype: object }[];
  /** Whether the code that will run has been admitted: what it must not do is a fault then, and no reason to refuse it. */
  readonly isAdmitted: boolean;
}

/**
 * Makes this thread fit for templates, once, when all that it runs by itself is loaded and before it holds a secret. From then
 * on nothing that templates share, with each other and with the drivers, can be changed, and what would lead out is gone. It is no boundary against who knows a hole in V8.
 */
export function sealRealm({ classes, isAdmitted }: SealOptions): void {
  ownMemoryForBuffers();
  refuseOddities(isAdmitted);
  boundCrypto();
  for (const name of STRIPPED) Reflect.deleteProperty(process, name);
  // It would be that of the drivers, too.
  Reflect.deleteProperty(stream, 'setDefaultHighWaterMark');
  // The drivers' own way to make code from text: they compile a reader for the rows of each query.
  globalThis.Function = makeFunction(() => ({}));
  for (const shared of classes) {
    Object.freeze(shared);
    Object.freeze(shared.prototype);
  }
  const names = Object.getOwnPropertyNames(globalThis);
  freezeShared([...names.flatMap(valueOfGlobal), ...allowedModules(), ...samples()], spared());
  names.forEach(fixGlobal);
}

/**
 * Small buffers are cut from one that all code of a thread shares, and memory that is not cleared holds what was in it before:
 * requests of others, passwords. Here every buffer has memory of its own, and it is empty; except for those of the drivers, who
 * find another `Buffer` under the global name.
 */
function ownMemoryForBuffers(): void {
  Buffer.poolSize = 0;
  const allocate = (size: number): Buffer<ArrayBuffer> => Buffer.alloc(size);
  Object.assign(Buffer, { allocUnsafe: allocate, allocUnsafeSlow: allocate });
  Object.defineProperty(globalThis, 'Buffer', { value: makeDriverBuffer() });
}

/** What is older than the care that is taken here, or stops a thread without using it. */
function refuseOddities(isAdmitted: boolean): void {
  const refuse = (message: string) => (): never => {
    throw processForbidden(message, isAdmitted);
  };
  for (const name of LAST_MATCH) {
    const get = refuse(`Templates may not read RegExp['${name}'], which other code sets too: use what exec() returns.`);
    Object.defineProperty(RegExp, name, { get, set: () => undefined });
  }
  // It would be handed the functions and objects of every caller. Libraries that set it go on without.
  Object.defineProperty(Error, 'prepareStackTrace', { get: () => undefined, set: () => undefined });
  Object.defineProperty(Atomics, 'wait', {
    value: refuse('Templates may not call Atomics.wait(): it stops the thread.'),
  });
  // Templates have one that ends with them; this one would keep what waits for it until its time has come.
  const timeout = refuse('Templates call AbortSignal.timeout() by this name.');
  Object.defineProperty(AbortSignal.prototype, 'constructor', { value: withTimeout(timeout) });
  // The process keeps the object until somebody revokes it; nothing tells which version made it.
  Object.defineProperty(URL, 'createObjectURL', { value: refuse('Templates may not call URL.createObjectURL().') });
}

function valueOfGlobal(name: string): readonly unknown[] {
  return NOT_SHARED.has(name) ? [] : [Object.getOwnPropertyDescriptor(globalThis, name)?.value];
}

/** n.b. with what Node makes when it is asked for. Reading what is withheld would warn. */
function allowedModules(): readonly unknown[] {
  const require = createRequire(import.meta.url);
  return ALLOWED_IMPORTS.flatMap((name) => {
    const module = require(name) as Readonly<Record<string, unknown>>;
    const names = Object.getOwnPropertyNames(module).filter((member) => !WITHHELD.has(member));
    const values = names.map((member) => module[member]);
    return typeof module === 'function' ? [module, ...values] : values;
  });
}

/** Prototypes that no name leads to. */
function samples(): readonly unknown[] {
  const iterators = [[].values(), new Map().values(), new Set().values(), ''[Symbol.iterator](), ''.matchAll(/x/g)];
  const functions = [async () => Promise.resolve(), ...Object.values(SAMPLE)];
  // Iterators that are made of iterators, where there are such.
  const { Iterator } = globalThis as { readonly Iterator?: { from(of: object): { map(by: () => void): unknown } } };
  const wrapped = Iterator?.from({ next: () => ({ done: true }) });
  // n.b. its setter writes into this one.
  const options = inspect.defaultOptions;
  return [Buffer, options, ...iterators, ...functions, wrapped, wrapped?.map(() => undefined)];
}

const SAMPLE = {
  *values(): Generator<number> {
    yield 1;
  },
  async *ticks(): AsyncGenerator<number> {
    yield Promise.resolve(1);
  },
};

function spared(): readonly unknown[] {
  // n.b. with any change of this prototype V8 leaves its fast path: `replace` and `split` then take ten times as long.
  return [globalThis, process, console, RegExp.prototype];
}

/** Code that sets a global by its bare name sets everybody's. */
function fixGlobal(name: string): void {
  const global = Object.getOwnPropertyDescriptor(globalThis, name);
  if (global?.configurable !== true) return;
  const make = global.get?.bind(globalThis);
  if (make === undefined || USED_BY_HOST.has(name)) {
    const value: unknown = (globalThis as Record<string, unknown>)[name];
    Object.defineProperty(globalThis, name, { value, writable: false, configurable: false });
    return;
  }
  // Node makes most of its classes when they are asked for: then they are frozen, too.
  const first = (): unknown => {
    const value: unknown = make();
    if (!NOT_SHARED.has(name)) freezeShared([value], spared());
    Object.defineProperty(globalThis, name, { get: () => value, configurable: false });
    return value;
  };
  Reflect.deleteProperty(globalThis, name);
  Object.defineProperty(globalThis, name, { get: first, enumerable: global.enumerable === true, configurable: true });
}
