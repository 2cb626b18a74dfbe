import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Manifest } from '@beds/sdk';
import type { Names } from '../../amqp/names.js';
import type { Topology } from '../../amqp/topology.js';
import type { Config } from '../../config/schema.js';
import type { GenerationSource } from '../../generation/contract.js';
import type { Route } from '../../generation/route.js';
import { publishFault } from '../../observe/channels.js';
import type { Mutex } from '../mutex.js';
import type { ThreadHandle } from '../threads/thread-handle.js';
import type { ThreadPool } from '../threads/thread-pool.js';
import type { Drains } from './drains.js';
import { RoutingTable } from './routing-table.js';

export interface RolloutsOptions {
  readonly pool: () => ThreadPool;
  readonly topology: Topology;
  readonly names: Names;
  readonly config: Pick<Config, 'plugins' | 'supervisor' | 'brokers'>;
  /** Brokers of this node's role. */
  readonly brokers: readonly string[];
  /** Serialises changes with each other and with threads that join. */
  readonly lock: Mutex;
  readonly drains: Drains;
}

const MODES = ['read', 'write'] as const;
const POLL_MS = 25;

/**
 * What the broker threads serve, all of them the same: versions are prepared on every thread, and then one command routes
 * requests to them on every thread, or nothing changes. A thread that does not follow is replaced.
 */
export class Rollouts {
  readonly #options: RolloutsOptions;
  readonly #table = new RoutingTable();
  /** Domains whose queues the threads were told to consume. */
  readonly #consumed = new Set<string>();

  constructor(options: RolloutsOptions) {
    this.#options = options;
  }

  get table(): RoutingTable {
    return this.#table;
  }

