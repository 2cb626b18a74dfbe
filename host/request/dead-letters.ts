import type { BedsError } from '@beds/sdk';
import type { RequestEnvelope } from '#sdk/template';
import type { Options } from 'amqplib';
import type { Delivery } from '../amqp/queue-consumer.js';
import type { HandOver } from '../amqp/hand-over.js';
import { IN_NAME_OF, type ProgramPolicy } from '../access/programs.js';
import { MALFORMED_HEADERS } from '../amqp/guarded-amqplib.js';
import { publishFault } from '../observe/channels.js';

/** A request without a reply-to that was not carried out, and the reason. */
export interface Lost {
  readonly request: RequestEnvelope;
  readonly failure: BedsError;
}

const RETRY_MS = 1_000;
const MAX_ATTEMPTS = 10;
const MAX_MESSAGE_CHARACTERS = 1_000;

/**
 * Keeps what was not carried out and has nobody to be told, with the reason in its headers. RabbitMQ's own dead-lettering knows
 * no reason, so a copy is published and the original acknowledged; where no copy is taken, it is rejected.
 */
export class DeadLetters {
  readonly #handOver: HandOver;
  readonly #exchange: string;

  constructor(handOver: HandOver, exchange: string) {
    this.#handOver = handOver;
    this.#exchange = exchange;
  }

  /** The whole message; settles it. */
  bury(delivery: Delivery, failure: BedsError): void {
    this.#publish({ delivery, body: delivery.body, failure }, (isKept) => delivery.settle(isKept ? 'ack' : 'reject'));
  }

  /** Requests of a message whose others were carried out: one message for each reason. Settles the message. */
  buryParts(delivery: Delivery, lost: readonly Lost[]): void {
    const reasons = new Map<string, Lost[]>();
    for (const each of lost) reasons.set(each.failure.code, [...(reasons.get(each.failure.code) ?? []), each]);
    let open = reasons.size;
    let isAllKept = true;
    for (const parts of reasons.values()) {
      const [first] = parts;
      if (first === undefined) continue;
      const body = Buffer.from(JSON.stringify(parts.map(({ request }) => request)));
      this.#publish({ delivery, body, failure: first.failure }, (isKept) => {
        open -= 1;
        isAllKept &&= isKept;
        if (open === 0) delivery.settle(isAllKept ? 'ack' : 'reject');
      });
    }
  }

  #publish(letter: Letter, onDone: (isKept: boolean) => void, attempt = 1): void {
    const { delivery, body, failure } = letter;
    const message = {
      exchange: this.#exchange,
      routingKey: delivery.routingKey,
      body,
      properties: letterProperties(delivery, failure),
    };
    this.#handOver.publish(message, (outcome) => {
      // n.b. a letter that is there twice does no harm.
      if (outcome === 'confirmed') onDone(true);
      else if (attempt < MAX_ATTEMPTS && delivery.isLive) {
        setTimeout(() => this.#publish(letter, onDone, attempt + 1), RETRY_MS);
      } else {
        publishFault({ where: 'dead letters', error: failure });
        onDone(false);
      }
    });
  }
}

interface Letter {
  readonly delivery: Delivery;
  readonly body: Buffer;
  readonly failure: BedsError;
}

function letterProperties(delivery: Delivery, { code, message }: BedsError): ReturnType<typeof copyOf> {
  const [domain = '', operation = ''] = delivery.routingKey.split('.');
  const { userId, headers } = delivery.properties as { userId?: unknown; headers?: Readonly<Record<string, unknown>> };
  const properties = copyOf(delivery, {
    [OF_LETTER.reason]: code,
    [OF_LETTER.message]: message.slice(0, MAX_MESSAGE_CHARACTERS),
    [OF_LETTER.domain]: domain,
    [OF_LETTER.operation]: operation,
    [OF_LETTER.diedAt]: new Date().toISOString(),
    // n.b. said each time, as whoever asks may have written such headers.
    [OF_LETTER.user]: typeof userId === 'string' ? userId : '',
    [OF_LETTER.deliveries]: delivery.redelivered ? 1 + (Number(headers?.['x-delivery-count']) || 1) : 1,
    [SINCE]: sinceOf(delivery),
  });
  delete properties.expiration;
  return properties;
}

/** Headers that say why a request is a dead letter. */
export const OF_LETTER = {
  reason: 'beds-reason',
  message: 'beds-message',
  domain: 'beds-domain',
  operation: 'beds-operation',
  diedAt: 'beds-died-at',
  /** The account that published it, where RabbitMQ checked that. */
  user: 'beds-user',
  deliveries: 'beds-deliveries',
} as const;

/** Headers of a request that an operator sent again: the id of the letter that it was, and how often. */
export const LETTER = 'beds-letter';
export const RESENT = 'beds-resent';

/** Header of a copy: when the message was first delivered, ISO 8601. */
export const SINCE = 'beds-since';

/** Headers that RabbitMQ would act upon again, or writes itself; and the mark of what could not be decoded. */
export const NOT_COPIED: ReadonlySet<string> = new Set([
  'CC',
  'BCC',
  'x-delivery-count',
  'x-acquired-count',
  'x-death',
  IN_NAME_OF,
  MALFORMED_HEADERS,
]);

/** n.b. without user-id: RabbitMQ takes a message only from the account that it names. */
const COPIED = [
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'timestamp',
  'type',
  'appId',
  'priority',
] as const;

/** The same of one that may what the original may. */
export function copyInNameOf(
  delivery: Delivery,
  programs: Pick<ProgramPolicy, 'copyInNameOf'>,
  headers: Readonly<Record<string, unknown>>,
): Options.Publish {
  const { userId, headers: said } = programs.copyInNameOf(delivery.properties);
  const copy = copyOf(delivery, { ...headers, ...said });
  return userId === undefined ? copy : { ...copy, userId };
}

/** The properties of a message that takes the place of `delivery`: its own, persistent, and these headers. */
function copyOf(delivery: Delivery, headers: Readonly<Record<string, unknown>>): Options.Publish {
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
