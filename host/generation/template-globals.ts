import { createRequire } from 'node:module';
import { ALLOWED_IMPORTS } from '@beds/sdk';
import { admissionErrors } from '../errors/admission.js';
import { requestErrors } from '../errors/request.js';
import type { Leftovers } from './leftovers.js';
import { type ConsoleLevel, makeTemplateConsole } from './template-console.js';
import { TemplateTimers } from './template-timers.js';

/** What the host is told by the code of a bundle. */
export interface TemplateHooks {
  /** Its code goes on after a timer. */
  readonly onEnter?: (() => void) | undefined;
  /** It printed something. */
  readonly onPrint?: ((level: ConsoleLevel, text: string) => void) | undefined;
}

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
  #isLoaded = false;

  constructor({ onEnter, onPrint = () => undefined }: TemplateHooks = {}) {
    this.#timers = new TemplateTimers(onEnter);
    const { setTimeout, setInterval, setImmediate, clear, promises, abortAfter } = this.#timers;
    const own: Readonly<Record<string, unknown>> = {
      ...Object.fromEntries(HIDDEN_GLOBALS.map((name) => [name, undefined])),
      ...{ setTimeout, setInterval, setImmediate, clearTimeout: clear, clearInterval: clear, clearImmediate: clear },
      ...{ process: makeProcess(() => this.#isLoaded), console: makeTemplateConsole(onPrint) },
      performance: harmlessPerformance,
      AbortSignal: withOwnTimeout(abortAfter),
    };
    // What a bundle stores here is reclaimed with it.
    const global: object = Object.create(realm, describeValues(own)) as object;
    Object.defineProperties(global, describeValues({ globalThis: global, global }));
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
const handedOut = new Map<string, unknown>();
const realm = nodeGlobals();
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

function makeProcess(isLoaded: () => boolean): object {
  const refuse = (name: string) => (): never => {
    throw processForbidden(`Templates may not call process.${name}().`, isLoaded());
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

function processForbidden(words: string, isLoaded: boolean): Error {
  return isLoaded
    ? requestErrors.make('BEDS_REQUEST_PROCESS_FORBIDDEN', words)
    : admissionErrors.make('BEDS_ADMISSION_PROCESS_FORBIDDEN', words);
}

/**
 * An object URL is kept by the process until somebody revokes it; nothing tells which version made it. `isLoaded`: the code
 * has been admitted.
 */
export function refuseObjectUrls(isLoaded = false): void {
  const words = 'Templates may not call URL.createObjectURL(): the process would keep the object for ever.';
  const value = (): never => {
    throw processForbidden(words, isLoaded);
  };
  Object.defineProperty(URL, 'createObjectURL', { value });
}
