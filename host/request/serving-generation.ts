import type { Access, BoundArgument, RowRule, Template } from '@beds/sdk';
import { compileArguments, compileColumns, compileReturns, type ServedBy, type ValuesChecker } from '#sdk/template';
import { settlesWithin } from '#sdk/time';
import { encodeServedBy } from './encode.js';
import { type CallerBook, RequestCounts, type UsageCount } from './observations.js';
import { compileOperations, type Operation } from './operation.js';
import { SharedReads } from './shared-reads.js';
import type { NamedObject, StoreAdapter } from '../stores/contract.js';
import type { GenerationSource } from '../template/contract.js';

export interface Serving {
  readonly node: string;
  readonly adapter: StoreAdapter;
  readonly callers: CallerBook;
  /** `security.defaultAccess` */
  readonly defaultAccess: Access;
}

/** How a template uses a routine. */
export interface RoutineUse {
  readonly check: ValuesChecker;
  readonly read: ReturnType<typeof compileReturns>;
  /** Arguments that are filled in from who is signed in; undefined: none. */
  readonly bind: Readonly<Record<string, BoundArgument>> | undefined;
}

/**
 * One version of a template, loaded in this thread, with what the request path needs of it prepared once. It never changes; it ends
 * when the last request has let go of it.
 */
export class ServingGeneration {
  readonly source: GenerationSource;
  readonly template: Template;
  readonly id: number;
  readonly domain: string;
  readonly version: string;
  readonly operations: ReadonlyMap<string, Operation>;
  readonly adapter: StoreAdapter;
  readonly by: ServedBy;
  readonly byJson: string;
  readonly counts = new RequestCounts();
  /** What checks the arguments of a routine and reads what it returns, by alias. */
  readonly routines: ReadonlyMap<string, RoutineUse>;
  /** What checks the rows of a view beyond what its database sees to, by alias; most views have none. */
  readonly columns: ReadonlyMap<string, NonNullable<ReturnType<typeof compileColumns>>>;
  /** Which rows of a view there are for who is signed in, by alias; of most views all. */
  readonly rowRules: ReadonlyMap<string, RowRule>;
  /** Aliases of views whose reads may be shared. */
  readonly sharedViews: ReadonlySet<string>;
  readonly sharedReads = new SharedReads();
  #leases = 0;
  #onIdle: (() => void)[] = [];

  constructor(source: GenerationSource, template: Template, serving: Serving) {
    this.source = source;
    this.template = template;
    this.id = source.id;
    this.domain = source.manifest.domain;
    this.version = source.manifest.version;
    this.adapter = serving.adapter;
    this.by = { node: serving.node, domain: this.domain, version: this.version, generation: this.id };
    this.byJson = encodeServedBy(this.by);
    this.operations = compileOperations(template, {
      manifest: source.manifest,
      book: serving.callers,
      defaultAccess: serving.defaultAccess,
      by: this.by,
    });
    // n.b. of the code, which has the schemas; admission has compared the rest with the manifest.
    this.routines = new Map(
      Object.entries(template.definition.objects).flatMap(([alias, object]) =>
        object.kind === 'view'
          ? []
          : [
              [
                alias,
                { check: compileArguments(object.args), read: compileReturns(object), bind: object.bind },
              ] as const,
            ],
      ),
    );
    this.columns = new Map(
      Object.entries(template.definition.objects).flatMap(([alias, object]) => {
        const check =
          object.kind === 'view' ? compileColumns(object.columns, nullsOf(source.objects[alias])) : undefined;
        return check === undefined ? [] : [[alias, check] as const];
      }),
    );
    this.rowRules = new Map(
      Object.entries(source.manifest.objects).flatMap(([alias, object]) =>
        object.kind === 'view' && object.where !== undefined ? [[alias, object.where] as const] : [],
      ),
    );
    this.sharedViews = new Set(
      Object.entries(source.manifest.objects).flatMap(([alias, object]) =>
        object.kind === 'view' && object.share === true ? [alias] : [],
      ),
    );
  }

  get inFlight(): number {
    return this.#leases;
  }

  /** Calls of its operations and of their objects since the last time. */
  takeUsage(): readonly UsageCount[] {
    const { domain, version } = this;
    return [...this.operations.values()].flatMap(({ name: operation, usage }) => {
      const own = usage.take();
      const ofObjects = [...usage.objects].flatMap(([alias, counts]) => {
        const counted = counts.take();
        const object = this.source.objects[alias];
        if (counted === undefined || object === undefined) return [];
        const { name, kind } = object;
        return { domain, version, operation, object: { name, kind, store: this.adapter.store }, ...counted };
      });
      return own === undefined ? ofObjects : [{ domain, version, operation, ...own }, ...ofObjects];
    });
  }

  /** Keeps the generation until `release`; every request holds one from before its template code until after it. */
  lease(): void {
    this.#leases += 1;
  }

  release(): void {
    this.#leases -= 1;
    if (this.#leases > 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves with true when no request holds the generation, with false after `timeoutMs`. */
  async drained(timeoutMs: number): Promise<boolean> {
    if (this.#leases === 0) return true;
    return settlesWithin(new Promise<void>((resolve) => this.#onIdle.push(resolve)), timeoutMs);
  }
}

/** Which columns may come as null, by the catalogue. n.b. a day or an instant may be the zero date, which is shown as null. */
function nullsOf(object: NamedObject | undefined): (name: string) => boolean {
  const columns = object?.kind === 'view' ? object.columns : [];
  const may = columns.filter(({ type, nullable }) => nullable !== false || type === 'date' || type === 'datetime');
  const names = new Set(may.map(({ name }) => name));
  return (name) => names.has(name);
}

/** What answers a request. */
export interface Target {
  readonly generation: ServingGeneration;
  readonly operation: Operation;
}

const handed = new WeakMap<object, ServingGeneration>();

/** Notes that code of this generation was given the error: whoever was given it last must handle it. */
export function noteHanded(error: unknown, generation: ServingGeneration): void {
  if (typeof error === 'object' && error !== null) handed.set(error, generation);
}

/** Whose code was given this error last; undefined: nobody's. */
export function handedTo(error: unknown): ServingGeneration | undefined {
  return typeof error === 'object' && error !== null ? handed.get(error) : undefined;
}
