import type { Channel, ChannelModel } from 'amqplib';
import { backoffMs } from '#sdk/time';

export interface KeptChannel<C extends Channel> {
  readonly create: () => Promise<C>;
  /** Makes what lives on the channel. */
  readonly setUp: (channel: C) => Promise<void> | void;
  /** RabbitMQ closes the channel, over what was sent on it. */
  readonly onError: (error: unknown, channel: C) => void;
  /** The channel is gone. While the connection stays, `setUp` gets another one. */
  readonly onClose: (channel: C) => void;
  /** Whether another channel is opened. Default: always. */
  readonly isWanted?: () => boolean;
}

/** Wait before the next attempt to open a channel. */
const RETRY = { minMs: 100, maxMs: 1_000 } as const;

/**
 * Opens a channel of a connection, and another one whenever it closes: RabbitMQ closes a channel over one message or one
 * declaration, and nothing else opens it again while the connection stays. Rejects when the first channel cannot be set up;
 * what fails later is tried again.
 */
export async function keepChannel<C extends Channel>(model: ChannelModel, kept: KeptChannel<C>): Promise<void> {
  let isConnected = true;
  // n.b. as many listen as there are channels: Node would take that for a leak.
  model.setMaxListeners(0);
  model.once('close', () => (isConnected = false));
  const openLater = (attempt: number): void => {
    const reopen = (): void => {
      if (!isConnected || kept.isWanted?.() === false) return;
      open().catch(() => openLater(attempt + 1));
    };
    setTimeout(reopen, backoffMs(attempt, RETRY)).unref();
  };
  const open = async (): Promise<void> => {
    const channel = await kept.create();
    let [isClosed, isSetUp] = [false, false];
    // n.b. a channel error without a listener closes the whole connection.
    channel.on('error', (error) => kept.onError(error, channel));
    channel.on('close', () => {
      isClosed = true;
      kept.onClose(channel);
      if (isSetUp) openLater(0);
    });
    try {
      await kept.setUp(channel);
    } catch (error) {
      if (!isClosed) await channel.close().catch(() => undefined);
      throw error;
    }
    isSetUp = true;
    if (isClosed) openLater(0);
  };
  await open();
}
