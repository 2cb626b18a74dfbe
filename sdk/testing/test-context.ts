import { randomUUID } from 'node:crypto';
import type { CallOptions } from '../client/domain-client.js';
import { compileChecker } from '../template/check-values.js';
import type { CallResult, DomainCaller, TemplateContext, TemplateLog, TransactionScope } from '../template/context.js';
import type { JsonObject } from '../template/json.js';
import type { ObjectManifest } from '../template/manifest.js';
import type { Template } from '../template/namaste-core.js';
import type { Page, ViewQuery } from '../template/query.js';
import { hostError } from './host-errors.js';
import { readRows } from './read-rows.js';
import { testingErrors } from './testing-errors.js';

/** What stands in for a routine: its rows, or the number of rows it changed, or both as a `CallResult`. */
export type FakeResult = readonly JsonObject[] | number | Partial<CallResult> | undefined;
export type FakeRoutine = (args: JsonObject) => FakeResult | Promise<FakeResult>;

/** What stands in for the store and for other domains. */
export interface Fakes {
  readonly objects: Readonly<Record<string, FakeRoutine>>;
  readonly views: Readonly<Record<string, readonly JsonObject[]>>;
  readonly domains: Readonly<Record<string, Partial<DomainCaller>>>;
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
export interface Recording {
  readonly calls: RecordedCall[];
  readonly log: LogLine[];
}

const DEFAULT_DEADLINE_MS = 10_000;

function undeclared(what: string): Error {
  return hostError('BEDS_REQUEST_UNDECLARED', `The template does not declare ${what}.`);
}

function toCallResult(result: FakeResult): CallResult {
  if (result === undefined) return { rows: [], sets: [], affected: 0 };
  if (typeof result === 'number') return { rows: [], sets: [], affected: result };
  if (Array.isArray(result))
    return { rows: result as readonly JsonObject[], sets: [result as readonly JsonObject[]], affected: 0 };
  const { rows = [], sets = [rows], affected = 0 } = result as Partial<CallResult>;
  return { rows, sets, affected };
}

/** Calls and views of the declared objects, answered by the fakes. */
function scopeOf(template: Template, fakes: Fakes, recording: Recording): TransactionScope {
  const { objects, key } = template.definition;
  const declared = <K extends ObjectManifest['kind']>(alias: string, kind: K): Extract<ObjectManifest, { kind: K }> => {
    const object = Object.hasOwn(objects, alias) ? objects[alias] : undefined;
    if (object?.kind !== kind) throw undeclared(`a ${kind} named ${alias}`);
    return object as Extract<ObjectManifest, { kind: K }>;
  };
  return {
    call: async (alias: string, args: JsonObject = {}): Promise<CallResult> => {
      const checked = compileChecker(declared(alias, 'routine').args)(args);
      if (!checked.ok) {
        const { field, message } = checked.problem;
        throw hostError('BEDS_REQUEST_INVALID', `${field} ${message}.`, { field });
      }
      recording.calls.push({ alias, args: checked.value });
      const fake = fakes.objects[alias];
      if (fake === undefined) throw testingErrors.make('BEDS_TESTING_NO_FAKE', `objects.${alias} is not given.`);
      return toCallResult(await fake(checked.value));
    },
    view: async (alias: string, query: ViewQuery = {}): Promise<Page> => {
      const { columns } = declared(alias, 'view');
      const rows = fakes.views[alias];
      if (rows === undefined) throw testingErrors.make('BEDS_TESTING_NO_FAKE', `views.${alias} is not given.`);
      return readRows({ columns, key, rows }, query);
    },
  };
}

function domainCaller(template: Template, fakes: Fakes, name: string): DomainCaller {
  if (!template.definition.domains.includes(name)) throw undeclared(`that it calls domain ${name}`);
  const fake = fakes.domains[name] ?? {};
  const missing = (method: string): never => {
    throw testingErrors.make('BEDS_TESTING_NO_FAKE', `domains.${name}.${method} is not given.`);
  };
  return {
    create: async (payload) => (fake.create === undefined ? missing('create') : fake.create(payload)),
    fetch: async (query) => (fake.fetch === undefined ? missing('fetch') : fake.fetch(query)),
    update: async (payload) => (fake.update === undefined ? missing('update') : fake.update(payload)),
    delete: async (id) => (fake.delete === undefined ? missing('delete') : fake.delete(id)),
    call: async (operation, input) => (fake.call === undefined ? missing('call') : fake.call(operation, input)),
  };
}

/** The context of one operation, as code sees it in a host. Transactions run their work, but do not roll the fakes back. */
export function testContext(
  { template, fakes, recording }: { readonly template: Template; readonly fakes: Fakes; readonly recording: Recording },
  operation: string,
  options: CallOptions = {},
): TemplateContext {
  const { domain, version } = template.definition;
  const {
    deadlineMs = DEFAULT_DEADLINE_MS,
    idempotencyKey,
    session,
    signal = AbortSignal.timeout(deadlineMs),
  } = options;
  const expiresAtMs = performance.now() + deadlineMs;
  const scope = scopeOf(template, fakes, recording);
  const write =
    (level: LogLine['level']) =>
    (message: string, fields: JsonObject = {}): void => {
      recording.log.push({ level, message, fields });
    };
  return {
    ...scope,
    self: { domain, version, generation: 1, operation },
    requestId: randomUUID(),
    client: 'test',
    session,
    idempotencyKey,
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
