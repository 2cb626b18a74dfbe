import { createRequire } from 'node:module';
import { ALLOWED_IMPORTS } from '@beds/sdk';
import { admissionErrors } from '../errors/admission.js';

/**
 * What template code sees beside the globals of the language. Templates get capabilities through `ctx`, not the network and
 * not the process. This keeps mistakes from doing harm; it is no security boundary: code that wants out gets out (https://nodejs.org/api/vm.html).
 */
export interface TemplateGlobals {
  readonly require: (name: string) => unknown;
  readonly process: object;
}

/** Names that exist in Node and are undefined inside a template. */
export const HIDDEN_GLOBALS = ['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest', 'BroadcastChannel'] as const;

const hostRequire = createRequire(import.meta.url);
const allowed = new Set<string>(ALLOWED_IMPORTS);

/** One frozen set for all templates of this thread: it holds nothing of any of them. */
export const templateGlobals: TemplateGlobals = Object.freeze({
  require: Object.freeze(requireAllowed),
  process: harmlessProcess(),
});

function requireAllowed(name: string): unknown {
  const full = name.startsWith('node:') ? name : `node:${name}`;
  if (allowed.has(full)) return hostRequire(full);
  throw admissionErrors.make('BEDS_ADMISSION_IMPORT_FORBIDDEN', `Templates may not import '${name.slice(0, 100)}'.`);
}

function harmlessProcess(): object {
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
