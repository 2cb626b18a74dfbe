import type { Topology } from '../../amqp/topology.js';
import type { Names } from '../../amqp/names.js';
import type { Config } from '../../config/schema.js';
import type { GenerationSource } from '../../generation/contract.js';
import type { LifecycleState } from '../../generation/lifecycle.js';
import { publishFault } from '../../observe/channels.js';
import type { Mutex } from '../mutex.js';
import type { ThreadHandle } from '../threads/thread-handle.js';
import type { ThreadPool } from '../threads/thread-pool.js';

/** The version that serves a domain on this host. */
export interface LiveVersion {
  readonly source: GenerationSource;
  /** Milliseconds since 1970. */
  readonly since: number;
}

export interface RolloutsOptions {
  readonly pool: () => ThreadPool;
  readonly topology: Topology;
  readonly names: Names;
  readonly config: Pick<Config, 'plugins' | 'supervisor' | 'brokers'>;
  /** Brokers of this node's role. */
  readonly brokers: readonly string[];
  /** Serialises rollouts with each other and with threads that join. */
  readonly lock: Mutex;
  readonly onState: (source: GenerationSource, state: LifecycleState, ms?: number) => void;
}

const MODES = ['read', 'write'] as const;
const POLL_MS = 25;

/** Second half of the swap path: prepare on every thread → activate on all → the old version drains. Or nothing changes. */
export class Rollouts {
  readonly #options: RolloutsOptions;
  readonly #live = new Map<string, LiveVersion>();
  readonly #draining = new Map<number, { source: GenerationSource; threads: Set<string> }>();

  constructor(options: RolloutsOptions) {
    this.#options = options;
  }

  get live(): ReadonlyMap<string, LiveVersion> {
    return this.#live;
  }

  /**
   * Makes a version serve its domain on every thread. Rejects, with the old version serving as before, when a thread cannot
   * prepare it or when `signal` says that a newer one came. `completeAt`: when the bytes were complete, ms since 1970.
   */
  activate(source: GenerationSource, signal: AbortSignal, completeAt: number): Promise<void> {
    return this.#options.lock.run(async () => {
      signal.throwIfAborted();
      const { topology, config } = this.#options;
      const pool = this.#options.pool();
      await topology.assertDomain(source.manifest);
      await this.#prepare(source, signal);
      this.#options.onState(source, 'prepared', Date.now() - completeAt);
      const previous = this.#live.get(source.manifest.domain);
      // Before the flip: a thread without requests reports the old version drained together with its answer.
      if (previous !== undefined) this.#drain(previous.source);
      const route = { domain: source.manifest.domain, active: source.id };
      await pool.commit({ kind: 'route', routes: [route] }, config.plugins.prepareTimeoutMs);
      this.#live.set(source.manifest.domain, { source, since: Date.now() });
      if (previous === undefined) await this.#consume(source.manifest.domain);
      this.#options.onState(source, 'active', Date.now() - completeAt);
      if (previous === undefined) return;
      // It serves: what is left over is asked for in vain, and no reason to call the version refused.
      await this.#unbindGone(previous.source, source).catch((error: unknown) => {
        publishFault({ where: 'bindings of the version before', error, domain: source.manifest.domain });
      });
    });
  }

  /** Takes a domain out of service after everything that was asked of it is answered. */
  retire(domain: string): Promise<void> {
    return this.#options.lock.run(async () => {
      const live = this.#live.get(domain);
      if (live === undefined) return;
      const { topology, config } = this.#options;
      const pool = this.#options.pool();
      const group = pool.groupOf(domain);
      if (await this.#isOnlyHost(domain, group)) {
        await topology.unbind(domain, live.source.manifest.operations);
        await this.#emptied(domain);
      }
      const timeoutMs = config.plugins.prepareTimeoutMs;
      for (const queue of this.#queues(domain)) await pool.broadcast({ kind: 'cancel', queue }, { timeoutMs, group });
      this.#live.delete(domain);
      this.#drain(live.source);
      await pool.commit({ kind: 'route', routes: [{ domain }] }, timeoutMs);
      await topology.deleteIdle(domain);
    });
  }

  /** Brings a new thread up to what the others serve. */
  join(thread: ThreadHandle, group: string): Promise<void> {
    return this.#options.lock.run(async () => {
      const { names, config } = this.#options;
      const pool = this.#options.pool();
      const timeoutMs = config.plugins.prepareTimeoutMs;
      const sources = [...this.#live.values()].map(({ source }) => source);
      for (const source of sources) await thread.request({ kind: 'prepare', source }, timeoutMs);
      const routes = sources.map(({ id, manifest }) => ({ domain: manifest.domain, active: id }));
      await thread.request({ kind: 'route', routes }, timeoutMs);
      const domains = [...this.#live.keys()].filter((domain) => pool.groupOf(domain) === group);
      for (const mode of MODES) {
        for (const domain of domains) {
          await thread.request({ kind: 'consume', mode, queue: names.queue(domain, mode) }, timeoutMs);
        }
      }
      await thread.request({ kind: 'consume', mode: 'read', queue: names.unrouted }, timeoutMs);
    });
  }

  /** A thread has finished with an old version, or is gone: both end its part. */
  onDrained(generation: number, thread: string): void {
    const draining = this.#draining.get(generation);
    if (draining?.threads.delete(thread) !== true || draining.threads.size > 0) return;
    this.#draining.delete(generation);
    this.#options.onState(draining.source, 'retired');
  }

  onThreadLost(thread: string): void {
    for (const generation of this.#draining.keys()) this.onDrained(generation, thread);
  }

  /** Asserts queues and bindings of live domains again, in case somebody deleted them. */
  async reassert(): Promise<void> {
    await this.#options.topology.assertBase();
    for (const { source } of this.#live.values()) await this.#options.topology.assertDomain(source.manifest);
  }

  async #prepare(source: GenerationSource, signal: AbortSignal): Promise<void> {
    const pool = this.#options.pool();
    const timeoutMs = this.#options.config.plugins.prepareTimeoutMs + 1_000;
    try {
      await pool.broadcast({ kind: 'prepare', source }, { timeoutMs });
      signal.throwIfAborted();
    } catch (error) {
      await pool.broadcast({ kind: 'discard', generation: source.id }, { timeoutMs }).catch(() => undefined);
      throw error;
    }
  }

  async #unbindGone(previous: GenerationSource, next: GenerationSource): Promise<void> {
    const gone = Object.entries(previous.manifest.operations).filter(([name]) => !(name in next.manifest.operations));
    if (gone.length === 0) return;
    await this.#options.topology.unbind(previous.manifest.domain, Object.fromEntries(gone));
  }

  #drain(source: GenerationSource): void {
    this.#options.onState(source, 'draining');
    const threads = new Set(this.#options.pool().serving.map(({ handle }) => handle.name));
    this.#draining.set(source.id, { source, threads });
  }

  async #consume(domain: string): Promise<void> {
    const pool = this.#options.pool();
    const timeoutMs = this.#options.config.plugins.prepareTimeoutMs;
    const group = pool.groupOf(domain);
    await Promise.all(
      MODES.map((mode) =>
        pool.broadcast({ kind: 'consume', mode, queue: this.#options.names.queue(domain, mode) }, { timeoutMs, group }),
      ),
    );
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
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
