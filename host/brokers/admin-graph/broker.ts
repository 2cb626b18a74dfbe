import type { JsonObject } from '@beds/sdk';
import { Batches } from '../batches.js';
import type { OpenBroker } from '../contract.js';
import { Housekeeping } from '../housekeeping.js';

const ASK_MS = 10_000;
const TIDY_MS = 60_000;
const FIRST_TIDY_MS = 15_000;

/** What a message asks the domain to keep. */
interface Told {
  readonly op: 'add' | 'addUsage';
  readonly payload: JsonObject;
}

/** n.b. what is wrong in it, the domain refuses. Undefined: it is neither. */
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

export const open: OpenBroker = (context) => {
  let refused = 0;
  const housekeeping = new Housekeeping({
    ...{ context, domain: 'metrics', firstMs: FIRST_TIDY_MS, everyMs: TIDY_MS },
    // Coarse samples are made of fine ones before these go.
    round: async (metrics) => {
      await context.ask({ domain: 'metrics', op: 'rollUp', payload: {} }, ASK_MS);
      await metrics.purge({});
    },
  });
  const batches = new Batches<Told>({
    maxItems: 1,
    holdMs: 0,
    keep: async (told) => {
      for (const { op, payload } of told) await context.ask({ domain: 'metrics', op, payload }, ASK_MS);
    },
  });
  return {
    handle: (delivery) => {
      const told = context.isFromHost(delivery) ? read(delivery.body) : undefined;
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
      housekeeping.close();
    },
  };
};
