import type { Writable } from 'node:stream';
import type { ChannelModel } from 'amqplib';

/** What amqplib gives a channel to write its frames into, as far as it uses it. */
interface FrameBuffer {
  /** False: more than enough waits; `onBufferDrain` of the channel says when that is over. */
  write(frame: Buffer): boolean;
  end(): void;
}

interface Channel {
  onBufferDrain(): void;
}

/** What amqplib makes of a message and its options. https://www.rabbitmq.com/amqp-0-9-1-reference#class.basic */
interface Publication {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  readonly headers: object;
  readonly deliveryMode: number | undefined;
  readonly [property: string]: unknown;
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
interface Connection {
  sendMessage: SendMessage;
  sentSinceLastCheck: boolean;
  readonly stream: Writable;
  readonly muxer: { unpipeFrom(buffer: FrameBuffer): void };
  readonly channels: ({ buffer: FrameBuffer } | null)[];
  freshChannel(channel: Channel, options?: unknown): number;
}

/** Frames of at least so many bytes are handed over as they are: copying them costs more than a system call. */
const LARGE_BYTES = 16_384;
/** Maximum writes that wait for a full socket before the channel gets backpressure. */
const MOST_BYTES = 1_048_576;
/** So many are not held back to the end of the turn: whoever gets them can begin meanwhile. */
const ENOUGH_BYTES = 16_384;

/** Of `basic.publish`, and of the properties of the class `basic`. */
const [PUBLISH, BASIC] = [(60 << 16) + 40, 60];
const [METHOD_FRAME, HEADER_FRAME, BODY_FRAME, FRAME_END] = [1, 2, 3, 206];
const FRAME_HEADER_BYTES = 7;
/** Of three frames all that is no text and no content, with room to spare. */
const FIXED_BYTES = 64;
const MOST_SHORT_TEXT = 255;
const [HEADERS_FLAG, DELIVERY_MODE_FLAG] = [0x2000, 0x1000];
/** Properties that are short texts, in the order in which they are written, each with its bit. */
const TEXTS = [
  ['contentType', 0x8000],
  ['correlationId', 0x0400],
  ['replyTo', 0x0200],
  ['expiration', 0x0100],
  ['messageId', 0x0080],
  ['type', 0x0020],
  ['userId', 0x0010],
] as const;
const OTHERS = ['contentEncoding', 'priority', 'timestamp', 'appId', 'clusterId', 'ticket'] as const;

/**
 * The frames of a message as amqplib writes them, in one piece: it makes five, and checks each text three times, which is more than half
 * of what a small message costs. undefined: what is not as usual (headers, texts with other characters than ASCII, a large content) is left to amqplib.
 */
function framesOf(channel: number, message: Publication, content: Buffer): Buffer | undefined {
  let bytes = FIXED_BYTES + message.exchange.length + message.routingKey.length + content.length;
  for (const [name] of TEXTS) {
    const text = message[name];
    if (typeof text === 'string') bytes += 1 + text.length;
    else if (text !== undefined) return undefined;
  }
  if (bytes > LARGE_BYTES || content.length === 0) return undefined;
  for (const name of OTHERS) if (message[name] !== undefined) return undefined;
  for (const name in message.headers) if (name !== undefined) return undefined;
  const frames = new Frames(Buffer.allocUnsafe(bytes));
  frames.begin(METHOD_FRAME, channel);
  frames.writeNumber(PUBLISH, 4);
  frames.writeNumber(0, 2);
  frames.writeText(message.exchange);
  frames.writeText(message.routingKey);
  frames.writeNumber(message.mandatory ? 1 : 0, 1);
  frames.end();
  frames.begin(HEADER_FRAME, channel);
  frames.writeNumber(BASIC << 16, 4);
  frames.writeNumber(0, 4);
  frames.writeNumber(content.length, 4);
  frames.writeProperties(message);
  frames.end();
  frames.begin(BODY_FRAME, channel);
  frames.writeContent(content);
  frames.end();
  return frames.written;
}

/** Writes frames one after the other. */
class Frames {
  readonly #bytes: Buffer;
  #at = 0;
  #beganAt = 0;
  #isPlain = true;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** undefined: it was given a text that is not written so. */
  get written(): Buffer | undefined {
    return this.#isPlain ? this.#bytes.subarray(0, this.#at) : undefined;
  }

  begin(type: number, channel: number): void {
    this.#beganAt = this.#at;
    this.writeNumber(type, 1);
    this.writeNumber(channel, 2);
    this.#at += 4;
  }

  end(): void {
    const at = this.#at;
    this.#at = this.#beganAt + FRAME_HEADER_BYTES - 4;
    this.writeNumber(at - this.#beganAt - FRAME_HEADER_BYTES, 4);
    this.#at = at;
    this.writeNumber(FRAME_END, 1);
  }

  writeNumber(value: number, size: number): void {
    for (let shift = 8 * (size - 1); shift >= 0; shift -= 8) {
      this.#bytes[this.#at] = value >>> shift;
      this.#at += 1;
    }
  }

  writeText(text: string): void {
    if (text.length > MOST_SHORT_TEXT) this.#isPlain = false;
    this.writeNumber(text.length, 1);
    const [bytes, from] = [this.#bytes, this.#at];
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 127) this.#isPlain = false;
      bytes[from + index] = code;
    }
    this.#at += text.length;
  }

  writeProperties(message: Publication): void {
    const flagsAt = this.#at;
    this.#at += 2;
    let flags = HEADERS_FLAG;
    for (const [name, flag] of TEXTS) {
      const text = message[name];
      if (typeof text === 'string') {
        flags |= flag;
        this.writeText(text);
      }
      if (name !== 'contentType') continue;
      this.writeNumber(0, 4);
      if (message.deliveryMode === undefined) continue;
      flags |= DELIVERY_MODE_FLAG;
      this.writeNumber(message.deliveryMode, 1);
    }
    this.#bytes[flagsAt] = flags >>> 8;
    this.#bytes[flagsAt + 1] = flags;
  }

  writeContent(content: Buffer): void {
    this.#at += content.copy(this.#bytes, this.#at);
  }
}

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
 * done for a small message, and the streams cost a sixth of what is left. The frames of usual messages are made here, too.
 *
 * An amqplib that is made otherwise is left as it is, because a slower host is better than none; the test of this file
 * fails when it replaces the one we know.
 */
export function coalesceWrites(model: ChannelModel): WriteCoalescer | undefined {
  const connection = model.connection as unknown as Connection & { readonly muxer?: Partial<Connection['muxer']> };
  if (connection.freshChannel === undefined || connection.muxer?.unpipeFrom === undefined) return undefined;
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
    const frames = isPublication && Buffer.isBuffer(content) ? framesOf(channel, fields, content) : undefined;
    const buffer = connection.channels[channel]?.buffer;
    if (frames === undefined || buffer === undefined) return send(...message);
    connection.sentSinceLastCheck = true;
    return buffer.write(frames);
  };
  return coalescer;
}
