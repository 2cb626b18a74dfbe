import type { CallOptions, DomainClient } from '../client/domain-client.js';
import { type Access, allows, type User } from '../template/access.js';
import { compileInput, compileResult } from '../template/check-values.js';
import type { Affected, TemplateContext } from '../template/context.js';
import { isTemplate } from '../template/define-domain.js';
import type { DomainCalls } from '../template/domain-types.js';
import { isBedsError } from '../template/errors.js';
import type { Json, JsonObject } from '../template/json.js';
import type { Template } from '../template/namaste-core.js';
import type { ReturnsOf, TakenArgsOf, View, ViewRow } from '../template/objects.js';
import type { Keyed, Peer, Surroundings, SurroundingsOf } from '../template/operations.js';
import type { Page, Scalar, ViewQuery } from '../template/query.js';
import { templateErrors } from '../template/template-errors.js';
import type { AnswerOf } from '../template/types.js';
import type { ValueDescription } from '../template/values.js';
import { hostError } from './host-errors.js';
import { requireQueryForm } from './read-rows.js';
import {
  testContext,
  throughJson,
  type FakeOperation,
  type FakeRoutine,
  type Fakes,
  type LogLine,
  type RecordedCall,
  requireUser,
  type TestSources,
} from './test-context.js';

type Eventually<T> = T | Promise<T>;
type Core<S extends Surroundings> = Pick<S, 'create' | 'fetch' | 'update' | 'delete'>;
/** All objects by alias. */
type Objects<S extends Surroundings> = Core<S> & S['views'] & S['objects'];

type FakeRows<R> = AnswerOf<R> extends readonly unknown[] ? AnswerOf<R> : AnswerOf<R> | undefined;
type FakeResult<R> = [R] extends [undefined]
  ? number | Affected
  : R extends readonly unknown[]
    ? { readonly [K in keyof R]: FakeRows<R[K]> }
    : FakeRows<R>;

type FakeObjects<O, S extends Surroundings> = {
  readonly [A in keyof O as O[A] extends View | undefined ? never : A]?: (
    args: A extends 'update' | 'delete' ? Keyed<TakenArgsOf<O[A]>, S> : TakenArgsOf<O[A]>,
  ) => Eventually<FakeResult<ReturnsOf<O[A]>>>;
};
type FakeViews<O> = {
  readonly [A in keyof O as [O[A]] extends [View] ? A : never]?: readonly Partial<ViewRow<O[A]>>[];
};
type FakePeer<P> =
  P extends Peer<infer Types>
    ? {
        readonly [K in keyof DomainCalls<Types>]?: DomainCalls<Types>[K] extends (
          ...input: infer Input
        ) => Promise<infer R>
          ? (...input: Input) => Eventually<K extends 'fetch' ? Page<object> : R>
          : never;
      }
    : never;

/** What stands in for the store and for other domains. Only what the test uses needs to be given. */
export interface TestOptions<S extends Surroundings> {
  /** By alias of a routine: it gets checked arguments and answers with what the routine returns; with how many it changed where that is nothing. */
  readonly objects?: FakeObjects<Objects<S>, S>;
  /** By alias of a view: its rows, to which where, order, limit and cursor are applied. Missing columns read as null. */
  readonly views?: FakeViews<Objects<S>>;
  /** By name of a domain: its operations. */
  readonly peers?: { readonly [K in keyof S['peers']]?: FakePeer<Exclude<S['peers'], undefined>[K]> };
  /** Who is signed in. Default: nobody. What the definition does not say of access is open to anyone. */
  readonly user?: User;
}

/** What a test of a domain gives in place of its store and of other domains: `FakesOf<typeof template>['peers']`. */
export type FakesOf<T> = TestOptions<SurroundingsOf<T>>;

