import type { JsonObject } from '@beds/sdk';
import { Batches } from '../batches.js';
import type { OpenBroker } from '../contract.js';
import { Housekeeping } from '../housekeeping.js';

const MAX_LINES = 200;
const HOLD_MS = 200;
const ASK_MS = 10_000;
const DAY_MS = 86_400_000;
const PURGE_MS = 60_000;
const FIRST_PURGE_MS = 10_000;

/** Levels that are kept equally long, by the key that says how long. */
const AGES = [
  ['debugDays', 0, 29],
  ['infoDays', 30, 39],
  ['warnDays', 40, 49],
  ['errorDays', 50, 100],
] as const;

const ID = /^[0-9a-z]{9}-[0-9a-z]{1,20}-[0-9a-z]{1,9}$/;
const MAX_LENGTHS = {
  ...{ message: 2_000, domain: 200, version: 200, requestId: 200, traceId: 200 },
  ...{ cause: 16, code: 200, place: 200, fields: 8_192 },
} as const;

/** What of a line the domain takes. Undefined: it is no line. */
function readLine(given: unknown, node: string): JsonObject | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  const { id, level, count, ...rest } = given as Readonly<Record<string, unknown>>;
  if (typeof id !== 'string' || !ID.test(id) || !isWhole(level, 0, 100)) return undefined;
  const texts = Object.entries(MAX_LENGTHS).flatMap(([name, most]) => {
    const text = rest[name];
    return typeof text === 'string' ? [[name, wellFormed(text).slice(0, most)] as const] : [];
  });
  const line = { id, level, node, message: '', ...Object.fromEntries(texts) };
  return isWhole(count, 1, 2_000_000_000) ? { ...line, count } : line;
}

/** n.b. half of a pair that was cut cannot be written as UTF-8, and one such line would keep its whole batch from being kept. */
function wellFormed(text: string): string {
  return text.toWellFormed().replaceAll('\0', '�');
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}

function readLines(body: Buffer): readonly JsonObject[] | undefined {
  try {
    const { node, data } = JSON.parse(body.toString()) as {
      readonly node: unknown;
      readonly data: { readonly lines: unknown };
    };
    if (typeof node !== 'string' || !Array.isArray(data.lines)) return undefined;
    const name = wellFormed(node).slice(0, 200);
    return (data.lines as readonly unknown[])
      .slice(0, MAX_LINES)
      .map((line) => readLine(line, name))
      .filter((line) => line !== undefined);
  } catch {
    return undefined;
  }
}

export const open: OpenBroker = (context) => {
  let refused = 0;
  const housekeeping = new Housekeeping({
    ...{ context, domain: 'logs', firstMs: FIRST_PURGE_MS, everyMs: PURGE_MS },
    round: async (logs) => {
      for (const [key, leastLevel, mostLevel] of AGES) {
        const before = Date.now() - Number(context.plan.settings[key]) * DAY_MS;
        await logs.purge({ leastLevel, mostLevel, before }).catch(() => undefined);
      }
    },
  });
  const batches = new Batches<JsonObject>({
    maxItems: MAX_LINES,
    holdMs: HOLD_MS,
    keep: async (lines) => {
      await context.ask({ domain: 'logs', op: 'add', payload: { lines: [...lines] } }, ASK_MS);
    },
  });
  return {
    handle: (delivery) => {
      const lines = context.isFromHost(delivery) ? readLines(delivery.body) : undefined;
      if (lines === undefined) refused += 1;
      batches.add(delivery, lines ?? []);
    },
    metrics: () => ({
      beds_admin_logs_kept_total: batches.kept,
      beds_admin_logs_refused_total: refused + batches.refused,
      beds_admin_logs_failures_total: batches.failures,
      beds_admin_logs_removed_total: housekeeping.removed,
    }),
    close: () => {
      batches.close();
      housekeeping.close();
    },
  };
};
