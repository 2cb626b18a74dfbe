import type { ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { isNack } from '#sdk/amqp';
import { publishFault } from '../observe/channels.js';
import { keepChannel } from './kept-channel.js';

/** A message that takes the place of one that was delivered. */
export interface HandedOver {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties: Options.Publish;
  /** Nobody need want it: then it is confirmed all the same. Default false. */
  readonly isOptional?: true;
}

/**
 * - `confirmed`: RabbitMQ has it in a queue
 * - `refused`: RabbitMQ surely does not have it
 * - `unknown`: the channel was lost before RabbitMQ said anything
 */
export type HandOverOutcome = 'confirmed' | 'refused' | 'unknown';

export type HandOverSettled = (outcome: HandOverOutcome) => void;

/** Names a message in RabbitMQ's return of it. */
const MARK = 'beds-hand-over';

/** Publishes messages whose originals are acknowledged only when RabbitMQ has the copies. Each is sent once. */
export class HandOver {
  #channel: ConfirmChannel | undefined;
  #sequence = 0;
  readonly #returned = new Set<number>();

  /** Whether RabbitMQ can be asked to take something. */
  get isOpen(): boolean {
    return this.#channel !== undefined;
  }

  attach(model: ChannelModel): Promise<void> {
    return keepChannel(model, {
      create: () => model.createConfirmChannel(),
      setUp: (channel) => {
        channel.on('return', ({ properties: { headers } }) => {
          // n.b. basic.return arrives before the confirm of the same message.
          this.#returned.add(Number(headers?.[MARK]));
        });
        this.#channel = channel;
      },
      onError: (error) => publishFault({ where: 'hand-over channel', error }),
      onClose: (channel) => {
        if (this.#channel === channel) this.#channel = undefined;
      },
    });
  }

  /** Never throws; `onSettled` is called once, also in this turn, and must not throw. */
  publish({ exchange, routingKey, body, properties, isOptional }: HandedOver, onSettled: HandOverSettled): void {
    const channel = this.#channel;
    if (channel === undefined) {
      onSettled('refused');
      return;
    }
    this.#sequence += 1;
    const sequence = this.#sequence;
    const headers: unknown = { ...(properties.headers as object | undefined), [MARK]: sequence };
    try {
      channel.publish(
        exchange,
        routingKey,
        body,
        { ...properties, headers, mandatory: isOptional !== true },
        (error: unknown) => {
          const isReturned = this.#returned.delete(sequence);
          if (error === null) onSettled(isReturned ? 'refused' : 'confirmed');
          else onSettled(isNack(error) ? 'refused' : 'unknown');
        },
      );
    } catch {
      // What cannot be encoded, or a channel that is just being closed: nothing was sent.
      onSettled('refused');
    }
  }
}
