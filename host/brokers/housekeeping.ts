import { sleep } from '#sdk/time';
import type { JsonObject } from '@beds/sdk';
import type { BrokerContext } from './contract.js';

export interface HousekeepingOptions {
  readonly context: BrokerContext;
  /** Whose operation `purge` removes a part of what is old, and says how much that was (`removed`). */
  readonly domain: string;
  readonly firstMs: number;
  readonly everyMs: number;
  /** One round. It may fail: the next one does it. */
  readonly round: (housekeeping: Housekeeping) => Promise<void>;
}

const ASK_MS = 10_000;
/** Between two parts: whoever writes meanwhile comes in between. */
const PAUSE_MS = 100;
const MAX_PARTS = 200;

/** Keeps a domain of the admin node in order, round after round, until it is closed. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #ending = new AbortController();
  removed = 0;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    void this.#run();
  }

  close(): void {
    this.#ending.abort();
  }

  /** Removes what is old, a part at a time. */
  async purge(payload: JsonObject): Promise<void> {
    const { context, domain } = this.#options;
    const { signal } = this.#ending;
    for (let part = 0; part < MAX_PARTS && !signal.aborted; part += 1) {
      const { removed } = (await context.ask({ domain, op: 'purge', payload }, ASK_MS)) as { readonly removed: number };
      this.removed += removed;
      if (removed === 0) return;
      await sleep(PAUSE_MS, signal);
    }
  }

  async #run(): Promise<void> {
    const { firstMs, everyMs, round } = this.#options;
    const { signal } = this.#ending;
    await sleep(firstMs, signal);
    while (!signal.aborted) {
      await round(this).catch(() => undefined);
      await sleep(everyMs, signal);
    }
  }
}
