import type { Writable } from 'node:stream';
import type { ChannelModel } from 'amqplib';
import { BASIC, framesOf, type Publication, PUBLISH, readQuickly, type Reading } from './frames.js';

/** What amqplib gives a channel to write its frames into, as far as it uses it. */
interface FrameBuffer {
  /** False: more than enough waits; `onBufferDrain` of the channel says when that is over. */
  write(frame: Buffer): boolean;
  end(): void;
}

interface Channel {
  onBufferDrain(): void;
}

/** Sends a method with a content: what is sent, the channel first, and what amqplib makes of the properties. */
type SendMessage = (
  ...message: readonly [
    channel: number,
    method: number,
    fields: Publication,
    contentClass: number,
    properties: Publication,
    content: Buffer,
  ]
) => boolean;

/** The part of amqplib's connection that this file knows. */
interface Connection extends Reading {
  sendMessage: SendMessage;
  sentSinceLastCheck: boolean;
  readonly stream: Writable & Reading['stream'];
  readonly muxer: { unpipeFrom(buffer: FrameBuffer): void };
  readonly channels: ({ buffer: FrameBuffer } | null)[];
  /** What the server takes in one frame at most. */
  readonly frameMax: number;
  freshChannel(channel: Channel, options?: unknown): number;
}

/** What a frame has besides its content. */
const FRAME_OVERHEAD_BYTES = 8;
/** Frames of at least so many bytes are handed over as they are: copying them costs more than a system call. */
const LARGE_BYTES = 16_384;
/** Maximum writes that wait for a full socket before the channel gets backpressure. */
const MOST_BYTES = 1_048_576;
/** So many are not held back to the end of the turn: whoever gets them can begin meanwhile. */
const ENOUGH_BYTES = 16_384;

/** The frames of a connection's channels, handed to the kernel together at the end of each turn of the event loop. */
export class WriteCoalescer {
  readonly #out: Writable;
  readonly #held = new Set<Channel>();
  #frames: Buffer[] = [];
  #bytes = 0;
  #isScheduled = false;
  #isBlocked = false;

  constructor(out: Writable) {
    this.#out = out;
    out.on('drain', () => this.#onDrain());
  }

  /** What was written and is not yet in the hands of the kernel. */
  get waitingBytes(): number {
    return this.#bytes + this.#out.writableLength;
  }

  /** Calls back whenever the socket takes bytes again. */
  onDrain(listener: () => void): void {
    this.#out.on('drain', listener);
  }

  bufferOf(channel: Channel): FrameBuffer {
    return {
      write: (frame) => {
        this.#frames.push(frame);
        this.#bytes += frame.length;
        if (this.#bytes >= ENOUGH_BYTES) this.#flush();
        else this.#schedule();
        const isTooMuch = this.#isBlocked && this.#bytes > MOST_BYTES;
        if (isTooMuch) this.#held.add(channel);
        return !isTooMuch;
      },
      end: () => this.#held.delete(channel),
    };
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#isBlocked || this.#bytes === 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#bytes = 0;
    // What a lost connection did not take is lost with it.
    if (!this.#out.writable) return;
    this.#out.cork();
    let small: Buffer[] = [];
    for (const frame of frames) {
      if (frame.length < LARGE_BYTES) {
        small.push(frame);
        continue;
      }
      this.#write(small);
      small = [];
      this.#write([frame]);
    }
    this.#write(small);
    this.#out.uncork();
  }

  #write(frames: readonly Buffer[]): void {
    const [only] = frames;
    if (only === undefined) return;
    const isAccepted = this.#out.write(frames.length === 1 ? only : Buffer.concat(frames));
    if (!isAccepted) this.#isBlocked = true;
  }

  #onDrain(): void {
    this.#isBlocked = false;
    this.#flush();
    if (this.#isBlocked) return;
    const channels = [...this.#held];
    this.#held.clear();
    for (const channel of channels) channel.onBufferDrain();
  }
}

/**
 * Makes a connection hand the frames of one turn to the kernel together. amqplib passes each frame through a stream of its
 * channel and writes it by itself; a system call for every reply and every acknowledgement costs more than all else that is
 * done for a small message, and the streams cost a sixth of what is left. The frames of usual messages are made and read by code of ours, too.
 *
 * An amqplib that is made otherwise is left as it is, because a slower host is better than none; the test of this file
 * fails when it replaces the one we know.
 */
export function coalesceWrites(model: ChannelModel): WriteCoalescer | undefined {
  const connection = model.connection as unknown as Connection & { readonly muxer?: Partial<Connection['muxer']> };
  if (connection.freshChannel === undefined || connection.muxer?.unpipeFrom === undefined) return undefined;
  if (connection.recvFrame === undefined || connection.sendMessage === undefined) return undefined;
  const coalescer = new WriteCoalescer(connection.stream);
  const freshChannel = connection.freshChannel.bind(connection);
  connection.freshChannel = (channel, options) => {
    const number = freshChannel(channel, options);
    const entry = connection.channels[number];
    if (entry === null || entry === undefined) return number;
    connection.muxer.unpipeFrom(entry.buffer);
    entry.buffer = coalescer.bufferOf(channel);
    return number;
  };
  // n.b. amqplib puts another function in its place when the connection closes, which throws.
  const send = connection.sendMessage.bind(connection);
  connection.sendMessage = (...message) => {
    const [channel, method, fields, contentClass, properties, content] = message;
    const isPublication = method === PUBLISH && contentClass === BASIC && fields === properties;
    // n.b. a server may allow frames of as few as 4,096 bytes: amqplib divides what is larger.
    const isUsual =
      isPublication && Buffer.isBuffer(content) && content.length + FRAME_OVERHEAD_BYTES <= connection.frameMax;
    const frames = isUsual ? framesOf(channel, fields, content) : undefined;
    const buffer = connection.channels[channel]?.buffer;
    if (frames === undefined || buffer === undefined) return send(...message);
    connection.sentSinceLastCheck = true;
    return buffer.write(frames);
  };
  readQuickly(connection);
  return coalescer;
}
