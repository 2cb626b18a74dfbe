import { backoffMs, sleep } from '#sdk/time';
import { isBedsError } from '@beds/sdk';
import type { Delivery } from '../amqp/queue-consumer.js';

export interface BatchesOptions<T> {
  readonly maxItems: number;
  /** How long a batch waits for more. */
  readonly holdMs: number;
  /** Keeps them; rejects where they are not kept, or where nobody knows. */
  readonly keep: (items: readonly T[]) => Promise<void>;
}

const RETRY = { minMs: 500, maxMs: 15_000 } as const;

interface Waiting<T> {
  readonly delivery: Delivery;
  readonly items: readonly T[];
}

/**
 * Keeps what comes in messages in batches, one after the other. A message is acknowledged when all that it brought is kept; until then it
 * is tried again, and RabbitMQ sends no more than `prefetch` of them.
 */
export class Batches<T> {
  readonly #options: BatchesOptions<T>;
  readonly #ending = new AbortController();
  readonly #waiting: Waiting<T>[] = [];
  #count = 0;
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;
  /** Items that are kept; that nobody keeps, because they are wrong; and attempts that failed. */
  kept = 0;
  refused = 0;
  failures = 0;

  constructor(options: BatchesOptions<T>) {
    this.#options = options;
  }

  add(delivery: Delivery, items: readonly T[]): void {
    if (items.length === 0) {
      delivery.settle('ack');
      return;
    }
    this.#waiting.push({ delivery, items });
    this.#count += items.length;
    if (this.#count >= this.#options.maxItems) void this.#run();
    else this.#timer ??= setTimeout(() => void this.#run(), this.#options.holdMs);
  }

  /** RabbitMQ gets back what is not kept. */
  close(): void {
    this.#ending.abort();
    clearTimeout(this.#timer);
    for (const { delivery } of this.#waiting.splice(0)) delivery.settle('requeue');
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.length > 0) await this.#keepOne(this.#take());
    this.#isRunning = false;
  }

  /** At least one message, and as many more as fit. */
  #take(): readonly Waiting<T>[] {
    let count = 0;
    const end = this.#waiting.findIndex(({ items }, index) => {
      count += items.length;
      return index > 0 && count > this.#options.maxItems;
    });
    const taken = this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
    this.#count -= taken.reduce((sum, { items }) => sum + items.length, 0);
    return taken;
  }

  async #keepOne(batch: readonly Waiting<T>[]): Promise<void> {
    const { signal } = this.#ending;
    const items = batch.flatMap((each) => each.items);
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      if (await this.#isSettled(items)) {
        for (const { delivery } of batch) delivery.settle('ack');
        return;
      }
      await sleep(backoffMs(attempt, RETRY), signal);
    }
    for (const { delivery } of batch) delivery.settle('requeue');
  }

  /** Whether they are kept, or never will be. */
  async #isSettled(items: readonly T[]): Promise<boolean> {
    try {
      await this.#options.keep(items);
      this.kept += items.length;
      return true;
    } catch (error) {
      // n.b. it would be refused each time, and whatever comes after it would wait.
      const isRefused = isBedsError(error) && error.status === 'invalid';
      if (isRefused) this.refused += items.length;
      else this.failures += 1;
      return isRefused;
    }
  }
}
