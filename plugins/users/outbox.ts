import { randomUUID } from 'node:crypto';
import { type Json, type RowOf, t } from '@beds/sdk';

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
  const { id: record, outbox: raw } = found;
  const texts = typeof raw === 'string' ? [raw.slice(LINES.length)] : (raw as readonly string[]);
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line !== '');
  return { taken: { record, raw, events: lines.map((line) => JSON.parse(line) as Json) } };
}

/** These need not be kept any longer. */
export async function forgetEvents(db: Outbox, { record, raw }: RowOf<typeof publishedEvents>): Promise<object> {
  const isText = typeof raw === 'string';
  await db.outboxDone({ id: record, published: isText ? raw.slice(LINES.length) : '', events: isText ? [] : raw });
  await db.outboxRest({ id: record });
  return {};
}