/** A domain that runs in memory. Its calls reject with what a host would answer. No operation has a name that begins with `$`. */
export type TestedDomain<T> = DomainClient<T> & {
  /** Calls of routines so far, in order. */
  readonly $calls: readonly RecordedCall[];
  /** What the code logged so far. */
  readonly $log: readonly LogLine[];
  /** The same domain for another user, or for nobody. */
  $as(user: User | undefined): TestedDomain<T>;
  $setup(): Promise<void>;
  $teardown(): Promise<void>;
  $selfTest(): Promise<void>;
};

/** A result as a host takes it. */
function result(output: ValueDescription | undefined, value: unknown): Json {
  const checked = compileResult(output)(value);
  if ('value' in checked) return throughJson(checked.value);
  const [{ field, message } = { field: 'result', message: 'is refused' }] = checked.problems;
  const all = checked.problems.map((problem) => `${problem.field} ${problem.message}`).join('; ');
  throw hostError('BEDS_REQUEST_BAD_RESULT', `The operation gave what it must not: ${all}.`, { field, hint: message });
}

/** What is thrown by mistake is answered as a fault; the original is the `cause`. */
async function run<R>(work: () => Eventually<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    if (isBedsError(error)) throw error;
    throw hostError('BEDS_REQUEST_TEMPLATE_FAULT', `The template failed: ${String(error)}`, { cause: error });
  }
}

class Runner {
  readonly #template: Template;
  readonly #sources: TestSources;

  constructor(sources: TestSources) {
    this.#template = sources.template;
    this.#sources = sources;
  }

  context(operation: string, options?: CallOptions): TemplateContext {
    return testContext(this.#sources, operation, options);
  }

  /** `input`: what a function of the definition is asked with. */
  #admit(access: Access | undefined, name: string, input: JsonObject): void {
    const { user } = this.#sources;
    if (access === undefined || access === 'anyone') return;
    requireUser(user);
    const isAllowed =
      access === 'code'
        ? user !== undefined && this.#template.access?.[name]?.(user, input) === true
        : allows(access, user);
    if (!isAllowed) throw hostError('BEDS_REQUEST_FORBIDDEN', 'The user may not do this.');
  }

