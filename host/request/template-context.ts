import {
  type BoundArgument,
  type CallResult,
  type DomainCaller,
  isBedsError,
  type Json,
  type JsonObject,
  type OperationMode,
  type Page,
  type RoutineRows,
  type TemplateContext,
  type TemplateLog,
  type TransactionScope,
  type ViewQuery,
} from '@beds/sdk';
import { boundValue, rowsOf } from '#sdk/template';
import { requestErrors } from '../errors/request.js';
import { storeErrors } from '../errors/store.js';
import { publishTemplateLog, type TemplateLogEvent } from '../observe/channels.js';
import type { Span } from '../observe/trace.js';
import { spanOfCall, spanOfPeer, spanOfTransaction } from './spans.js';
import type { OperationResult } from './encode.js';
import { isOfCaller, MAX_UNCOUNTED } from './observations.js';
import { invalidQuery, type Operation, type OperationInput } from './operation.js';
import { type Authority, type RequestScope, requireUser } from './request-scope.js';
import { noteHanded, type ServingGeneration } from './serving-generation.js';
import type { AdapterScope, CallOptions, KeyedQuery, NamedObject } from '../stores/contract.js';

/** What a context needs from the request path. */
export interface ContextHost {
  /** Runs an operation of another domain, here or on the node that serves it, under the same scope. */
  invoke(call: DomainCall): Promise<OperationResult>;
  /** `amqp.prefix`. */
  readonly installation: string;
  /** Most rows in one page: `limits.maxPageRows`. */
  readonly maxPageRows: number;
  /** Notes whose code is about to run, by the id of its generation: a thread that stops answering can be blamed on it. */
  readonly entering: (generation: number) => void;
}

export interface DomainCall {
  readonly domain: string;
  readonly op: string;
  readonly input: OperationInput;
  readonly scope: RequestScope;
  /** Of the operation that calls: a read may be repeated, so it must not lead to a write. */
  readonly mode: OperationMode;
  readonly depth: number;
  readonly authority: Authority;
  /** Of this call. Absent: it is not traced. */
  readonly span?: Span | undefined;
}

export interface ContextOptions {
  readonly host: ContextHost;
  readonly generation: ServingGeneration;
  readonly operation: Pick<Operation, 'name' | 'mode'> & Partial<Pick<Operation, 'usage'>>;
  readonly scope: RequestScope;
  /** How many domains called each other to get here. */
  readonly depth: number;
  /** In whose name it runs. Absent: in that of who asks. */
  readonly authority?: Authority | undefined;
  /** What it is a part of. Absent: it is not traced. */
  readonly span?: Span | undefined;
}

/** What code may know of its scope. n.b. the scope itself says who is signed in, and by what token. */
export class RequestDeadline {
  readonly #scope: RequestScope;

  constructor(scope: RequestScope) {
    this.#scope = scope;
  }

  get remainingMs(): number {
    return this.#scope.remainingMs;
  }
}

/** The capabilities handed to template code for one request. */
export class RequestContext implements TemplateContext {
  readonly #options: ContextOptions;

  constructor(options: ContextOptions) {
    this.#options = options;
    if (options.operation.mode === 'write') options.scope.mayHaveWritten();
  }

  get self(): TemplateContext['self'] {
    const { host, generation, operation } = this.#options;
    return {
      domain: generation.domain,
      version: generation.version,
      generation: generation.id,
      operation: operation.name,
      installation: host.installation,
    };
  }

  get requestId(): string {
    return this.#options.scope.requestId;
  }

  get client(): string | undefined {
    return this.#options.scope.client;
  }

  get user(): TemplateContext['user'] {
    return this.#authority.user;
  }

