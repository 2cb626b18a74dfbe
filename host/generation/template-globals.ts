import { createRequire } from 'node:module';
import { ALLOWED_IMPORTS } from '@beds/sdk';
import { admissionErrors } from '../errors/admission.js';
import type { Leftovers } from './leftovers.js';
import { TemplateTimers } from './template-timers.js';

/**
 * Names that exist in Node and are undefined inside a template: the network, and what would keep a version in memory
 * from outside without the host knowing of it.
 */
export const HIDDEN_GLOBALS = [
  ...['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'],
  ...['BroadcastChannel', 'MessageChannel', 'MessagePort', 'PerformanceObserver'],
  ...['navigator', 'localStorage', 'sessionStorage', 'gc'],
] as const;

/**
 * What one loaded bundle sees beside the globals of the language. Templates get capabilities through `ctx`, not the network
 * and not the process. What it is given here that lives on by itself is its own, so that it ends with the version. This
 * keeps mistakes from doing harm; it is no security boundary: code that wants out gets out (https://nodejs.org/api/vm.html).
 */
export class TemplateGlobals {
  readonly #timers: TemplateTimers;
  /** Parameters of the function that the bundle becomes. */
  readonly byName: Readonly<Record<string, unknown>>;

  /** `onEnter` is called before code of the bundle goes on after a timer. */
  constructor(onEnter?: () => void) {
    this.#timers = new TemplateTimers(onEnter);
    const { setTimeout, setInterval, setImmediate, clear, promises, abortAfter } = this.#timers;
    const own: Readonly<Record<string, unknown>> = {
      ...Object.fromEntries(HIDDEN_GLOBALS.map((name) => [name, undefined])),
      ...{ setTimeout, setInterval, setImmediate, clearTimeout: clear, clearInterval: clear, clearImmediate: clear },
      ...{ process: harmlessProcess, console: harmlessConsole, performance: harmlessPerformance },
      AbortSignal: withOwnTimeout(abortAfter),
    };
    // What a bundle stores here is reclaimed with it.
    const global: object = Object.create(realm, describeValues(own)) as object;
    Object.defineProperties(global, describeValues({ globalThis: global, global }));
    const require = (name: string): unknown => (isTimers(name) ? promises : requireAllowed(name));
    this.byName = { ...own, globalThis: global, global, require };
  }

  /** Ends what the bundle still runs. */
  end(): Leftovers {
    return this.#timers.end();
  }
}

const hostRequire = createRequire(import.meta.url);
const allowed = new Set<string>(ALLOWED_IMPORTS);
const handedOut = new Map<string, unknown>();
const realm = nodeGlobals();
const harmlessProcess = makeProcess();
const harmlessPerformance = Object.freeze({ now: () => performance.now(), timeOrigin: performance.timeOrigin });
/** n.b. the methods are bound already; what is left out leads to the streams of the process. */
const harmlessConsole = Object.freeze(
  Object.fromEntries(
    Object.entries(console).filter(([name, value]) => typeof value === 'function' && name !== 'Console'),
  ),
);

function isTimers(name: string): boolean {
  return name === 'timers/promises' || name === 'node:timers/promises';
}

/** Modules are copies that cannot be changed: a change would be everybody's, and outlive the version that made it. */
function requireAllowed(name: string): unknown {
  const full = name.startsWith('node:') ? name : `node:${name}`;
  if (!allowed.has(full)) {
    throw admissionErrors.make('BEDS_ADMISSION_IMPORT_FORBIDDEN', `Templates may not import '${name.slice(0, 100)}'.`);
  }
  if (!handedOut.has(full)) handedOut.set(full, frozenCopy(hostRequire(full)));
  return handedOut.get(full);
}

/** n.b. events and assert are functions, of which there is no copy. Descriptors, because reading some members warns. */
function frozenCopy(module: unknown): unknown {
  if (typeof module !== 'object' || module === null) return module;
  return Object.freeze(Object.create(Object.prototype, Object.getOwnPropertyDescriptors(module)));
}

/** Every global of Node by name, read when it is asked for; writing one makes it the writer's own. */
function nodeGlobals(): object {
  const names = Object.getOwnPropertyNames(globalThis);
  const describe = (name: string): PropertyDescriptor => ({
    configurable: true,
    get: () => (globalThis as Record<string, unknown>)[name],
    set(this: object, value: unknown) {
      Object.defineProperties(this, describeValues({ [name]: value }));
    },
  });
  return Object.create(Object.prototype, Object.fromEntries(names.map((name) => [name, describe(name)]))) as object;
}

function describeValues(values: Readonly<Record<string, unknown>>): PropertyDescriptorMap {
  const rest = { writable: true, configurable: true, enumerable: false } as const;
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value, ...rest }]));
}

function withOwnTimeout(timeout: (ms: number) => AbortSignal): typeof AbortSignal {
  return new Proxy(AbortSignal, {
    get: (target, key) => (key === 'timeout' ? timeout : (Reflect.get(target, key) as unknown)),
    set: () => false,
    defineProperty: () => false,
  });
}

function makeProcess(): object {
  const refuse = (name: string) => (): never => {
    throw admissionErrors.make('BEDS_ADMISSION_PROCESS_FORBIDDEN', `Templates may not call process.${name}().`);
  };
  const refused = ['exit', 'reallyExit', 'kill', 'abort', 'chdir', 'dlopen', 'binding', 'on', 'once', 'off', 'emit'];
  return Object.freeze({
    ...Object.fromEntries(refused.map((name) => [name, Object.freeze(refuse(name))])),
    env: Object.freeze({}),
    argv: Object.freeze([]),
    execArgv: Object.freeze([]),
    version: process.version,
    versions: Object.freeze({ ...process.versions }),
    platform: process.platform,
    arch: process.arch,
    hrtime: process.hrtime,
    uptime: () => process.uptime(),
    nextTick: (work: (...args: unknown[]) => void, ...args: unknown[]) => process.nextTick(work, ...args),
  });
}

/** An object URL is kept by the process until somebody revokes it; nothing tells which version made it. */
export function refuseObjectUrls(): void {
  const value = (): never => {
    throw admissionErrors.make(
      'BEDS_ADMISSION_PROCESS_FORBIDDEN',
      'Templates may not call URL.createObjectURL(): the process would keep the object for ever.',
    );
  };
  Object.defineProperty(URL, 'createObjectURL', { value });
}
