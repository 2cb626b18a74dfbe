import { randomUUID } from 'node:crypto';
import type { CallOptions } from '../client/domain-client.js';
import { boundValue, rowsOf, type User } from '../template/access.js';
import { compileArguments } from '../template/check-values.js';
import type {
  Affected,
  CallResult,
  DomainCaller,
  TemplateContext,
  TemplateLog,
  TransactionScope,
} from '../template/context.js';
import type { Json, JsonObject } from '../template/json.js';
import type { ObjectManifest, Returns } from '../template/manifest.js';
import type { Template } from '../template/namaste-core.js';
import type { Page, ViewQuery } from '../template/query.js';
import { compileReturns, type RoutineRows } from '../template/returns.js';
import type { ValueDescription } from '../template/values.js';
import { hostError } from './host-errors.js';
import { readRows } from './read-rows.js';
import { testingErrors } from './testing-errors.js';

/** What stands in for a routine: its row, its rows, its value, or what `affected` says. */
export type FakeRoutine = (args: JsonObject) => unknown;
/** What stands in for an operation of another domain: it gets what the code passes. */
export type FakeOperation = (...input: readonly never[]) => unknown;

/** What stands in for the store and for other domains. */
export interface Fakes {
  readonly objects: Readonly<Record<string, FakeRoutine>>;
  readonly views: Readonly<Record<string, readonly JsonObject[]>>;
  readonly peers: Readonly<Record<string, Readonly<Record<string, FakeOperation | undefined>>>>;
}

/** One call of a named object that the template made. */
export interface RecordedCall {
  readonly alias: string;
  /** As the routine got them: defaults filled in. */
  readonly args: JsonObject;
}

export interface LogLine {
  readonly level: keyof TemplateLog;
  readonly message: string;
  readonly fields: JsonObject;
}

/** What a test can look at afterwards. */
interface Recording {
  readonly calls: RecordedCall[];
  readonly log: LogLine[];
}

const DEFAULT_DEADLINE_MS = 10_000;

function undeclared(what: string): Error {
  return hostError('BEDS_REQUEST_UNDECLARED', `The template does not declare ${what}.`);
}

type Routine = Exclude<ObjectManifest, { kind: 'view' }>;

/** What a store gives where a fake answers as the code is answered. */
function toRows({ kind, returns }: Routine, result: unknown): RoutineRows {
  if (kind === 'function') return { rows: [{ value: (result ?? null) as Json }], sets: [], affected: 0 };
  if (returns === undefined) {
    const affected = typeof result === 'number' ? result : ((result as Partial<Affected> | undefined)?.affected ?? 0);
    return { rows: [], sets: [], affected };
  }
  const sets = (isSets(returns) ? (result as readonly unknown[]) : [result]).map((set) => {
    if (set === undefined || set === null) return [];
    return (Array.isArray(set) ? set : [set]) as readonly JsonObject[];
  });
  return { rows: sets[0] ?? [], sets, affected: 0 };
}

function isSets(returns: Returns): returns is readonly ValueDescription[] {
  return Array.isArray(returns);
}