  get #authority(): Authority {
    return this.#options.authority ?? this.#options.scope;
  }

  get idempotencyKey(): string | undefined {
    return this.#options.scope.idempotencyKey;
  }

  get traceparent(): string | undefined {
    const { scope, span } = this.#options;
    return span === undefined ? scope.traceparent : span.traceparent;
  }

  get signal(): AbortSignal {
    return this.#options.scope.signal;
  }

  get deadline(): { readonly remainingMs: number } {
    return new RequestDeadline(this.#options.scope);
  }

  get log(): TemplateLog {
    const write =
      (level: TemplateLogEvent['level']) =>
      (message: string, fields: JsonObject = {}): void => {
        const { domain, version } = this.#options.generation;
        const { requestId, traceparent } = this;
        publishTemplateLog({ level, domain, version, requestId, traceparent, message, fields });
      };
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  async call(alias: string, args: JsonObject = {}): Promise<CallResult> {
    const object = this.#object(alias);
    const checked = this.#checkArgs(alias, args);
    const options = this.#callOptions();
    const { scope, generation, span } = this.#options;
    const isWrite = options.mode === 'write';
    if (isWrite) scope.beginsWrite();
    const calling = span === undefined ? undefined : spanOfCall(span, object, generation.adapter);
    let isGood = false;
    try {
      const rows = await generation.adapter.call(object, checked, options);
      isGood = true;
      return this.#read(alias, rows);
    } catch (error) {
      isGood = isOfCaller(error);
      calling?.end(error);
      if (isWrite && callKeptNothing(error, object)) scope.keptNothing();
      scope.failedAt(generation.adapter.store);
      this.#handed(error);
      throw error;
    } finally {
      calling?.end();
      if (isWrite) scope.writeEnded();
      this.#ended(alias, options, isGood);
    }
  }

  async view(alias: string, query: ViewQuery = {}): Promise<Page> {
    const object = this.#object(alias);
    const keyed = this.#keyed(alias, query);
    const options = this.#callOptions();
    const { generation, scope, span } = this.#options;
    const isShared = generation.sharedViews.has(alias) && scope.mayShare;
    const reading = span === undefined ? undefined : spanOfCall(span, object, generation.adapter);
    let isGood = false;
    try {
      const page = await (isShared
        ? this.#shared({ alias, query, object, keyed })
        : generation.adapter.view(object, keyed, options));
      reading?.set('db.response.returned_rows', page.rows.length);
      isGood = true;
      return this.#readPage(alias, page);
    } catch (error) {
      isGood = isOfCaller(error);
      reading?.end(error);
      scope.failedAt(generation.adapter.store);
      this.#handed(error);
      throw error;
    } finally {
      reading?.end();
      this.#ended(alias, options, isGood);
    }
  }

  /** n.b. a method of its own: the functions that it makes would cost every read. */
  #shared({ alias, query, object, keyed }: SharedView): Promise<Page> {
    const { generation, scope, operation } = this.#options;
    const begin = (timeoutMs: number): Promise<Page> =>
      generation.adapter.view(object, keyed, { timeoutMs, mode: operation.mode, holder: scope });
    // n.b. users with rows of their own share nothing with each other.
    const asked = keyed.rows === undefined ? query : [query, keyed.rows];
    return generation.sharedReads.read({ alias, asked, scope, begin });
  }

  async transaction<T>(work: (scope: TransactionScope) => Promise<T>): Promise<T> {
    const options = this.#callOptions();
    const { scope, generation, span } = this.#options;
    const isWrite = options.mode === 'write';
    if (isWrite) scope.beginsWrite();
    const whole = span === undefined ? undefined : spanOfTransaction(span, generation.adapter);
    try {
      return await generation.adapter.transaction((calls) => work(this.#inside(calls, whole)), options);
    } catch (error) {
      whole?.end(error);
      if (isWrite && transactionKeptNothing(error)) scope.keptNothing();
      scope.failedAt(generation.adapter.store);
      throw error;
    } finally {
      whole?.end();
      if (isWrite) scope.writeEnded();
      this.#entering();
    }
  }

  /** The calls of a transaction, by alias. */
  #inside(calls: AdapterScope, whole: Span | undefined): TransactionScope {
    const { adapter } = this.#options.generation;
    return {
      call: async (alias, args = {}) => {
        const object = this.#object(alias);
        const checked = this.#checkArgs(alias, args);
        const span = whole === undefined ? undefined : spanOfCall(whole, object, adapter);
        return this.#read(alias, await this.#inTransaction({ alias, span }, calls.call(object, checked)));
      },
      view: async (alias, query = {}) => {
        const object = this.#object(alias);
        const keyed = this.#keyed(alias, query);
        const span = whole === undefined ? undefined : spanOfCall(whole, object, adapter);
        return this.#readPage(alias, await this.#inTransaction({ alias, span }, calls.view(object, keyed)));
      },
    };
  }

  async #inTransaction<T>({ alias, span }: TransactionCall, calling: Promise<T>): Promise<T> {
    const startedAtMs = performance.now();
    let isGood = false;
    try {
      const result = await calling;
      isGood = true;
      return result;
    } catch (error) {
      isGood = isOfCaller(error);
      span?.end(error);
      this.#handed(error);
      throw error;
    } finally {
      span?.end();
      this.#count(alias, performance.now() - startedAtMs, isGood);
      this.#entering();
    }
  }

  /** A call of an object has ended: it is counted, and the template's code goes on. n.b. its timeout tells when it began. */
  #ended(alias: string, { timeoutMs }: CallOptions, isGood: boolean): void {
    this.#count(alias, performance.now() - (this.#options.scope.expiresAtMs - timeoutMs), isGood);
    this.#entering();
  }

  #count(alias: string, ms: number, isGood: boolean): void {
    const { usage } = this.#options.operation;
    const counts = usage?.objects.get(alias);
    const times = isGood ? counts?.good : counts?.failed;
    if (times !== undefined && times.length < MAX_UNCOUNTED) times.push(ms);
    else usage?.called(alias, ms, isGood);
  }

  domain(name: string): DomainCaller {
    const { generation, host, operation, scope, depth, span: parent } = this.#options;
    if (!generation.source.manifest.peers.includes(name)) {
      throw requestErrors.make(
        'BEDS_REQUEST_UNDECLARED',
        `The template does not declare that it calls domain ${name}.`,
      );
    }
    const isOwn = generation.source.manifest.asDomain?.includes(name) === true;
    const authority = isOwn ? { user: undefined, asDomain: generation.domain, isHost: false } : this.#authority;
    const invoke = (op: string, input: OperationInput): Promise<OperationResult> => {
      const span = parent === undefined ? undefined : spanOfPeer(parent, name, op);
      const call = { domain: name, op, input, scope, mode: operation.mode, depth: depth + 1, authority, span };
      return this.#returning(host.invoke(call), span);
    };
    const record = async (op: string, input: OperationInput): Promise<JsonObject> =>
      (await invoke(op, input)).data as JsonObject;
    return {
      create: (payload) => record('create', { payload }),
      fetch: async (query) => {
        const { data, cursor, count } = await invoke('fetch', 'key' in query ? { key: query.key } : { query });
        return {
          rows: data as unknown as JsonObject[],
          ...(cursor === undefined ? {} : { cursor }),
          ...(count === undefined ? {} : { count }),
        };
      },
      update: (key, payload) => record('update', { key, payload }),
      delete: (key) => record('delete', { key }),
      call: async (operation, input): Promise<Json> =>
        (await invoke(operation, input === undefined ? {} : { payload: input })).data,
    };
  }

  #object(alias: string): NamedObject {
    const { objects } = this.#options.generation.source;
    const object = Object.hasOwn(objects, alias) ? objects[alias] : undefined;
    if (object === undefined) {
      throw requestErrors.make('BEDS_REQUEST_UNDECLARED', `The template does not declare an object named ${alias}.`);
    }
    return object;
  }

  #keyed(alias: string, query: ViewQuery): KeyedQuery {
    // n.b. these are the host's to say.
    if ('key' in query) throw unknownInQuery('key');
    if ('maxRows' in query) throw unknownInQuery('maxRows');
    if ('rows' in query) throw unknownInQuery('rows');
    const { generation, host } = this.#options;
    const rule = generation.rowRules.get(alias);
    if (rule !== undefined) {
      const rows = rowsOf(requireUser(this.#authority), rule);
      return { key: generation.source.manifest.key, maxRows: host.maxPageRows, rows, ...query };
    }
    // n.b. in this order: V8 takes thirty times as long for an object that begins with a spread and goes on.
    return { key: generation.source.manifest.key, maxRows: host.maxPageRows, ...query };
  }

  #checkArgs(alias: string, args: JsonObject): JsonObject {
    const routine = this.#options.generation.routines.get(alias);
    const checked = routine?.check(args);
    if (checked?.ok === false) {
      const { field, message } = checked.problem;
      throw requestErrors.make('BEDS_REQUEST_INVALID', `${field} ${message}.`, { field });
    }
    const given = checked?.value ?? args;
    return routine?.bind === undefined ? given : this.#bound(given, routine.bind);
  }

  /** The arguments with those that nobody gives. */
  #bound(given: JsonObject, bind: Readonly<Record<string, BoundArgument>>): JsonObject {
    const user = requireUser(this.#authority);
    const bound = Object.entries(bind).map(([name, each]) => {
      const value = boundValue(user, each);
      if (value === undefined) throw requestErrors.make('BEDS_REQUEST_FORBIDDEN');
      return [name, value] as const;
    });
    return Object.assign<Record<string, Json>, JsonObject>(Object.fromEntries(bound), given);
  }

  /** What the template declares that the routine returns. Throws BEDS_STORE_VALUE_UNFIT where the database gave something else. */
  #read(alias: string, rows: RoutineRows): CallResult {
    const read = this.#options.generation.routines.get(alias)?.read(rows);
    if (read === undefined)
      throw requestErrors.make('BEDS_REQUEST_UNDECLARED', `${alias} is a view: it cannot be called.`);
    if ('value' in read) return read.value;
    const { field, message } = read.problem;
    throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `Result of ${alias}: ${field} ${message}.`, { field });
  }

  /** The rows as the template declares them. Throws BEDS_STORE_VALUE_UNFIT where the database gave something else. */
  #readPage(alias: string, page: Page): Page {
    const check = this.#options.generation.columns.get(alias);
    if (check === undefined) return page;
    const read = check(page.rows);
    if ('rows' in read) return read.rows === page.rows ? page : { ...page, rows: read.rows };
    const { field, message } = read.problem;
    throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `A row of ${alias}: ${field} ${message}.`, { field });
  }

  #callOptions(): CallOptions {
    const { scope, operation } = this.#options;
    const timeoutMs = scope.expiresAtMs - performance.now();
    if (scope.isExpired || timeoutMs <= 0) throw requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED');
    return { timeoutMs, mode: operation.mode, holder: scope };
  }

  async #returning<T>(promise: Promise<T>, span: Span | undefined): Promise<T> {
    try {
      return await promise;
    } catch (error) {
      span?.end(error);
      this.#handed(error);
      throw error;
    } finally {
      span?.end();
      this.#entering();
    }
  }

  /** Where the template does not wait for the promise, nothing else tells whose fault that is: the stack is the host's. */
  #handed(error: unknown): void {
    noteHanded(error, this.#options.generation);
  }

  /** Template code goes on right after the promise that it was given settles. */
  #entering(): void {
    this.#options.host.entering(this.#options.generation.id);
  }
}

