import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Access } from '@beds/sdk';
import { threadErrors } from '../errors/thread.js';
import { wordsFor } from '../errors/thrown.js';
import { publishFault, publishTemplateLog } from '../observe/channels.js';
import type { CallerBook } from '../request/observations.js';
import { RequestScope } from '../request/request-scope.js';
import { ServingGeneration } from '../request/serving-generation.js';
import { type ContextHost, RequestContext } from '../request/template-context.js';
import type { StoreAdapter } from '../stores/contract.js';
import { timerWheel } from '../stores/deadlines.js';
import { compileTemplate, disposeTemplate, generationFile } from '../template/compile.js';
import type { GenerationSource } from '../template/contract.js';
import type { Leftovers } from '../template/template-timers.js';
import { firstPlace, mapStack, stackOf } from '../template/map-stack.js';
import type { GenerationRegistry, Route } from '../template/registry.js';
import { type RetiredInMemory, RetiredTemplates } from '../template/retired-templates.js';
import type { ThreadStatus } from './protocol.js';

export interface GenerationsOptions {
  readonly node: string;
  readonly registry: GenerationRegistry<ServingGeneration>;
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly host: ContextHost;
  readonly callers: CallerBook;
  /** Who may call what the template says nothing of. */
  readonly defaultAccess: Access;
  readonly prepareTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly onDrained: (generation: ServingGeneration, complete: boolean, left: Leftovers) => void;
}

/** Loads, routes and ends generations in this thread. */
export class Generations {
  readonly #options: GenerationsOptions;
  readonly #ending = new Set<Promise<void>>();
  readonly #retired = new RetiredTemplates();
  /** In setup, or in teardown without ever having been routed. */
  readonly #beside = new Set<ServingGeneration>();

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  /** Compiles a version and runs its `setup`; it takes no traffic yet. One that is loaded already stays as it is. */
  async prepare(source: GenerationSource): Promise<void> {
    if (this.#options.registry.isLoaded(source.id)) return;
    const adapter = this.#options.adapters.get(source.manifest.store);
    if (adapter === undefined) {
      throw threadErrors.make('BEDS_THREAD_PREPARE_FAILED', `No store named ${source.manifest.store} is configured.`);
    }
    const { node, callers, defaultAccess } = this.#options;
    const { domain, version } = source.manifest;
    const template = compileTemplate(
      source,
      () => {
        this.#options.host.entering(generation.id);
      },
      (level, message) => {
        publishTemplateLog({ level, domain, version, message, fields: {} });
      },
    );
    const generation = new ServingGeneration(source, template, { node, adapter, callers, defaultAccess });
    this.#beside.add(generation);
    try {
      await this.#setUp(generation);
    } catch (error) {
      this.#dispose(generation);
      throw threadErrors.make('BEDS_THREAD_PREPARE_FAILED', `setup() failed: ${reasonOf(error, source)}`, {
        cause: error,
      });
    } finally {
      this.#beside.delete(generation);
    }
    this.#options.registry.prepare(generation);
  }

  /** Forgets a prepared version. */
  async discard(id: number): Promise<void> {
    const generation = this.#options.registry.discard(id);
    if (generation === undefined) return;
    this.#beside.add(generation);
    await this.#tearDown(generation);
    this.#beside.delete(generation);
  }

  /** The routes hold from the next delivery on; a version that none names any more ends when its requests have. */
  route(routes: readonly Route[]): void {
    const ended = this.#options.registry.apply(routes);
    if (ended === undefined) {
      throw threadErrors.make('BEDS_THREAD_PREPARE_FAILED', 'A version was not prepared in this thread.');
    }
    for (const generation of ended) this.#end(generation);
  }

  /** Everything whose code may still run. */
  get all(): readonly ServingGeneration[] {
    return [...this.#options.registry.all, ...this.#beside];
  }

  /** Resolves when every version that is ending has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending);
  }

  get status(): ThreadStatus['generations'] {
    return this.#options.registry.all.map(({ id, domain, version, inFlight, counts }) => ({
      id,
      domain,
      version,
      inFlight,
      served: counts.requests,
      failed: counts.failed,
      strays: counts.strays,
    }));
  }

  /** Versions that ended and whose memory was not given back yet. */
  get retiredInMemory(): readonly RetiredInMemory[] {
    return this.#retired.inMemory;
  }

  #end(generation: ServingGeneration): void {
    const ending = this.#endInTurn(generation);
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  async #endInTurn(generation: ServingGeneration): Promise<void> {
    // n.b. not before the answer to `route`: all threads have to have given theirs until the next version serves.
    await nextTurn();
    const complete = await generation.drained(this.#options.drainTimeoutMs);
    const left = await this.#tearDown(generation);
    this.#options.registry.forget(generation);
    this.#options.onDrained(generation, complete, left);
  }

  async #setUp(generation: ServingGeneration): Promise<void> {
    if (generation.template.setup === undefined) return;
    const scope = new RequestScope('setup', performance.now() + this.#options.prepareTimeoutMs);
    const ctx = new RequestContext({
      host: this.#options.host,
      generation,
      operation: { name: 'setup', mode: 'write' },
      scope,
      depth: 0,
    });
    this.#options.host.entering(generation.id);
    const timeout = this.#timeout(scope);
    try {
      await Promise.race([generation.template.setup(ctx), timeout.expired]);
    } finally {
      timeout.cancel();
    }
  }

  async #tearDown(generation: ServingGeneration): Promise<Leftovers> {
    await this.#runTeardown(generation);
    return this.#dispose(generation);
  }

  #dispose({ id, domain, version, template }: ServingGeneration): Leftovers {
    this.#retired.add({ generation: id, domain, version }, template);
    return disposeTemplate(template);
  }

  /** A failing teardown is reported and otherwise without consequence: the version serves no longer. */
  async #runTeardown(generation: ServingGeneration): Promise<void> {
    if (generation.template.teardown === undefined) return;
    const scope = new RequestScope('teardown', performance.now() + this.#options.prepareTimeoutMs);
    const timeout = this.#timeout(scope);
    try {
      this.#options.host.entering(generation.id);
      await Promise.race([generation.template.teardown(), timeout.expired]);
    } catch (error) {
      const { domain, version, source } = generation;
      publishFault({ where: 'teardown', error: mapStack(error, source), domain, version, hash: source.hash });
    } finally {
      timeout.cancel();
    }
  }

  #timeout(scope: RequestScope): { readonly expired: Promise<never>; readonly cancel: () => void } {
    const { promise, reject } = withReject();
    const deadline = timerWheel.watch(scope.expiresAtMs, () => {
      scope.expire();
      reject(threadErrors.make('BEDS_THREAD_PREPARE_FAILED', 'It did not finish within plugins.prepareTimeoutMs.'));
    });
    return {
      expired: promise,
      cancel: () => {
        timerWheel.remove(deadline);
      },
    };
  }
}

/** The message, and the author's line where the stack has one. */
function reasonOf(error: unknown, source: GenerationSource): string {
  const files = [{ file: generationFile(source.manifest), sourceMap: source.sourceMap }];
  const place = firstPlace(stackOf(error), files);
  const message = wordsFor(error);
  return place === undefined ? message : `${message} (${place})`;
}

function withReject(): { readonly promise: Promise<never>; readonly reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<never>((_resolve, rejectPromise) => {
    reject = rejectPromise;
  });
  return { promise, reject };
}
