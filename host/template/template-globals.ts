import { Console } from 'node:console';
import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';
import { ADMITTED_MARK, ALLOWED_IMPORTS, HIDDEN_GLOBALS } from '#sdk/template';
import { admissionErrors } from '../errors/admission.js';
import { shorten } from '../observe/channels.js';
import { makeFunction } from './code-from-text.js';
import { requestErrors } from '../errors/request.js';
import { type Leftovers, TemplateTimers } from './template-timers.js';

export type ConsoleLevel = 'debug' | 'info' | 'warn' | 'error';

type Method = (...args: unknown[]) => void;

const LEVELS: Readonly<Record<string, ConsoleLevel>> = {
  ...{ debug: 'debug', warn: 'warn', error: 'error', trace: 'error', assert: 'error' },
};

/**
 * The console of one loaded bundle. What it prints is given to `write`, a text for each call: the standard output of the
 * process is the host's log. Node's own console does the formatting; it is made with the first call, as most templates never
 * use one.
 */
function makeTemplateConsole(write: (level: ConsoleLevel, text: string) => void): object {
  let level: ConsoleLevel = 'info';
  let made: Console | undefined;
  const stream = {
    write: (text: string): void => {
      write(level, shorten(text).replace(/\n$/, ''));
    },
  } as unknown as NodeJS.WritableStream;
  const call = (name: string, args: readonly unknown[]): void => {
    made ??= new Console({ stdout: stream, ignoreErrors: false, colorMode: false });
    const method = (made as unknown as Readonly<Record<string, Method | undefined>>)[name];
    level = LEVELS[name] ?? 'info';
    try {
      method?.(...args);
    } catch {
      // A value may throw when it is looked at; on a terminal nobody would expect a log line to fail.
      write(level, 'a value that cannot be shown');
    }
  };
  const names = Object.entries(console).filter(([name, value]) => typeof value === 'function' && name !== 'Console');
  return Object.freeze(
    Object.fromEntries(names.map(([name]) => [name, Object.freeze((...args: unknown[]) => call(name, args))])),
  );
}

/** Reports of bundle code to the host. */
export interface TemplateHooks {
  /** Its code goes on after a timer. */
  readonly onEnter?: (() => void) | undefined;
  /** It printed something. */
  readonly onPrint?: ((level: ConsoleLevel, text: string) => void) | undefined;
  /** It passed admission. Default false. */
  readonly isAdmitted?: boolean;
}

/**
 * What one loaded bundle sees beside the globals of the language. Templates get capabilities through `ctx`, not the network
 * and not the process. What it is given here that lives on by itself is its own, so that it ends with the version. What it
 * shares with others, `sealRealm` has made unchangeable. It is no security boundary all the same
 * (https://nodejs.org/api/vm.html).
 */
export class TemplateGlobals {
  readonly #timers: TemplateTimers;
  /** Parameters of the function that the bundle becomes. */
  readonly byName: Readonly<Record<string, unknown>>;
  #isLoaded = false;

