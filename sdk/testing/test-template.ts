import type { CallOptions, DomainClient } from '../client/domain-client.js';
import { compileChecker } from '../template/check-values.js';
import type { TemplateContext } from '../template/context.js';
import { isTemplate, type TypesOf } from '../template/define-template.js';
import { isBedsError } from '../template/errors.js';
import type { Json, JsonObject } from '../template/json.js';
import type { Template } from '../template/namaste-core.js';
import type { SpecOf, RoutineAlias, ViewAlias } from '../template/objects.js';
import type { Page, Scalar, ViewQuery } from '../template/query.js';
import { templateErrors } from '../template/template-errors.js';
import type { InputOf, RowOf } from '../template/values.js';
import { hostError } from './host-errors.js';
import { requireQueryForm } from './read-rows.js';
import {
  testContext,
  type FakeResult,
  type Fakes,
  type LogLine,
  type RecordedCall,
  type Recording,
} from './test-context.js';

type ObjectsOf<T> = TypesOf<T> extends { readonly objects: infer O } ? O : never;

/** What stands in for the store and for other domains. Only what the test uses needs to be given. */
export interface TestOptions<T> {
  /** By alias of a routine: answers with rows, with the number of rows changed, or with a `CallResult`. */
  readonly objects?: {
    readonly [A in RoutineAlias<ObjectsOf<T>>]?: (
      args: InputOf<SpecOf<ObjectsOf<T>[A]>>,
    ) => FakeResult | Promise<FakeResult>;
  };
  /** By alias of a view: its rows, to which where, order, limit and cursor are applied. Missing columns read as null. */
  readonly views?: {
    readonly [A in ViewAlias<ObjectsOf<T>>]?: readonly Partial<RowOf<SpecOf<ObjectsOf<T>[A]>>>[];
  };
  readonly domains?: Fakes['domains'];
}

/** A template that runs in memory. Calls reject with what a host would answer. */
export interface TestedTemplate<T> extends DomainClient<T> {
  /** Calls of routines so far, in order. */
  readonly calls: readonly RecordedCall[];
  /** What the code logged so far. */
  readonly log: readonly LogLine[];
  setup(): Promise<void>;
  teardown(): Promise<void>;
  selfTest(): Promise<void>;
}

/** What travels is JSON text, in and out. */
function throughJson<V>(value: V): V {
  return JSON.parse(JSON.stringify(value)) as V;
}

function record(value: unknown): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return throughJson(value as JsonObject);
  throw hostError('BEDS_REQUEST_BAD_RESULT', 'The operation must return an object.');
}

function page(value: Page | undefined): Page {
  if (typeof value === 'object' && Array.isArray(value.rows)) return throughJson(value);
  throw hostError('BEDS_REQUEST_BAD_RESULT', 'fetchRecords must return a page: { rows: [...] }.');
}

/** What is thrown by mistake is answered as a fault; the original is the `cause`. */
async function run<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    if (isBedsError(error)) throw error;
    throw hostError('BEDS_REQUEST_TEMPLATE_FAULT', `The template failed: ${String(error)}`, { cause: error });
  }
}

class Runner {
  readonly #template: Template;
  readonly #fakes: Fakes;
  readonly recording: Recording = { calls: [], log: [] };

  constructor(template: Template, fakes: Fakes) {
    this.#template = template;
    this.#fakes = fakes;
  }

  context(operation: string, options?: CallOptions): TemplateContext {
    const sources = { template: this.#template, fakes: this.#fakes, recording: this.recording };
    return testContext(sources, operation, options);
  }

  create = (payload: JsonObject, options?: CallOptions): Promise<JsonObject> =>
    run(async () => record(await this.#template.createRecord(throughJson(payload), this.context('create', options))));

  fetch = (query: ViewQuery | { readonly key: Scalar }, options?: CallOptions): Promise<Page> =>
    run(async () => {
      const { key, objects } = this.#template.definition;
      const asked: ViewQuery = 'key' in query ? { where: { [key]: query.key }, limit: 1 } : query;
      const context = this.context('fetch', options);
      const alias = asked.view ?? 'fetch';
      const object = objects[alias];
      if (alias !== 'fetch' && !(object?.kind === 'view' && object.fetchable === true)) {
        const message = 'query.view is no view that callers may fetch.';
        throw hostError('BEDS_REQUEST_INVALID', message, { field: 'query.view' });
      }
      requireQueryForm(asked, object?.kind === 'view' ? object.columns : undefined);
      if (alias !== 'fetch') return page(await context.view(alias, throughJson(asked)));
      return page(await this.#template.fetchRecords(throughJson(asked), context));
    });

  async *fetchAll(query: ViewQuery, options?: CallOptions): AsyncGenerator<Page> {
    let { cursor } = query;
    do {
      const next: Page = await this.fetch(cursor === undefined ? query : { ...query, cursor }, options);
      yield next;
      ({ cursor } = next);
    } while (cursor !== undefined);
  }

  update = (key: Scalar, payload: JsonObject, options?: CallOptions): Promise<JsonObject> =>
    run(async () => {
      const keyed = { ...throughJson(payload), [this.#template.definition.key]: key };
      return record(await this.#template.updateRecord(keyed, this.context('update', options)));
    });

  delete = (key: Scalar, options?: CallOptions): Promise<JsonObject> =>
    run(async () => record(await this.#template.deleteRecord(key, this.context('delete', options))));

  call = (operation: string, input: JsonObject, options?: CallOptions): Promise<Json> =>
    run(async () => {
      const { operations } = this.#template;
      const found = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
      if (found === undefined) throw hostError('BEDS_REQUEST_UNKNOWN_OPERATION', `There is no operation ${operation}.`);
      const checked = compileChecker(found.args)(throughJson(input));
      if (!checked.ok) {
        const field = `payload.${checked.problem.field}`;
        throw hostError('BEDS_REQUEST_INVALID', `${field} ${checked.problem.message}.`, { field });
      }
      const result = await found.run(checked.value, this.context(operation, options));
      if (result === undefined) throw hostError('BEDS_REQUEST_BAD_RESULT', 'The operation returned nothing.');
      return throughJson(result);
    });
}

/**
 * Runs a template in memory, without broker or database: input, aliases, arguments and columns are checked as in a host,
 * and mistakes give the same errors. `template` is the default export of `template.ts`.
 */
export function testTemplate<const T extends Template>(template: T, options: TestOptions<T> = {}): TestedTemplate<T> {
  if (!isTemplate(template))
    throw templateErrors.make('BEDS_TEMPLATE_INVALID', 'The first argument must be made by defineTemplate.');
  const { objects = {}, views = {}, domains = {} } = options;
  const runner = new Runner(template, { objects, views, domains });
  const { create, fetch, update, delete: remove, call, recording } = runner;
  const tested = {
    ...{ create, fetch, update, delete: remove, call },
    fetchAll: runner.fetchAll.bind(runner),
    calls: recording.calls,
    log: recording.log,
    setup: async () => template.setup?.(runner.context('setup')),
    teardown: async () => template.teardown?.(),
    selfTest: async () => template.selfTest?.(),
  };
  // The types of the template narrow what is JSON here.
  return tested as unknown as TestedTemplate<T>;
}
