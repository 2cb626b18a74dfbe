import { setTimeout as delay } from 'node:timers/promises';
import type { Names } from '../amqp/names.js';
import type { Topology } from '../amqp/topology.js';
import type { Config } from '../config/schema.js';
import { type BrokerPlan, servesDomain } from '../roles.js';
import type { ThreadHandle } from '../threads/handle.js';
import type { ThreadPool } from '../threads/pool.js';

export interface DomainConsumersOptions {
  readonly pool: ThreadPool;
  readonly topology: Topology;
  readonly names: Names;
  readonly config: Pick<Config, 'plugins' | 'supervisor'>;
  /** The brokers of this node's roles. */
  readonly brokers: readonly BrokerPlan[];
}

const POLL_MS = 25;

/** Which domains' queues the brokers of this node consume. */
export class DomainConsumers {
  readonly #options: DomainConsumersOptions;
  readonly #consumed = new Set<string>();
  /** Their requests wait in the queues, because what serves them does harm. */
  readonly #held = new Set<string>();

  constructor(options: DomainConsumersOptions) {
    this.#options = options;
  }

  has(domain: string): boolean {
    return this.#consumed.has(domain);
  }

  /** Consumes the queues of these domains on all threads of their groups, as far as that is not so yet. */
  async addMissing(domains: readonly string[]): Promise<void> {
    const { pool } = this.#options;
    for (const domain of domains.filter((one) => !this.#consumed.has(one) && !this.#held.has(one))) {
      const options = { timeoutMs: this.#timeoutMs, group: pool.groupOf(domain) };
      await Promise.all(
        this.#consumersOf(domain).map(({ broker, queue }) =>
          pool.broadcast({ kind: 'consume', broker, queue }, options),
        ),
      );
      this.#consumed.add(domain);
    }
  }

  /** Consumes on one thread what its group consumes of these, and what belongs to no domain. */
  async addOn(thread: ThreadHandle, { domains, group }: { domains: readonly string[]; group: string }): Promise<void> {
    const { pool } = this.#options;
    const own = domains.filter((domain) => this.#consumed.has(domain) && pool.groupOf(domain) === group);
    for (const { broker, queue } of own.flatMap((domain) => this.#consumersOf(domain))) {
      await thread.request({ kind: 'consume', broker, queue }, this.#timeoutMs);
    }
    await thread.request({ kind: 'consume-own' }, this.#timeoutMs);
  }

  async cancel(domain: string): Promise<void> {
    const { pool } = this.#options;
    this.#held.delete(domain);
    this.#consumed.delete(domain);
    const options = { timeoutMs: this.#timeoutMs, group: pool.groupOf(domain) };
    for (const queue of new Set(this.#consumersOf(domain).map((each) => each.queue))) {
      await pool.broadcast({ kind: 'cancel', queue }, options);
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
    const { pool } = this.#options;
    const group = pool.groupOf(domain);
    const threads = pool.serving.filter((member) => member.group === group).length;
    const all = this.#consumersOf(domain);
    const status = await this.#options.topology.status(domain);
    return status.every(({ queue, consumers }) => {
      const own = all.filter((each) => each.queue === queue);
      return consumers <= threads * own.reduce((sum, { count }) => sum + count, 0);
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

  /** Which broker consumes which queue of the domain; `count` of them in each thread. */
  #consumersOf(domain: string): readonly { readonly broker: string; readonly queue: string; readonly count: number }[] {
    const { brokers, names } = this.#options;
    return brokers.flatMap((plan) => {
      if (plan.domainQueue === undefined || !servesDomain(plan, domain)) return [];
      return { broker: plan.name, queue: names.queue(domain, plan.domainQueue), count: plan.count };
    });
  }

  get #timeoutMs(): number {
    return this.#options.config.plugins.prepareTimeoutMs;
  }
}
