import type { Channel, ChannelModel } from 'amqplib';
import { keepChannel } from '../amqp/kept-channel.js';
import { publishFault } from '../observe/channels.js';
import type { Access, Revocation } from './access.js';

/** The topic that says that a session, or all of a user's, ended before its time. */
const REVOKED = 'session.revoked';

/** Hears of sessions that end before their time, on a connection that requests come by as well: without it there are neither. */
export class Revocations {
  readonly #exchange: string;
  readonly #access: Access;
  #model: ChannelModel | undefined;
  #isWanted = false;

  constructor(exchange: string, access: Access) {
    this.#exchange = exchange;
    this.#access = access;
  }

  attach(model: ChannelModel): void {
    this.#model = model;
    if (this.#isWanted) this.#listen(model);
  }

  /** Listens from now on. */
  begin(): void {
    this.#isWanted = true;
    if (this.#model !== undefined) this.#listen(this.#model);
  }

  #listen(model: ChannelModel): void {
    keepChannel(model, {
      create: () => model.createChannel(),
      setUp: (channel) => this.#consume(channel),
      onError: (error) => publishFault({ where: 'revocations of sessions', error }),
      onClose: () => this.#access.listening(false),
      isWanted: () => this.#model === model,
    }).catch((error: unknown) => {
      publishFault({ where: 'revocations of sessions: every session is asked for each time', error });
    });
  }

  async #consume(channel: Channel): Promise<void> {
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
    await channel.bindQueue(queue, this.#exchange, REVOKED);
    const take = (content: Buffer): void => {
      const revoked = revocationOf(content);
      if (revoked === undefined) this.#access.listening(true);
      else this.#access.revoke(revoked);
    };
    await channel.consume(
      queue,
      (message) => {
        if (message === null) this.#access.listening(false);
        else take(message.content);
      },
      { noAck: true },
    );
    this.#access.listening(true);
  }
}

/** Undefined: it cannot be told what was revoked. */
function revocationOf(content: Buffer): Revocation | undefined {
  try {
    const body = JSON.parse(content.toString()) as Readonly<Record<string, unknown>>;
    const { session, user } = (body['data'] ?? body) as Readonly<Record<string, unknown>>;
    const revoked = {
      ...(typeof session === 'string' && { session }),
      ...(typeof user === 'string' && { user }),
    };
    return Object.keys(revoked).length === 0 ? undefined : revoked;
  } catch {
    return undefined;
  }
}
