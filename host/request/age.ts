import { type RequestEnvelope, SENT_AT } from '@beds/sdk';
import type { Delivery } from '../amqp/delivery.js';
import type { Config } from '../config/schema.js';
import { isCopy } from './copy-properties.js';
import { requestErrors } from '../errors/request.js';

/** One moment on two clocks: the one of performance.now(), and the one on the wall, which others have as well. */
export interface Moment {
  readonly processMs: number;
  readonly wallMs: number;
}

export function thisMoment(): Moment {
  return { processMs: performance.now(), wallMs: Date.now() };
}

/** A request as it came. */
export interface Receipt {
  readonly request: RequestEnvelope;
  readonly delivery: Delivery;
  readonly receivedAtMs: number;
  /** Since when the message may have been in this process. */
  readonly readSinceMs: number;
  /** When it was decoded, or when it had waited for a store; undefined: now. */
  readonly readAt: Moment | undefined;
  /** Set where it waited for a store before. */
  readonly waited: object | undefined;
}

/** Set by RabbitMQ on arrival where its interceptor is on: https://www.rabbitmq.com/docs/message-interceptors */
export const BROKER_TIMESTAMP = 'timestamp_in_ms';

/**
 * When the request was made, in milliseconds since 1970, as far as anybody says so: the caller in the envelope or in a header of
 * the message, RabbitMQ in another one, or the caller's library in a property of whole seconds, of which the last millisecond counts.
 */
function sentAtOf({ meta }: RequestEnvelope, { properties }: Delivery, wallMs: number): number | undefined {
  // n.b. a clock that is ahead of ours says nothing of the age; another one may.
  if (meta?.sentAt !== undefined && meta.sentAt <= wallMs) return meta.sentAt;
  const headers: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const { [SENT_AT]: ofMessage, [BROKER_TIMESTAMP]: ofArrival } = headers;
  if (isPast(ofMessage, wallMs)) return ofMessage;
  if (isPast(ofArrival, wallMs)) return ofArrival;
  const seconds: unknown = properties.timestamp;
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 + 999 : undefined;
}

function isPast(value: unknown, wallMs: number): value is number {
  return typeof value === 'number' && value > 0 && value <= wallMs;
}

/** Whether anybody says when the request was made: mostly only then the clocks are worth a look. */
function isDated({ meta }: RequestEnvelope, { properties }: Delivery): boolean {
  if (meta?.sentAt !== undefined || properties.timestamp !== undefined) return true;
  const { headers } = properties;
  return headers !== undefined && (headers[SENT_AT] !== undefined || headers[BROKER_TIMESTAMP] !== undefined);
}

/** Whether somebody is to be told. */
export function hasReplyTo({ properties }: Delivery): boolean {
  const replyTo: unknown = properties.replyTo;
  return typeof replyTo === 'string' && replyTo !== '';
}

/**
 * Whether only the execution is bounded, and not the wait for it: its caller named no deadline, and is told nothing, or
 * knows that the request waits for a store.
 */
function waitsAsLongAsItTakes({ request, delivery, waited }: Receipt): boolean {
  if (request.meta?.deadlineMs !== undefined) return false;
  return waited !== undefined || !hasReplyTo(delivery) || isCopy(delivery);
}

/**
 * When its deadline passes, in terms of performance.now(): counted from when it was made where somebody says that, or else from
 * when it may have been here.
 */
export function expiryOf(receipt: Receipt, limits: Config['limits']): number {
  const { request, delivery, receivedAtMs, readSinceMs, readAt } = receipt;
  const timeMs = Math.min(request.meta?.deadlineMs ?? limits.defaultDeadlineMs, limits.maxDeadlineMs);
  const { expiration } = delivery.properties as { readonly expiration?: string };
  // n.b. RabbitMQ drops nothing that lies in a socket already. What began in time is not bounded by it.
  if (expiration !== undefined && readSinceMs + Number(expiration) < receivedAtMs) return readSinceMs;
  if (waitsAsLongAsItTakes(receipt)) return receivedAtMs + timeMs;
  if (!isDated(request, delivery)) return readSinceMs + timeMs;
  const { processMs, wallMs } = readAt ?? thisMoment();
  const sentAt = sentAtOf(request, delivery, wallMs);
  const ageMs = sentAt === undefined ? -1 : wallMs - sentAt;
  if (ageMs < 0) return readSinceMs + timeMs;
  return processMs - Math.max(0, ageMs - limits.clockSkewMs) + timeMs;
}

/** Of a request whose deadline had passed before the host began with it. */
export function tooLate(): Error {
  return requestErrors.make(
    'BEDS_REQUEST_DEADLINE_EXCEEDED',
    'The deadline had passed before the host began with the request; nothing was done.',
    {
      hint:
        'Allow more time with meta.deadlineMs. If every request ends so at once, compare the clocks of caller and host: ' +
        'the age is counted from meta.sentAt, and limits.clockSkewMs forgives a difference.',
    },
  );
}
