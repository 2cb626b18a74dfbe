import { performance } from 'node:perf_hooks';
import type { Manifest } from '@beds/sdk';
import type { Finding, GenerationSource } from '../template/contract.js';
import type { Route } from '../template/route.js';
import type { ThreadCommand } from '../threads/protocol.js';
import { publishFault } from '../observe/channels.js';
import type { Mutex } from './mutex.js';
import type { ThreadHandle } from '../threads/handle.js';
import type { Member } from '../threads/pool.js';
import { DomainConsumers, type DomainConsumersOptions } from './domain-consumers.js';
import type { Drains } from './drains.js';
import { RoutingTable } from './routing-table.js';

export interface RolloutsOptions extends DomainConsumersOptions {
  /** Serialises changes with each other and with threads that join. */
  readonly lock: Mutex;
  readonly drains: Drains;
  /** A thread that joined could not prepare a version that does not serve yet. */
  readonly onUnprepared: (source: GenerationSource) => void;
  /** Whether these bytes are in quarantine: a thread that joins need not run them. */
  readonly isRefused?: (hash: string) => boolean;
}

/**
 * What the broker threads serve, all of them the same: versions are prepared on every thread, and then one command routes
 * requests to them on every thread, or nothing changes. A thread that does not follow is replaced.
 */
export class Rollouts {
  readonly #options: RolloutsOptions;
  readonly #table = new RoutingTable();
  /** Domains that are being retired. */
  readonly #ending = new Set<string>();
  /** Live versions that a thread which joined could not prepare: it serves all the others. */
  readonly #lacking = new Map<ThreadHandle, Set<string>>();

  readonly #queues: DomainConsumers;

  constructor(options: RolloutsOptions) {
    this.#options = options;
    this.#queues = new DomainConsumers(options);
  }

  get table(): RoutingTable {
    return this.#table;
  }

  /**
   * Loads versions on every thread; they take no requests yet. Rejects when a thread cannot prepare one of them, or when
   * `signal` says that a newer one came: then all of them are discarded. It holds nobody else up: a `setup` may take long.
   */
  async prepare(sources: readonly GenerationSource[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const { manifest } of sources) await this.#options.topology.assertDomain(manifest);
    try {
      for (const source of sources) {
        // Before the threads: one of them may end in its code, and then is to be blamed.
        this.#table.addPrepared(source);
        await this.#options.pool().prepare(source, this.#prepareMs);
        signal.throwIfAborted();
      }
    } catch (error) {
      await this.discard(sources);
      throw error;
    }
  }

