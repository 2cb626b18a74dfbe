import { sleep } from '#sdk/time';
import type { JsonObject } from '@beds/sdk';
import { Batches } from '../batches.js';
import type { BrokerContext, OpenBroker } from '../contract.js';

const ASK_MS = 10_000;
const TIDY_MS = 60_000;
const FIRST_TIDY_MS = 15_000;
const PAUSE_MS = 100;
const MAX_PARTS = 200;

/** What a message asks the domain to keep. */
interface Told {
  readonly op: 'add' | 'addUsage';
  readonly payload: JsonObject;
}

/** n.b. whoever may publish may publish anything; what is wrong in it, the domain refuses. Undefined: it is neither. */
function read(body: Buffer): Told | undefined {
  try {
    const { node, data } = JSON.parse(body.toString()) as { readonly node: string; readonly data: JsonObject };
    const { at, process, samples, rows } = data;
    if (Array.isArray(samples)) return { op: 'add', payload: { node, at: at ?? 0, samples } };
    if (Array.isArray(rows)) return { op: 'addUsage', payload: { node, process: process ?? '', rows } };
    return undefined;
  } catch {
    return undefined;
  }
}

/** Makes coarse samples of fine ones, and removes what is old, until it is closed. */
class Tidying {
  readonly #context: BrokerContext;
  readonly #ending = new AbortController();

  constructor(context: BrokerContext) {
    this.#context = context;
    void this.#run();
  }

  close(): void {
    this.#ending.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    await sleep(FIRST_TIDY_MS, signal);
    while (!signal.aborted) {
      await this.#tidy().catch(() => undefined);
      await sleep(TIDY_MS, signal);
    }
  }

  async #tidy(): Promise<void> {
    const { signal } = this.#ending;
    await this.#context.ask({ domain: 'metrics', op: 'rollUp', payload: {} }, ASK_MS);
    for (let part = 0; part < MAX_PARTS && !signal.aborted; part += 1) {
      const { removed } = (await this.#context.ask({ domain: 'metrics', op: 'purge', payload: {} }, ASK_MS)) as {
        readonly removed: number;
      };
      if (removed === 0) return;
      await sleep(PAUSE_MS, signal);
    }
  }
}

export const open: OpenBroker = (context) => {
  let refused = 0;
  const tidying = new Tidying(context);
  const batches = new Batches<Told>({
    maxItems: 1,
    holdMs: 0,
    keep: async (told) => {
      for (const { op, payload } of told) await context.ask({ domain: 'metrics', op, payload }, ASK_MS);
    },
  });
  return {
    handle: (delivery) => {
      const told = read(delivery.body);
      if (told === undefined) refused += 1;
      batches.add(delivery, told === undefined ? [] : [told]);
    },
    metrics: () => ({
      beds_admin_graph_kept_total: batches.kept,
      beds_admin_graph_refused_total: refused + batches.refused,
      beds_admin_graph_failures_total: batches.failures,
    }),
    close: () => {
      batches.close();
      tidying.close();
    },
  };
};