  /**
   * Loads versions on every thread; they take no requests yet. Rejects when a thread cannot prepare one of them, or when
   * `signal` says that a newer one came: then all of them are discarded.
   */
  prepare(sources: readonly GenerationSource[], signal: AbortSignal): Promise<void> {
    return this.#options.lock.run(async () => {
      signal.throwIfAborted();
      for (const { manifest } of sources) await this.#options.topology.assertDomain(manifest);
      try {
        for (const source of sources) {
          // Before the threads: one of them may end in its code, and then is to be blamed.
          this.#table.addPrepared(source);
          await this.#options.pool().broadcast({ kind: 'prepare', source }, { timeoutMs: this.#prepareMs });
          signal.throwIfAborted();
        }
      } catch (error) {
        await this.#discard(sources);
        throw error;
      }
    });
  }

  /** Forgets prepared versions that are not wanted after all. */
  discard(sources: readonly GenerationSource[]): Promise<void> {
    return this.#options.lock.run(() => this.#discard(sources));
  }

  /** Gives prepared versions a share of the callers and copies of reads; or another share, when they have one. */
  routeCandidates(
    sources: readonly GenerationSource[],
    share: { readonly percent: number; readonly shadowPercent: number },
  ): Promise<void> {
    return this.#options.lock.run(async () => {
      // One for all of them, so that a caller is on one side in all their domains.
      const salt = Math.min(...sources.map(({ id }) => id));
      for (const source of sources) this.#table.setCandidate(source, { ...share, salt });
      await this.#route(domainsOf(sources));
      await this.#consumeAll();
    });
  }

  /** Takes candidates out again; callers are back on the version that serves, a domain that had none is out of service. */
  withdrawCandidates(sources: readonly GenerationSource[]): Promise<void> {
    return this.#options.lock.run(async () => {
      const routed = sources.filter((source) => this.#table.isCandidate(source));
      const isServed = ({ manifest: { domain } }: GenerationSource): boolean =>
        this.#table.live.has(domain) || this.#table.isWithheld(domain);
      const beside = routed.filter(isServed);
      for (const source of beside) {
        this.#table.deleteCandidate(source);
        this.#drain(source);
      }
      await this.#route(domainsOf(beside));
      for (const { manifest } of routed.filter((source) => !isServed(source))) await this.#retire(manifest.domain);
    });
  }

  /**
   * Makes prepared versions or candidates serve their domains, together. Resolves with how long the flip took; rejects, and
   * nothing has changed, when `signal` said before it that a newer version came.
   */
  activate(sources: readonly GenerationSource[], signal: AbortSignal): Promise<{ readonly flipMs: number }> {
    return this.#options.lock.run(async () => {
      signal.throwIfAborted();
      const previous = sources.flatMap(({ manifest }) => this.#table.live.get(manifest.domain)?.source ?? []);
      for (const source of sources) this.#table.setLive(source);
      // Before the flip: a thread without requests reports the old version drained together with its answer.
      for (const source of previous) this.#drain(source);
      const startedAtMs = performance.now();
      await this.#route(domainsOf(sources));
      const flipMs = performance.now() - startedAtMs;
      // It serves: a RabbitMQ that went away just now is asked again by `reassert`, and no reason to call the version refused.
      await this.#consumeAll()
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
      if (this.#table.live.get(domain)?.source.id !== id || !this.#consumed.delete(domain)) return;
      const pool = this.#options.pool();
      const options = { timeoutMs: this.#options.config.plugins.prepareTimeoutMs, group: pool.groupOf(domain) };
      for (const queue of this.#queues(domain)) await pool.broadcast({ kind: 'cancel', queue }, options);
    });
  }

  /** Ends what must not go on though nothing can take its place: callers are told to come back. */
  withhold(manifest: Manifest): Promise<void> {
    return this.#options.lock.run(async () => {
      for (const source of this.#table.withhold(manifest)) this.#drain(source);
      await this.#route([manifest.domain]);
      await this.#consumeAll();
    });
  }

  /** Takes a domain out of service after everything that was asked of it is answered. */
  retire(domain: string): Promise<void> {
    return this.#options.lock.run(() => this.#retire(domain));
  }

  /** Brings a new thread up to what the others serve. */
  join(thread: ThreadHandle, group: string): Promise<void> {
    return this.#options.lock.run(async () => {
      const { names, config } = this.#options;
      const timeoutMs = config.plugins.prepareTimeoutMs;
      for (const source of this.#table.loaded) await thread.request({ kind: 'prepare', source }, timeoutMs);
      await thread.request({ kind: 'route', routes: this.#table.routes() }, timeoutMs);
      const domains = [...this.#consumed].filter((domain) => this.#options.pool().groupOf(domain) === group);
      for (const mode of MODES) {
        for (const domain of domains) {
          await thread.request({ kind: 'consume', mode, queue: names.queue(domain, mode) }, timeoutMs);
        }
      }
      await thread.request({ kind: 'consume', mode: 'read', queue: names.unrouted }, timeoutMs);
    });
  }

  /** Asserts queues and bindings of live domains again, in case somebody deleted them. */
  async reassert(): Promise<void> {
    await this.#options.topology.assertBase();
    for (const domain of this.#table.domains) {
      // One at a time, so that no rollout waits for all of them; and not one that was retired meanwhile.
      await this.#options.lock.run(async () => {
        const manifest = this.#table.manifestOf(domain);
        if (manifest !== undefined) await this.#options.topology.assertDomain(manifest);
      });
    }
    await this.#options.lock.run(() => this.#consumeAll());
  }

  get #prepareMs(): number {
    return this.#options.config.plugins.prepareTimeoutMs + 1_000;
  }

  async #discard(sources: readonly GenerationSource[]): Promise<void> {
    for (const { id } of sources.filter((source) => this.#table.deletePrepared(source))) {
      const command = { kind: 'discard', generation: id } as const;
      await this.#options
        .pool()
        .broadcast(command, { timeoutMs: this.#prepareMs })
        .catch(() => undefined);
    }
  }

  async #retire(domain: string): Promise<void> {
    const manifest = this.#table.manifestOf(domain);
    if (manifest === undefined) return;
    const { topology, config } = this.#options;
    const pool = this.#options.pool();
    const group = pool.groupOf(domain);
    if (await this.#isOnlyHost(domain, group)) {
      await topology.unbind(domain, manifest.operations);
      await this.#emptied(domain);
    }
    const timeoutMs = config.plugins.prepareTimeoutMs;
    for (const queue of this.#queues(domain)) await pool.broadcast({ kind: 'cancel', queue }, { timeoutMs, group });
    this.#consumed.delete(domain);
    for (const source of this.#table.deleteDomain(domain)) this.#drain(source);
    await this.#route([domain]);
    await topology.deleteIdle(domain);
  }

  async #route(domains: readonly string[]): Promise<void> {
    if (domains.length === 0) return;
    const routes: readonly Route[] = domains.map((domain) => this.#table.route(domain));
    await this.#options.pool().commit({ kind: 'route', routes }, this.#options.config.plugins.prepareTimeoutMs);
  }

  #drain(source: GenerationSource): void {
    this.#options.drains.begin(
      source,
      this.#options.pool().serving.map(({ handle }) => handle.name),
    );
  }

  async #unbindGone(previous: readonly GenerationSource[]): Promise<void> {
    for (const { manifest } of previous) {
      const next = this.#table.manifestOf(manifest.domain);
      const gone = Object.entries(manifest.operations).filter(([name]) => next && !(name in next.operations));
      if (gone.length > 0) await this.#options.topology.unbind(manifest.domain, Object.fromEntries(gone));
    }
  }

  async #consumeAll(): Promise<void> {
    const pool = this.#options.pool();
    const timeoutMs = this.#options.config.plugins.prepareTimeoutMs;
    const missing = this.#table.domains.filter((domain) => !this.#consumed.has(domain));
    for (const domain of missing) {
      const group = pool.groupOf(domain);
      await Promise.all(
        MODES.map((mode) =>
          pool.broadcast(
            { kind: 'consume', mode, queue: this.#options.names.queue(domain, mode) },
            { timeoutMs, group },
          ),
        ),
      );
      this.#consumed.add(domain);
    }
  }

  #queues(domain: string): readonly string[] {
    return MODES.map((mode) => this.#options.names.queue(domain, mode));
  }

  /** Whether all consumers of the domain's queues are this host's own. */
  async #isOnlyHost(domain: string, group: string): Promise<boolean> {
    const threads = this.#options.pool().serving.filter((member) => member.group === group).length;
    const own = (mode: 'read' | 'write'): number =>
      this.#options.brokers
        .map((kind) => this.#options.config.brokers[kind])
        .reduce((sum, kind) => sum + (kind?.mode === mode ? kind.count * threads : 0), 0);
    const status = await this.#options.topology.status(domain);
    return MODES.every((mode) => {
      const queue = status.find((entry) => entry.queue === this.#options.names.queue(domain, mode));
      return queue === undefined || queue.consumers <= own(mode);
    });
  }

  /** Waits until the queues hold nothing that was asked before the bindings ended, at most the drain timeout. */
  async #emptied(domain: string): Promise<void> {
    const untilMs = performance.now() + this.#options.config.supervisor.drainTimeoutMs;
    while (performance.now() < untilMs) {
      const status = await this.#options.topology.status(domain);
      if (status.every(({ ready }) => ready === 0)) return;
      await delay(POLL_MS);
    }
  }
}

function domainsOf(sources: readonly GenerationSource[]): readonly string[] {
  return sources.map(({ manifest }) => manifest.domain);
}
