import { randomUUID } from 'node:crypto';
import { type Json, type JsonObject, type RowOf, t } from '@beds/sdk';

/** How long a taker of events has them for itself. */
const LEASE_MS = 5_000;
/** n.b. one store keeps the lines as a text, which begins so, another as a list. */
const LINES = 'lines:\n';

/** Events of one record, as an operation gives them to the broker that publishes them; null: there are none. */
export const takenEvents = {
  taken: t.object({ record: t.string(), raw: t.json(), events: t.list(t.json()) }).optional(),
};

/** The events that it has published. */
export const publishedEvents = { record: t.string(), raw: t.json() };

/** The named objects of a domain that keeps events with its records. */
interface Outbox {
  outbox(args: { readonly now: number; readonly until: number }): Promise<{ id: string; outbox: Json } | undefined>;
  outboxDone(args: { readonly id: string; readonly published: string; readonly events: Json }): Promise<unknown>;
  outboxRest(args: { readonly id: string }): Promise<unknown>;
}

/** What others are to be told, as it is kept with the record: a line each. */
export function told(at: number, ...events: readonly (readonly [topic: string, data: object])[]): string {
  return events.map(([topic, data]) => JSON.stringify({ id: randomUUID(), topic, at, data })).join('\n');
}

/** Events of one record; they are the taker's own for some seconds. */
export async function takeEvents(db: Outbox): Promise<RowOf<typeof takenEvents>> {
  const now = Date.now();
  const found = await db.outbox({ now, until: now + LEASE_MS });
  if (found === undefined) return { taken: null };
  const { id: record, outbox: kept } = found;
  if (typeof kept === 'string') {
    const { parts, events } = nextOf(partsOf(kept));
    return { taken: { record, raw: LINES + parts.join(''), events } };
  }
  const { parts, events } = nextOf(kept as readonly Json[]);
  return { taken: { record, raw: parts, events } };
}

function partsOf(text: string): readonly string[] {
  return text.slice(LINES.length).match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** What stands before a part that is no event; else that part alone: what stands behind it waits until somebody has taken it away. */
function nextOf<T extends Json>(all: readonly T[]): { readonly parts: readonly T[]; readonly events: readonly Json[] } {
  const events = all.map((part) => (typeof part === 'string' ? linesOf(part) : [part]));
  const wrongAt = events.findIndex((each) => !each.every(isEvent));
  const count = wrongAt === -1 ? all.length : Math.max(1, wrongAt);
  return { parts: all.slice(0, count), events: events.slice(0, count).flat() };
}

/** What is no JSON is given as the text that it is. */
function linesOf(part: string): readonly Json[] {
  const lines = part.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    try {
      return JSON.parse(line) as Json;
    } catch {
      return line;
    }
  });
}

function isEvent(value: Json): value is JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { id, topic, at, data } = value as JsonObject;
  return typeof id === 'string' && typeof topic === 'string' && Number.isSafeInteger(at) && data !== undefined;
}

/** These need not be kept any longer. */
export async function forgetEvents(db: Outbox, { record, raw }: RowOf<typeof publishedEvents>): Promise<object> {
  const isText = typeof raw === 'string';
  // n.b. a store that keeps a list has no use for the text: one that is surely not among its parts.
  const published = isText ? raw.slice(LINES.length) : randomUUID();
  await db.outboxDone({ id: record, published, events: isText ? [] : raw });
  await db.outboxRest({ id: record });
  return {};
}
