import type { Options } from 'amqplib';
import type { Delivery } from '../amqp/delivery.js';
import { MALFORMED_HEADERS } from '../amqp/header-guard.js';

/** Header of a copy: when the message was first delivered, ISO 8601. */
export const SINCE = 'beds-since';

/** Headers that RabbitMQ would act upon again, or writes itself; and the mark of what could not be decoded. */
const NOT_COPIED: ReadonlySet<string> = new Set([
  ...['CC', 'BCC', 'x-delivery-count', 'x-acquired-count', 'x-death', MALFORMED_HEADERS],
]);

/** n.b. without user-id: RabbitMQ takes a message only from the account that it names. */
const COPIED = [
  ...['contentType', 'contentEncoding', 'correlationId', 'replyTo', 'expiration'],
  ...['messageId', 'timestamp', 'type', 'appId', 'priority'],
] as const;

/** The properties of a message that takes the place of `delivery`: its own, persistent, and these headers. */
export function copyOf(delivery: Delivery, headers: Readonly<Record<string, unknown>>): Options.Publish {
  const own = Object.entries(delivery.properties.headers ?? {}).filter(([name]) => !NOT_COPIED.has(name));
  const known = COPIED.map((name): readonly [string, unknown] => [name, delivery.properties[name]]);
  const set = known.filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(set), deliveryMode: 2, headers: { ...Object.fromEntries(own), ...headers } };
}

/** Whether a host gave the message back before it began with it. */
export function isCopy(delivery: Delivery): boolean {
  return delivery.properties.headers?.[SINCE] !== undefined;
}

/** When a message was first delivered, whatever copies were made of it since. */
export function sinceOf(delivery: Delivery): string {
  const known: unknown = delivery.properties.headers?.[SINCE];
  if (typeof known === 'string') return known;
  return new Date(Date.now() - (performance.now() - delivery.receivedAtMs)).toISOString();
}