  #admitTo(operation: string, input: JsonObject): void {
    this.#admit(this.#template.definition.operations[operation]?.access, operation, input);
  }

  create = (payload: JsonObject, options?: CallOptions): Promise<Json> =>
    run(async () => {
      this.#admitTo('create', payload);
      const record = await this.#template.createRecord(throughJson(payload), this.context('create', options));
      return this.#record('create', record);
    });

  fetch = (query: ViewQuery | { readonly key: Scalar } = {}, options?: CallOptions): Promise<Page> =>
    run(async () => {
      const { key, objects } = this.#template.definition;
      const asked: ViewQuery = 'key' in query ? { where: { [key]: query.key }, limit: 1 } : query;
      const alias = asked.view ?? 'fetch';
      const object = objects[alias === 'fetch' ? alias : this.#fetchable(alias)];
      const ofView = object?.kind === 'view' ? object.access : undefined;
      if (ofView === undefined) this.#admitTo('fetch', asked as JsonObject);
      else this.#admit(ofView, alias, asked as JsonObject);
      requireQueryForm(asked, object?.kind === 'view' ? object.columns : undefined);
      const ctx = this.context('fetch', options);
      const page = await (alias === 'fetch'
        ? this.#template.fetchRecords(throughJson(asked), ctx)
        : ctx.view(alias, throughJson(asked)));
      if (typeof page !== 'object' || !Array.isArray(page.rows)) {
        throw hostError('BEDS_REQUEST_BAD_RESULT', 'fetch must give a page: { rows: [...] }.');
      }
      const rows = result(alias === 'fetch' ? this.#output(alias) : undefined, page.rows) as readonly JsonObject[];
      return throughJson({ ...page, rows });
    });

  async *fetchAll(query: ViewQuery, options?: CallOptions): AsyncGenerator<Page> {
    let { cursor } = query;
    do {
      const next: Page = await this.fetch(cursor === undefined ? query : { ...query, cursor }, options);
      yield next;
      ({ cursor } = next);
    } while (cursor !== undefined);
  }

  update = (key: Scalar, payload: JsonObject, options?: CallOptions): Promise<Json> =>
    run(async () => {
      const keyed = { ...throughJson(payload), [this.#template.definition.key]: key };
      this.#admitTo('update', keyed);
      return this.#record('update', await this.#template.updateRecord(keyed, this.context('update', options)));
    });

  delete = (key: Scalar, options?: CallOptions): Promise<Json> =>
    run(async () => {
      this.#admitTo('delete', { [this.#template.definition.key]: key });
      return this.#record('delete', await this.#template.deleteRecord(key, this.context('delete', options)));
    });

  call = (operation: string, input: JsonObject = {}, options?: CallOptions): Promise<Json> =>
    run(async () => {
      const { operations } = this.#template;
      const found = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
      if (found === undefined) throw hostError('BEDS_REQUEST_UNKNOWN_OPERATION', `There is no operation ${operation}.`);
      const checked = compileInput(found.input)(throughJson(input));
      if (!checked.ok) {
        const field = `payload.${checked.problem.field}`;
        throw hostError('BEDS_REQUEST_INVALID', `${field} ${checked.problem.message}.`, { field });
      }
      this.#admitTo(operation, checked.value);
      return result(found.output, await found.run(checked.value, this.context(operation, options)));
    });

  #output(operation: string): ValueDescription | undefined {
    return this.#template.definition.operations[operation]?.output;
  }

  #record(operation: string, value: unknown): Json {
    const output = this.#output(operation);
    if (output === undefined && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      throw hostError('BEDS_REQUEST_BAD_RESULT', 'The operation must return an object.');
    }
    return result(output, value);
  }

  #fetchable(view: string): string {
    const { objects } = this.#template.definition;
    const object = Object.hasOwn(objects, view) ? objects[view] : undefined;
    if (object?.kind === 'view' && object.fetchable === true) return view;
    throw hostError('BEDS_REQUEST_INVALID', 'query.view is not one of the views of the domain.', {
      field: 'query.view',
    });
  }
}

/**
 * Runs a domain in memory, without broker or database: input, results, aliases, arguments and columns are checked as in a host,
 * and mistakes give the same errors. `template` is the default export of `template.ts`.
 */
export function testDomain<T extends Template>(template: T, options: FakesOf<T> = {}): TestedDomain<T> {
  if (!isTemplate(template)) {
    throw templateErrors.make('BEDS_TEMPLATE_INVALID', 'The first argument must be made by defineDomain.');
  }
  const fakes: Fakes = {
    objects: (options.objects ?? {}) as Readonly<Record<string, FakeRoutine>>,
    views: (options.views ?? {}) as Readonly<Record<string, readonly JsonObject[]>>,
    peers: (options.peers ?? {}) as Readonly<Record<string, Readonly<Record<string, FakeOperation>>>>,
  };
  return tested(template, { template, fakes, recording: { calls: [], log: [] }, user: options.user });
}

function tested<T extends Template>(template: T, sources: TestSources): TestedDomain<T> {
  const runner = new Runner(sources);
  const own = Object.keys(template.operations).map((name) => [
    name,
    (input?: JsonObject, terms?: CallOptions) => runner.call(name, input, terms),
  ]);
  const { create, fetch, update, delete: remove } = runner;
  const { recording } = sources;
  const domain = {
    ...(Object.fromEntries(own) as Readonly<Record<string, unknown>>),
    ...{ create, fetch, update, delete: remove, call: runner.call },
    fetchAll: runner.fetchAll.bind(runner),
    $calls: recording.calls,
    $log: recording.log,
    $as: (user: User | undefined) => tested(template, { ...sources, user }),
    $setup: async () => template.setup?.(runner.context('setup')),
    $teardown: async () => template.teardown?.(),
    $selfTest: async () => template.selfTest?.(),
  };
  // The types of the domain narrow what is JSON here.
  return domain as unknown as TestedDomain<T>;
}