  constructor({ onEnter, onPrint = () => undefined, isAdmitted = false }: TemplateHooks = {}) {
    this.#timers = new TemplateTimers(onEnter);
    const { setTimeout, setInterval, setImmediate, clear, promises, abortAfter } = this.#timers;
    const own: Readonly<Record<string, unknown>> = {
      ...Object.fromEntries(HIDDEN_GLOBALS.map((name) => [name, undefined])),
      ...{ setTimeout, setInterval, setImmediate, clearTimeout: clear, clearInterval: clear, clearImmediate: clear },
      ...{ process: makeProcess(() => this.#isLoaded, onPrint), console: makeTemplateConsole(onPrint) },
      performance: harmlessPerformance,
      AbortSignal: withTimeout(abortAfter),
      Buffer,
      Function: makeFunction(() => this.byName),
      // Libraries that note types of classes keep them here.
      Reflect: Object.create(Object.prototype, Object.getOwnPropertyDescriptors(Reflect)) as unknown,
    };
    // What a bundle stores here is reclaimed with it. n.b. nothing behind it may have what it hides.
    const global: object = Object.create(realm, describeValues(own)) as object;
    Object.defineProperties(global, describeValues({ globalThis: global, global }));
    if (isAdmitted) Object.defineProperty(global, ADMITTED_MARK, { value: true });
    const require = (name: string): unknown => (isTimers(name) ? promises : requireAllowed(name, this.#isLoaded));
    this.byName = { ...own, globalThis: global, global, require };
  }

  /** Its top level is done: what it does from now on is no reason to refuse it, but a fault. */
  loaded(): void {
    this.#isLoaded = true;
  }

  /** Ends what the bundle still runs. */
  end(): Leftovers {
    return this.#timers.end();
  }
}

const hostRequire = createRequire(import.meta.url);
const allowed = new Set<string>(ALLOWED_IMPORTS);
/** What an allowed module has beside computation: it loads native code, changes the process, or shows memory of others. */
export const WITHHELD: ReadonlySet<string> = new Set([
  'setEngine',
  'setFips',
  'fips',
  'SlowBuffer',
  'resolveObjectURL',
]);
/** Names that lead from the globals of Node to what a template has in a form of its own. */
const OWN_NAMES = new Set(['globalThis', 'global', 'process', 'console', 'performance', 'Function', 'Buffer', 'eval']);
const handedOut = new Map<string, unknown>();
const realm = nodeGlobals();
// n.b. what process has is Node's own: the drivers of this thread measure with it.
const harmlessClock = Object.freeze(
  Object.assign((since?: [number, number]) => process.hrtime(since), {
    bigint: Object.freeze(() => process.hrtime.bigint()),
  }),
);
const harmlessPerformance = Object.freeze({ now: () => performance.now(), timeOrigin: performance.timeOrigin });

function isTimers(name: string): boolean {
  return name === 'timers/promises' || name === 'node:timers/promises';
}

/** Modules are copies that cannot be changed: a change would be everybody's, and outlive the version that made it. */
function requireAllowed(name: string, isLoaded: boolean): unknown {
  const full = name.startsWith('node:') ? name : `node:${name}`;
  if (!allowed.has(full)) {
    const words = `Templates may not import '${name.slice(0, 100)}'.`;
    throw isLoaded
      ? requestErrors.make('BEDS_REQUEST_IMPORT_FORBIDDEN', words)
      : admissionErrors.make('BEDS_ADMISSION_IMPORT_FORBIDDEN', words);
  }
  if (!handedOut.has(full)) handedOut.set(full, frozenCopy(hostRequire(full)));
  return handedOut.get(full);
}

/** n.b. events and assert are functions, of which there is no copy. Descriptors, because reading some members warns. */
function frozenCopy(module: unknown): unknown {
  if (typeof module !== 'object' || module === null) return module;
  const members = Object.entries(Object.getOwnPropertyDescriptors(module))
    .filter(([name]) => !WITHHELD.has(name))
    // A setter would change what is behind the copy.
    .map(([name, member]) => [name, member.set === undefined ? member : { ...member, set: undefined }]);
  return Object.freeze(Object.create(Object.prototype, Object.fromEntries(members) as PropertyDescriptorMap));
}

/** Every global of Node by name, read when it is asked for; writing one makes it the writer's own. */
function nodeGlobals(): object {
  const hidden = new Set<string>([...HIDDEN_GLOBALS, ...OWN_NAMES]);
  const names = Object.getOwnPropertyNames(globalThis).filter((name) => !hidden.has(name));
  const describe = (name: string): PropertyDescriptor => ({
    configurable: true,
    get: () => (globalThis as Record<string, unknown>)[name],
    set(this: object, value: unknown) {
      Object.defineProperties(this, describeValues({ [name]: value }));
    },
  });
  const globals: object = Object.create(
    Object.prototype,
    Object.fromEntries(names.map((name) => [name, describe(name)])),
  ) as object;
  // Every template inherits from it.
  return Object.freeze(globals);
}

function describeValues(values: Readonly<Record<string, unknown>>): PropertyDescriptorMap {
  const rest = { writable: true, configurable: true, enumerable: false } as const;
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value, ...rest }]));
}

/** n.b. no proxy: it may not say other than what it stands for where that is frozen. */
export function withTimeout(timeout: (ms: number) => AbortSignal): object {
  const make = function AbortSignal(): never {
    throw new TypeError('Illegal constructor');
  };
  // n.b. what Node knows a target of events by is inherited.
  Object.setPrototypeOf(make, EventTarget);
  const { prototype, abort, any } = Object.getOwnPropertyDescriptors(AbortSignal);
  return Object.freeze(
    Object.defineProperties(make, {
      prototype,
      abort,
      any,
      timeout: { value: timeout },
      name: { value: 'AbortSignal' },
    }),
  );
}

function makeProcess(isLoaded: () => boolean, print: NonNullable<TemplateHooks['onPrint']>): object {
  const refuse = (name: string) => (): never => {
    throw processForbidden(`Templates may not call process.${name}().`, isLoaded());
  };
  const refused = ['exit', 'reallyExit', 'kill', 'abort', 'chdir', 'dlopen', 'binding', 'on', 'once', 'off', 'emit'];
  const stream = (level: ConsoleLevel): object =>
    Object.freeze({ isTTY: false, write: (text: unknown) => (print(level, shorten(String(text)).trimEnd()), true) });
  return Object.freeze({
    ...Object.fromEntries(refused.map((name) => [name, Object.freeze(refuse(name))])),
    env: Object.freeze({}),
    argv: Object.freeze([]),
    execArgv: Object.freeze([]),
    version: process.version,
    versions: Object.freeze({ ...process.versions }),
    platform: process.platform,
    arch: process.arch,
    hrtime: harmlessClock,
    uptime: () => process.uptime(),
    // Packages ask for these in passing.
    ...{ title: 'node', pid: 1, cwd: () => '/', stdout: stream('info'), stderr: stream('error') },
    emitWarning: (warning: unknown) => print('warn', shorten(String(warning))),
    nextTick: (work: (...args: unknown[]) => void, ...args: unknown[]) => process.nextTick(work, ...args),
  });
}

/** `isLoaded`: the code has been admitted. */
export function processForbidden(words: string, isLoaded: boolean): Error {
  return isLoaded
    ? requestErrors.make('BEDS_REQUEST_PROCESS_FORBIDDEN', words)
    : admissionErrors.make('BEDS_ADMISSION_PROCESS_FORBIDDEN', words);
}