  /** Forgets prepared versions that are not wanted after all. */
  async discard(sources: readonly GenerationSource[]): Promise<void> {
    for (const { id } of sources.filter((source) => this.#table.deletePrepared(source))) {
      const command = { kind: 'discard', generation: id } as const;
      await this.#options
        .pool()
        .broadcast(command, { timeoutMs: this.#prepareMs })
        .catch(() => undefined);
    }
  }

  /** Gives prepared versions a share of the callers and copies of reads; or another share, when they have one. */
  routeCandidates(
    sources: readonly GenerationSource[],
    share: { readonly percent: number; readonly shadowPercent: number },
  ): Promise<void> {
    return this.#options.lock.run(async () => {
      // One for all of them, so that a caller is on one side in all their domains.
      const salt = Math.min(...sources.map(({ id }) => id));
      await this.#prepareJoined(sources);
      for (const source of sources) this.#table.setCandidate(source, { ...share, salt });
      await this.#route(domainsOf(sources));
      await this.#queues.addMissing(this.#table.domains);
    });
  }

  /** Takes candidates out again; callers are back on the version that serves, a domain that had none is out of service. */
  async withdrawCandidates(sources: readonly GenerationSource[]): Promise<void> {
    const withdrawn = await this.#options.lock.run(async () => {
      const routed = sources.filter((source) => this.#table.isCandidate(source));
      for (const source of routed) {
        this.#table.deleteCandidate(source);
        this.#drain(source);
      }
      await this.#route(domainsOf(routed));
      return routed;
    });
    for (const { manifest } of withdrawn.filter(
      (source) => this.#table.manifestOf(source.manifest.domain) === undefined,
    )) {
      // No thread answers it any more: what RabbitMQ still has of it does no harm.
      await this.#endQueues(manifest).catch((error: unknown) => {
        publishFault({
          where: `queues of ${manifest.domain}, which is out of service`,
          error,
          domain: manifest.domain,
        });
      });
    }
  }

  /**
   * Makes prepared versions or candidates serve their domains, together. Resolves with how long the flip took; rejects, and
   * nothing has changed, when `assertWanted` throws: it is asked right before the flip.
   */
  activate(sources: readonly GenerationSource[], assertWanted: () => void): Promise<{ readonly flipMs: number }> {
    return this.#options.lock.run(async () => {
      await this.#prepareJoined(sources);
      assertWanted();
      const previous = sources.flatMap(({ manifest }) => this.#table.live.get(manifest.domain)?.source ?? []);
      for (const source of sources) this.#table.setLive(source);
      // Before the flip: a thread without requests reports the old version drained together with its answer.
      for (const source of previous) this.#drain(source);
      const startedAtMs = performance.now();
      await this.#route(domainsOf(sources));
      const flipMs = performance.now() - startedAtMs;
      for (const domain of domainsOf(sources)) this.#queues.release(domain);
      // It serves: a RabbitMQ that went away just now is asked again by `reassert`, and no reason to call the version refused.
      await this.#queues
        .addMissing(this.#table.domains)
        .then(() => this.#unbindGone(previous))
        .catch((error: unknown) => {
          publishFault({ where: 'queues of a version that took over', error });
        });
      return { flipMs };
    });
  }

  /** Lets the requests of a domain wait in its queues, where `source` serves it, until another takes over or it is withheld. */
  hold({ id, manifest: { domain } }: GenerationSource): Promise<void> {
    return this.#options.lock.run(async () => {
      if (this.#table.live.get(domain)?.source.id === id) await this.#queues.hold(domain);
    });
  }

  /** Ends what must not go on though nothing can take its place: callers are told to come back. */
  withhold(manifest: Manifest): Promise<void> {
    return this.#options.lock.run(async () => {
      for (const source of this.#table.withhold(manifest)) this.#drain(source);
      this.#queues.release(manifest.domain);
      await this.#route([manifest.domain]);
      await this.#queues.addMissing(this.#table.domains);
    });
  }

  /** Takes a domain out of service after everything that was asked of it is answered; others do not wait meanwhile. */
  async retire(domain: string, why: Finding): Promise<void> {
    const manifest = this.#table.manifestOf(domain);
    if (manifest === undefined) return;
    this.#ending.add(domain);
    try {
      if (await this.#queues.isOnlyHere(domain)) {
        await this.#options.topology.unbind(domain, manifest.operations);
        await this.#queues.emptied(domain);
      }
      await this.#options.lock.run(async () => {
        await this.#queues.cancel(domain);
        for (const source of this.#table.deleteDomain(domain)) this.#drain(source, why);
        await this.#route([domain]);
      });
      await this.#options.topology.deleteIdle(domain);
    } finally {
      this.#ending.delete(domain);
    }
  }

  /**
   * Brings a new thread up to what the others serve. A version that this thread cannot prepare costs it that version, and no
   * other: the thread serves the rest, and tries again with `reassert`.
   */
  join(thread: ThreadHandle, group: string): Promise<void> {
    return this.#options.lock.run(async () => {
      const { config } = this.#options;
      const timeoutMs = config.plugins.prepareTimeoutMs;
      const { cells } = this.#options.pool();
      const loaded = this.#table.loaded.filter(({ manifest }) => cells.loads(group, manifest.domain));
      const failed = await this.#prepareOn(thread, loaded);
      const routes = this.#table.routes().map((route) => withoutGenerations(this.#routeFor(route, group), failed));
      await thread.request({ kind: 'route', routes }, timeoutMs);
      const domains = this.#table.domains.filter((domain) => !this.#isLacking(thread, domain));
      await this.#queues.addOn(thread, { domains, group });
    });
  }

  /** Whether a process of its own serves the domain, because its code may have ended the host. */
  isApart(domain: string): boolean {
    return this.#options.pool().cells.groupOf(domain) !== undefined;
  }

  /** A domain that was kept apart in a process of its own is served by the threads again. */
  rejoin(domain: string): Promise<void> {
    return this.#options.lock.run(async () => {
      const pool = this.#options.pool();
      const isConsumed = this.#queues.has(domain);
      const sources = this.#table.loaded.filter(({ manifest }) => manifest.domain === domain);
      const members = pool.serving.filter(({ group }) => pool.cells.get(group) === undefined);
      const missing = new Map<ThreadHandle, ReadonlySet<number>>();
      await Promise.all(
        members.map(async ({ handle }) =>
          missing.set(handle, await this.#prepareOn(handle, sources).catch(allOf(sources))),
        ),
      );
      await this.#queues.cancel(domain);
      pool.rejoin(domain);
      await this.#route([domain], missing);
      if (isConsumed) await this.#queues.addMissing([domain]);
    });
  }

  /** A thread is gone. */
  forget(thread: string): void {
    for (const handle of this.#lacking.keys()) if (handle.name === thread) this.#lacking.delete(handle);
  }

  /** Asserts queues and bindings of live domains again, in case somebody deleted them. */
  async reassert(): Promise<void> {
    await this.#options.topology.assertBase();
    for (const domain of this.#table.domains) {
      // One at a time, so that no rollout waits for all of them; and not one that is being retired.
      await this.#options.lock.run(async () => {
        const manifest = this.#table.manifestOf(domain);
        if (manifest !== undefined && !this.#ending.has(domain)) await this.#options.topology.assertDomain(manifest);
      });
    }
    await this.#options.lock.run(async () => {
      await this.#queues.addMissing(this.#table.domains);
      for (const thread of this.#lacking.keys()) await this.#catchUp(thread);
    });
  }

  get #prepareMs(): number {
    return this.#options.config.plugins.prepareTimeoutMs + 1_000;
  }

  /** Threads that joined while the others prepared may lack it. */
  async #prepareJoined(sources: readonly GenerationSource[]): Promise<void> {
    const pool = this.#options.pool();
    for (const source of sources) {
      // n.b. a process that takes the place of another joins under the lock that is held here.
      if (this.isApart(source.manifest.domain)) await pool.prepareServing(source, this.#prepareMs);
      else await pool.prepare(source, this.#prepareMs);
    }
  }

  /** Returns the generations that the thread could not prepare; rejects when it is gone. */
  async #prepareOn(thread: ThreadHandle, sources: readonly GenerationSource[]): Promise<ReadonlySet<number>> {
    const failed = new Set<number>();
    for (const source of sources) {
      if (this.#options.isRefused?.(source.hash) === true) {
        failed.add(source.id);
        continue;
      }
      try {
        await thread.prepare(source, this.#options.config.plugins.prepareTimeoutMs);
      } catch (error) {
        if (thread.state === 'ended') throw error;
        const { domain, version } = source.manifest;
        publishFault({ where: `preparation in thread ${thread.name}, which joined`, error, domain, version });
        failed.add(source.id);
        if (this.#table.live.get(domain)?.source === source) {
          this.#lacking.set(thread, (this.#lacking.get(thread) ?? new Set()).add(domain));
        } else this.#options.onUnprepared(source);
      }
    }
    return failed;
  }

  #isLacking(thread: ThreadHandle, domain: string): boolean {
    return this.#lacking.get(thread)?.has(domain) === true;
  }

  /** Tries once more what a thread could not prepare when it joined. */
  async #catchUp(thread: ThreadHandle): Promise<void> {
    const domains = [...(this.#lacking.get(thread) ?? [])];
    this.#lacking.delete(thread);
    const sources = domains.flatMap((domain) => this.#table.live.get(domain)?.source ?? []);
    const failed = await this.#prepareOn(thread, sources).catch(() => undefined);
    if (failed === undefined) return;
    const ready = domains.filter((domain) => !this.#isLacking(thread, domain));
    const routes = ready.map((domain) => this.#table.route(domain));
    await thread.request({ kind: 'route', routes }, this.#options.config.plugins.prepareTimeoutMs);
    const group = this.#options.pool().serving.find(({ handle }) => handle === thread)?.group;
    if (group !== undefined) await this.#queues.addOn(thread, { domains: ready, group });
  }

  async #endQueues({ domain, operations }: Manifest): Promise<void> {
    if (await this.#queues.isOnlyHere(domain)) await this.#options.topology.unbind(domain, operations);
    await this.#options.lock.run(() => this.#queues.cancel(domain));
    await this.#options.topology.deleteIdle(domain);
  }

  async #route(
    domains: readonly string[],
    missing: ReadonlyMap<ThreadHandle, ReadonlySet<number>> = new Map(),
  ): Promise<void> {
    if (domains.length === 0) return;
    const pool = this.#options.pool();
    const commandFor = ({ group, handle }: Member): ThreadCommand | undefined => {
      const routes = domains
        .filter((domain) => pool.cells.loads(group, domain) || pool.cells.get(group) === undefined)
        .map((domain) =>
          withoutGenerations(
            this.#routeFor(this.#table.route(domain), group),
            this.#notOn(handle, { domain, missing }),
          ),
        );
      return routes.length === 0 ? undefined : { kind: 'route', routes };
    };
    await pool.commit(commandFor, this.#options.config.plugins.prepareTimeoutMs);
  }

  /** What code that only others call could not load there, they do without. */
  #notOn(
    handle: ThreadHandle,
    { domain, missing }: { domain: string; missing: ReadonlyMap<ThreadHandle, ReadonlySet<number>> },
  ): ReadonlySet<number> {
    const pool = this.#options.pool();
    const group = pool.serving.find((member) => member.handle === handle)?.group ?? '';
    if (pool.cells.serves(group, domain)) return missing.get(handle) ?? NONE;
    return new Set(this.#table.loaded.filter(({ id }) => !handle.has(id)).map(({ id }) => id));
  }

  /** What is kept apart is out of reach for the code of others meanwhile. */
  #routeFor(route: Route, group: string): Route {
    const isServed = route.active !== undefined || route.candidate !== undefined || route.withheld === true;
    if (!isServed || this.#options.pool().cells.loads(group, route.domain)) return route;
    return { domain: route.domain, withheld: true };
  }

  #drain(source: GenerationSource, why?: Finding): void {
    const members = this.#options.pool().loading(source.manifest.domain);
    const threads = members.map(({ handle }) => handle.name);
    this.#options.drains.begin(source, threads, why);
  }

  async #unbindGone(previous: readonly GenerationSource[]): Promise<void> {
    for (const { manifest } of previous) {
      const next = this.#table.manifestOf(manifest.domain);
      const gone = Object.entries(manifest.operations).filter(([name]) => next && !(name in next.operations));
      if (gone.length > 0) await this.#options.topology.unbind(manifest.domain, Object.fromEntries(gone));
    }
  }
}

const NONE: ReadonlySet<number> = new Set();

function allOf(sources: readonly GenerationSource[]): () => ReadonlySet<number> {
  return () => new Set(sources.map(({ id }) => id));
}

function domainsOf(sources: readonly GenerationSource[]): readonly string[] {
  return sources.map(({ manifest }) => manifest.domain);
}

/** The route as a thread can follow it that could not prepare these. */
function withoutGenerations(route: Route, missing: ReadonlySet<number>): Route {
  const { active, candidate, ...rest } = route;
  return {
    ...rest,
    ...(active === undefined || missing.has(active) ? {} : { active }),
    ...(candidate === undefined || missing.has(candidate.generation) ? {} : { candidate }),
  };
}
