import type { Writable } from 'node:stream';
import type { ChannelModel } from 'amqplib';

/** What writes the frames of a connection's channels, in turns. */
interface Muxer {
  readonly out: Writable;
  _readIncoming(): void;
}

/**
 * Makes a connection hand the frames of one turn to the kernel together. amqplib writes each frame by itself, and a system
 * call for every reply and every acknowledgement costs more than all else that is done for a small message.
 *
 * An amqplib that is made otherwise is left as it is, because a slower host is better than none; the test of this file
 * fails when it replaces the one we know.
 */
export function corkWrites(model: ChannelModel): void {
  const { muxer } = model.connection as unknown as { readonly muxer?: Partial<Muxer> };
  if (muxer?._readIncoming === undefined || muxer.out === undefined) return;
  const { out } = muxer;
  const readIncoming = muxer._readIncoming.bind(muxer);
  muxer._readIncoming = () => {
    out.cork();
    try {
      readIncoming();
    } finally {
      out.uncork();
    }
  };
}
