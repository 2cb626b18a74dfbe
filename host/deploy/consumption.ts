import { setTimeout as delay } from 'node:timers/promises';
import type { Names } from '../amqp/names.js';
import type { Topology } from '../amqp/topology.js';
import type { Config } from '../config/schema.js';
import type { ThreadHandle } from '../threads/handle.js';
import type { ThreadPool } from '../threads/pool.js';

export interface ConsumptionOptions {
  readonly pool: () => ThreadPool;
  readonly topology: Topology;
  readonly names: Names;
  readonly config: Pick<Config, 'plugins' | 'supervisor' | 'brokers'>;
  /** Brokers of this node's role. */
  readonly brokers: readonly string[];
}

const MODES = ['read', 'write'] as const;
const POLL_MS = 25;

/** Which domains' queues the broker threads consume. */
export class Consumption {
  readonly #options: ConsumptionOptions;
  readonly #consumed = new Set<string>();
  /** Their requests wait in the queues, because what serves them does harm. */
  readonly #held = new Set<string>();

  constructor(options: ConsumptionOptions) {
    this.#options = options;
  }

  has(domain: string): boolean {
    return this.#consumed.has(domain);
  }

  /** Consumes the queues of these domains on all threads of their groups, as far as that is not so yet. */
  async addMissing(domains: readonly string[]): Promise<void> {
    const pool = this.#options.pool();
    for (const domain of domains.filter((one) => !this.#consumed.has(one) && !this.#held.has(one))) {
      const options = { timeoutMs: this.#timeoutMs, group: pool.groupOf(domain) };
      await Promise.all(
        MODES.map((mode) =>
          pool.broadcast({ kind: 'consume', mode, queue: this.#options.names.queue(domain, mode) }, options),
        ),
      );
      this.#consumed.add(domain);
    }
  }

  /** Consumes on one thread what its group consumes of these. */
  async addOn(thread: ThreadHandle, { domains, group }: { domains: readonly string[]; group: string }): Promise<void> {
    const { pool, names } = this.#options;
    const own = domains.filter((domain) => this.#consumed.has(domain) && pool().groupOf(domain) === group);
    for (const mode of MODES) {
      for (const domain of own) {
        await thread.request({ kind: 'consume', mode, queue: names.queue(domain, mode) }, this.#timeoutMs);
      }
    }
  }

  async cancel(domain: string): Promise<void> {
    const pool = this.#options.pool();
    this.#held.delete(domain);
    this.#consumed.delete(domain);
    const options = { timeoutMs: this.#timeoutMs, group: pool.groupOf(domain) };
    for (const mode of MODES) {
      await pool.broadcast({ kind: 'cancel', queue: this.#options.names.queue(domain, mode) }, options);
    }
  }

  /** Lets the requests of a domain wait until `release`. */
  async hold(domain: string): Promise<void> {
    if (!this.#consumed.has(domain)) return;
    await this.cancel(domain);
    this.#held.add(domain);
  }

  release(domain: string): void {
    this.#held.delete(domain);
  }

  /** Whether all consumers of the domain's queues are this host's own. */
  async isOnlyHere(domain: string): Promise<boolean> {
    const pool = this.#options.pool();
    const group = pool.groupOf(domain);
    const threads = pool.serving.filter((member) => member.group === group).length;
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
  async emptied(domain: string): Promise<void> {
    const untilMs = performance.now() + this.#options.config.supervisor.drainTimeoutMs;
    while (performance.now() < untilMs) {
      const status = await this.#options.topology.status(domain);
      if (status.every(({ ready }) => ready === 0)) return;
      await delay(POLL_MS);
    }
  }

  get #timeoutMs(): number {
    return this.#options.config.plugins.prepareTimeoutMs;
  }
}