/** Calls and views of the declared objects, answered by the fakes. */
function scopeOf({ template, fakes, recording, user }: TestSources): TransactionScope {
  const { objects, key } = template.definition;
  const declared = (alias: string): ObjectManifest => {
    const object = Object.hasOwn(objects, alias) ? objects[alias] : undefined;
    if (object === undefined) throw undeclared(`an object named ${alias}`);
    return object;
  };
  return {
    call: async (alias: string, args: JsonObject = {}): Promise<CallResult> => {
      const routine = declared(alias);
      if (routine.kind === 'view') throw undeclared(`a routine named ${alias}`);
      const checked = compileArguments(routine.args)(args);
      if (!checked.ok) {
        const { field, message } = checked.problem;
        throw hostError('BEDS_REQUEST_INVALID', `${field} ${message}.`, { field });
      }
      const passed = throughJson({ ...checked.value, ...boundOf(routine, user) });
      recording.calls.push({ alias, args: passed });
      const fake = fakes.objects[alias];
      if (fake === undefined) throw testingErrors.make('BEDS_TESTING_NO_FAKE', `objects.${alias} is not given.`);
      const read = compileReturns(routine)(toRows(routine, await fake(passed)));
      if ('value' in read) return read.value;
      const { field, message } = read.problem;
      throw hostError('BEDS_STORE_VALUE_UNFIT', `${routine.name}: ${field} ${message}.`, { field });
    },
    view: async (alias: string, query: ViewQuery = {}): Promise<Page> => {
      const view = declared(alias);
      if (view.kind !== 'view') throw undeclared(`a view named ${alias}`);
      const rows = fakes.views[alias];
      if (rows === undefined) throw testingErrors.make('BEDS_TESTING_NO_FAKE', `views.${alias} is not given.`);
      const bound = view.where === undefined ? undefined : rowsOf(requireUser(user), view.where);
      return readRows({ columns: view.columns, key, rows, bound }, query);
    },
  };
}

/** Who must be signed in for what is bound to the user. */
export function requireUser(user: User | undefined): User {
  if (user !== undefined) return user;
  throw hostError('BEDS_REQUEST_SIGN_IN', 'Nobody is signed in.');
}

function boundOf({ bind = {} }: Routine, user: User | undefined): JsonObject {
  const entries = Object.entries(bind).map(([name, bound]) => {
    const value = boundValue(requireUser(user), bound);
    if (value === undefined) throw hostError('BEDS_REQUEST_FORBIDDEN', 'The user may not do this.');
    return [name, value] as const;
  });
  return Object.fromEntries(entries);
}

function domainCaller(template: Template, fakes: Fakes, name: string): DomainCaller {
  if (!template.definition.peers.includes(name)) throw undeclared(`that it calls domain ${name}`);
  const peer = fakes.peers[name] ?? {};
  const ask = async (operation: string, ...input: readonly unknown[]): Promise<unknown> => {
    const fake = peer[operation];
    if (fake === undefined)
      throw testingErrors.make('BEDS_TESTING_NO_FAKE', `peers.${name}.${operation} is not given.`);
    return throughJson(await fake(...(throughJson(input) as readonly never[])));
  };
  return {
    create: async (payload) => (await ask('create', payload)) as JsonObject,
    fetch: async (query) => (await ask('fetch', query)) as Page,
    update: async (key, payload) => (await ask('update', key, payload)) as JsonObject,
    delete: async (key) => (await ask('delete', key)) as JsonObject,
    call: async (operation, input = {}) => (await ask(operation, input)) as Json,
  };
}

/** What travels is JSON text, in and out. */
export function throughJson<V>(value: V): V {
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as V);
}

/** What a context is made of. */
export interface TestSources {
  readonly template: Template;
  readonly fakes: Fakes;
  readonly recording: Recording;
  /** Who is signed in. */
  readonly user: User | undefined;
}

/** The context of one operation, as code sees it in a host. Transactions run their work, but do not roll the fakes back. */
export function testContext(sources: TestSources, operation: string, options: CallOptions = {}): TemplateContext {
  const { template, fakes, recording, user } = sources;
  const { domain, version } = template.definition;
  const {
    deadlineMs = DEFAULT_DEADLINE_MS,
    idempotencyKey,
    traceparent,
    signal = AbortSignal.timeout(deadlineMs),
  } = options;
  const expiresAtMs = performance.now() + deadlineMs;
  const scope = scopeOf(sources);
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: JsonObject = {}): void => {
      recording.log.push({ level, message, fields });
    };
  return {
    ...scope,
    self: { domain, version, generation: 1, operation, installation: 'test' },
    requestId: randomUUID(),
    client: 'test',
    user,
    idempotencyKey,
    traceparent,
    signal,
    deadline: {
      get remainingMs() {
        return expiresAtMs - performance.now();
      },
    },
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    domain: (name) => domainCaller(template, fakes, name),
    transaction: (work) => work(scope),
  };
}
