import type { TemplateContext, TransactionScope } from './context.js';
import { RESERVED } from './definition-rules.js';
import type { JsonObject } from './json.js';
import type { ObjectManifest } from './manifest.js';
import type { Scalar, ViewQuery } from './query.js';
import { notSupported } from './template-errors.js';

/** What a handler is called with; see `Call` for its types. */
export type HandlerCall = new (input: unknown, ctx: TemplateContext) => object;

type DatabaseOf = new (scope: TransactionScope) => object;

const SCOPE = Symbol('scope');

/** A class whose methods are the aliases: made once for each template, so that a request costs an object and no closures. */
function databaseOf(objects: Readonly<Record<string, ObjectManifest>>): DatabaseOf {
  class Database {
    readonly [SCOPE]: TransactionScope;

    constructor(scope: TransactionScope) {
      this[SCOPE] = scope;
    }

    transaction<T>(work: (tx: object) => Promise<T>): Promise<T> {
      const scope = this[SCOPE];
      if (!('transaction' in scope)) throw notSupported('A transaction cannot begin within another one.');
      return (scope as TemplateContext).transaction((inner) => work(new Database(inner)));
    }
  }
  for (const [alias, { kind }] of Object.entries(objects)) {
    const call =
      kind === 'view'
        ? function (this: Database, query?: ViewQuery) {
            return this[SCOPE].view(alias, query);
          }
        : function (this: Database, args?: JsonObject) {
            return this[SCOPE].call(alias, args);
          };
    Object.defineProperty(Database.prototype, alias, { value: call });
  }
  return Database;
}

/** The calls of another domain: the four, and every other name is an operation of its own. */
function peerCalls(ctx: TemplateContext, name: string): object {
  const domain = ctx.domain(name);
  const core: Readonly<Record<string, unknown>> = {
    create: (payload: JsonObject) => domain.create(payload),
    fetch: (query: ViewQuery = {}) => domain.fetch(query),
    update: (id: Scalar, payload: JsonObject) => domain.update(id, payload),
    delete: (id: Scalar) => domain.delete(id),
  };
  return new Proxy(core, {
    get: (calls, operation) => {
      if (typeof operation !== 'string') return undefined;
      // n.b. what has a `then` would be taken for a promise, and JSON would call `toJSON`.
      if (RESERVED.has(operation)) return Reflect.get(Object.prototype, operation) as unknown;
      return calls[operation] ?? ((input?: JsonObject) => domain.call(operation, input));
    },
  });
}

/** Makes the class of what handlers of a template are called with. */
export function handlerCallOf(
  objects: Readonly<Record<string, ObjectManifest>>,
  peers: readonly string[],
): HandlerCall {
  const Database = databaseOf(objects);
  return class Call {
    readonly input: unknown;
    readonly #ctx: TemplateContext;
    #db: object | undefined;
    #peers: object | undefined;

    constructor(input: unknown, ctx: TemplateContext) {
      this.input = input;
      this.#ctx = ctx;
    }

    get db(): object {
      return (this.#db ??= new Database(this.#ctx));
    }

    get peers(): object {
      return (this.#peers ??= Object.fromEntries(peers.map((name) => [name, peerCalls(this.#ctx, name)] as const)));
    }

    get log(): TemplateContext['log'] {
      return this.#ctx.log;
    }

    get signal(): AbortSignal {
      return this.#ctx.signal;
    }

    get deadline(): TemplateContext['deadline'] {
      return this.#ctx.deadline;
    }

    get self(): TemplateContext['self'] {
      return this.#ctx.self;
    }

    get requestId(): string {
      return this.#ctx.requestId;
    }

    get client(): string | undefined {
      return this.#ctx.client;
    }

    get user(): TemplateContext['user'] {
      return this.#ctx.user;
    }

    get idempotencyKey(): string | undefined {
      return this.#ctx.idempotencyKey;
    }

    get traceparent(): string | undefined {
      return this.#ctx.traceparent;
    }
  };
}
