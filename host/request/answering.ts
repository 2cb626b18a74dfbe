import type { Delivery } from '../amqp/delivery.js';
import { type ReplyAddress, ReplyAddresses } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import { requestErrors } from '../errors/request.js';
import { publishFault } from '../observe/channels.js';
import type { Answer } from './answer.js';
import type { DeadLetters } from './dead-letters.js';

/** A reply is worth sending a little after the deadline: it says that the deadline passed. */
const REPLY_GRACE_MS = 1_000;

export interface Outgoing {
  readonly address: ReplyAddress | undefined;
  readonly text: string;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
}

export interface AnsweringOptions {
  readonly replies: ReplyPublisher;
  readonly dead: DeadLetters;
  /** First word of the host's names. */
  readonly prefix: string;
}

/** How a message ends: its caller is told, or, where nobody is, what was not carried out is kept as a dead letter. */
export class Answering {
  readonly #replies: ReplyPublisher;
  readonly #dead: DeadLetters;
  readonly #addresses: ReplyAddresses;

  constructor({ replies, dead, prefix }: AnsweringOptions) {
    this.#replies = replies;
    this.#dead = dead;
    this.#addresses = new ReplyAddresses(prefix);
  }

  /** Where the answer goes. A message with an address that is refused is settled. */
  addressOf(delivery: Delivery): ReplyAddress | 'refused' | undefined {
    const replyTo: unknown = delivery.properties.replyTo;
    if (typeof replyTo !== 'string' || replyTo === '') return undefined;
    const address = this.#addresses.parse(replyTo);
    if (address !== undefined) return address;
    const error = requestErrors.make('BEDS_REQUEST_REPLY_TO');
    publishFault({ where: 'reply address', error });
    this.#dead.bury(delivery, error);
    return 'refused';
  }

  /** Replies, and settles the message when RabbitMQ has taken responsibility for the reply. */
  conclude(delivery: Delivery, address: ReplyAddress | undefined, { text, verdict, expiresAtMs, lost }: Answer): void {
    if (text !== undefined && address !== undefined) {
      this.send(delivery, { address, text, expiresAtMs }, () => delivery.settle(verdict));
    } else if (lost === undefined) delivery.settle(verdict);
    else this.#dead.bury(delivery, lost);
  }

  /** `onSent`: RabbitMQ has taken responsibility for the reply, or nobody takes it, or it waits with replies to addresses that may be made up. */
  send(delivery: Delivery, { address, text, expiresAtMs }: Outgoing, onSent: () => void): void {
    if (address === undefined) {
      onSent();
      return;
    }
    const correlationId: unknown = delivery.properties.correlationId;
    this.#replies.publish(
      {
        address,
        correlationId: typeof correlationId === 'string' ? correlationId : undefined,
        body: Buffer.from(text),
        expiresAtMs: expiresAtMs + REPLY_GRACE_MS,
        isUrgent: delivery.isUrgent,
        onHeldUp: onSent,
      },
      onSent,
    );
  }
}