interface TransactionCall {
  readonly alias: string;
  readonly span: Span | undefined;
}

interface SharedView {
  readonly alias: string;
  readonly query: ViewQuery;
  readonly object: NamedObject;
  readonly keyed: KeyedQuery;
}

function unknownInQuery(name: string): Error {
  return invalidQuery([{ field: `query.${name}`, message: 'is unknown' }]);
}

/** The statement was not sent, or the database undid it before it answered. */
const UNDONE: ReadonlySet<string> = new Set([
  'BEDS_STORE_UNAVAILABLE',
  'BEDS_STORE_CLOSED',
  'BEDS_STORE_OVERLOADED',
  'BEDS_STORE_TIMEOUT',
  'BEDS_STORE_QUERY_INVALID',
  'BEDS_STORE_CURSOR_INVALID',
  'BEDS_STORE_DENIED',
  'BEDS_STORE_OBJECT_CHANGED',
  'BEDS_STORE_DEADLOCK',
  'BEDS_STORE_NOT_SUPPORTED',
]);

/** The database refused a record; others of the same statement may have been kept where it works in parts. */
const REFUSED: ReadonlySet<string> = new Set(['BEDS_STORE_CONFLICT', 'BEDS_STORE_INVALID_VALUE', 'BEDS_STORE_REFUSED']);

/** Whether it is certain that a call which failed so has changed nothing. An error that is not known here leaves a doubt. */
function callKeptNothing(error: unknown, object: NamedObject): boolean {
  if (!isBedsError(error)) return false;
  return UNDONE.has(error.code) || (REFUSED.has(error.code) && (object.kind === 'view' || object.inParts !== true));
}

/** The same of a transaction: whatever the code in it throws is answered by a rollback. */
function transactionKeptNothing(error: unknown): boolean {
  if (!isBedsError(error) || !error.code.startsWith('BEDS_STORE_')) return true;
  return UNDONE.has(error.code) || REFUSED.has(error.code);
}
