/** What amqplib makes of a message and its options. https://www.rabbitmq.com/amqp-0-9-1-reference#class.basic */
export interface Publication {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  readonly headers: object;
  readonly deliveryMode: number | undefined;
  readonly [property: string]: unknown;
}

/** The class of messages, and two of its methods. */
export const BASIC = 60;
export const PUBLISH = (BASIC << 16) + 40;
const DELIVER = (BASIC << 16) + 60;
/** So much is copied into one piece with its frames: a larger content is handed over as it is. */
const MOST_BYTES = 16_384;
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
export function framesOf(channel: number, message: Publication, content: Buffer): Buffer | undefined {
  let bytes = FIXED_BYTES + message.exchange.length + message.routingKey.length + content.length;
  for (const [name] of TEXTS) {
    const text = message[name];
    if (typeof text === 'string') bytes += 1 + text.length;
    else if (text !== undefined) return undefined;
  }
  if (bytes > MOST_BYTES || content.length === 0) return undefined;
  for (const name of OTHERS) if (message[name] !== undefined) return undefined;
  if (hasAny(message.headers)) return undefined;
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

/** n.b. the headers of a publisher are the prototype of those that amqplib makes. */
function hasAny(headers: object): boolean {
  for (const _name in headers) return true;
  return false;
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

/** The part of amqplib's connection that reads. */
export interface Reading {
  readonly stream: { read(): Buffer | null };
  readonly maxFrameSize: number;
  /** What was read and is not taken yet. */
  rest: Buffer;
  recvSinceLastCheck: boolean;
  /** false: there is no whole one. */
  recvFrame(): unknown;
}

/** The properties of a message, all of them, as amqplib gives them. */
interface Properties {
  contentType: string | undefined;
  contentEncoding: string | undefined;
  headers: object | undefined;
  deliveryMode: number | undefined;
  priority: number | undefined;
  correlationId: string | undefined;
  replyTo: string | undefined;
  expiration: string | undefined;
  messageId: string | undefined;
  timestamp: number | undefined;
  type: string | undefined;
  userId: string | undefined;
  appId: string | undefined;
  clusterId: string | undefined;
}

/** A text that most messages have alike: it is compared, and not decoded. */
class UsualText {
  #bytes = Buffer.alloc(0);
  #text = '';

  read(bytes: Buffer, from: number): string {
    const length = bytes[from] ?? 0;
    const own = this.#bytes;
    let same = 0;
    if (own.length === length) while (same < length && own[same] === bytes[from + 1 + same]) same += 1;
    if (same < length || own.length !== length) {
      this.#bytes = Buffer.from(bytes.subarray(from + 1, from + 1 + length));
      this.#text = textAt(bytes, from);
    }
    return this.#text;
  }
}

function textAt(bytes: Buffer, from: number): string {
  return bytes.toString('utf8', from + 1, from + 1 + (bytes[from] ?? 0));
}

/** Where the text ends that begins with its length. */
function afterText(bytes: Buffer, from: number): number {
  return from + 1 + (bytes[from] ?? 0);
}

/** A number of 64 bits. n.b. amqplib gives those of the server as JavaScript holds them, too. */
function wideNumber(bytes: Buffer, from: number): number {
  return bytes.readUInt32BE(from) * 2 ** 32 + bytes.readUInt32BE(from + 4);
}

/** Properties that are read here. n.b. headers only where there are none: amqplib's decoder has a guard for the others. */
const KNOWN_FLAGS = HEADERS_FLAG | DELIVERY_MODE_FLAG | TEXTS.reduce((flags, [, flag]) => flags | flag, 0);

/** Reads the frames of messages that are as usual, from a buffer that stays one; all others are left to amqplib. */
class FrameReader {
  readonly #connection: Reading;
  readonly #slowly: () => unknown;
  readonly #usual = {
    ...{ consumerTag: new UsualText(), exchange: new UsualText(), routingKey: new UsualText() },
    ...{ contentType: new UsualText(), replyTo: new UsualText(), expiration: new UsualText() },
    ...{ type: new UsualText(), userId: new UsualText() },
  };
  #bytes: Buffer;
  #at = 0;

  constructor(connection: Reading) {
    this.#connection = connection;
    this.#slowly = connection.recvFrame.bind(connection);
    this.#bytes = connection.rest;
  }

  read(): unknown {
    const connection = this.#connection;
    for (;;) {
      const bytes = this.#bytes;
      const at = this.#at;
      const waiting = bytes.length - at;
      if (waiting >= FRAME_HEADER_BYTES) {
        const size = bytes.readUInt32BE(at + 3);
        // n.b. of one that is too large amqplib says so before it is there.
        if (waiting > FRAME_HEADER_BYTES + size || size > connection.maxFrameSize) return this.#take(size);
      }
      const incoming = connection.stream.read();
      if (incoming === null) return false;
      connection.recvSinceLastCheck = true;
      this.#bytes = waiting === 0 ? incoming : Buffer.concat([bytes.subarray(at), incoming]);
      this.#at = 0;
    }
  }

  /** A whole frame, or what is no frame. */
  #take(size: number): unknown {
    const [bytes, at] = [this.#bytes, this.#at];
    const end = at + FRAME_HEADER_BYTES + size;
    const isRight = bytes[end] === FRAME_END && size <= this.#connection.maxFrameSize;
    const frame = isRight ? this.#usualFrame(at, end) : undefined;
    if (frame !== undefined) {
      this.#at = end + 1;
      return frame;
    }
    this.#connection.rest = bytes.subarray(at);
    const read = this.#slowly();
    this.#bytes = this.#connection.rest;
    this.#at = 0;
    return read;
  }

  #usualFrame(at: number, end: number): object | undefined {
    const bytes = this.#bytes;
    const channel = bytes.readUInt16BE(at + 1);
    const from = at + FRAME_HEADER_BYTES;
    switch (bytes[at]) {
      case METHOD_FRAME: {
        if (end - from < 4 || bytes.readUInt32BE(from) !== DELIVER) return undefined;
        const fields = this.#delivery(from + 4, end);
        return fields === undefined ? undefined : { id: DELIVER, channel, fields };
      }
      case HEADER_FRAME: {
        // n.b. a content of 4 GB and more.
        if (end - from < 14 || bytes.readUInt16BE(from) !== BASIC || bytes.readUInt32BE(from + 4) !== 0)
          return undefined;
        const fields = this.#properties(from + 12, end);
        return fields === undefined ? undefined : { id: BASIC, channel, size: bytes.readUInt32BE(from + 8), fields };
      }
      case BODY_FRAME:
        return { channel, content: bytes.subarray(from, end) };
      default:
        return undefined;
    }
  }

  #delivery(from: number, end: number): object | undefined {
    const bytes = this.#bytes;
    const tagEnd = afterText(bytes, from);
    const exchangeEnd = afterText(bytes, tagEnd + 9);
    if (tagEnd + 10 > end || exchangeEnd >= end || afterText(bytes, exchangeEnd) !== end) return undefined;
    const { consumerTag, exchange, routingKey } = this.#usual;
    return {
      consumerTag: consumerTag.read(bytes, from),
      deliveryTag: wideNumber(bytes, tagEnd),
      redelivered: ((bytes[tagEnd + 8] ?? 0) & 1) === 1,
      exchange: exchange.read(bytes, tagEnd + 9),
      routingKey: routingKey.read(bytes, exchangeEnd),
    };
  }

  #properties(from: number, end: number): Properties | undefined {
    const bytes = this.#bytes;
    const usual = this.#usual;
    const flags = bytes.readUInt16BE(from);
    if (flags === 0 || (flags & ~KNOWN_FLAGS) !== 0) return undefined;
    let at = from + 2;
    const read: Properties = {
      contentType: undefined,
      contentEncoding: undefined,
      headers: undefined,
      deliveryMode: undefined,
      priority: undefined,
      correlationId: undefined,
      replyTo: undefined,
      expiration: undefined,
      messageId: undefined,
      timestamp: undefined,
      type: undefined,
      userId: undefined,
      appId: undefined,
      clusterId: undefined,
    };
    for (const [name, flag] of TEXTS) {
      if ((flags & flag) !== 0) {
        read[name] = name === 'correlationId' || name === 'messageId' ? textAt(bytes, at) : usual[name].read(bytes, at);
        at = afterText(bytes, at);
      }
      if (name !== 'contentType') continue;
      if ((flags & HEADERS_FLAG) !== 0) {
        if (at + 4 > end || bytes.readUInt32BE(at) !== 0) return undefined;
        read.headers = {};
        at += 4;
      }
      if ((flags & DELIVERY_MODE_FLAG) !== 0) {
        read.deliveryMode = bytes[at];
        at += 1;
      }
    }
    return at === end ? read : undefined;
  }
}

/** Reads what is usual without amqplib, which makes eleven buffers of a message and decodes each of its texts. */
export function readQuickly(connection: Reading): void {
  const reader = new FrameReader(connection);
  connection.recvFrame = () => reader.read();
}
