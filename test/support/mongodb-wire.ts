import { BSON, type Document } from 'mongodb';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HEADER_BYTES = 16;
const COMMAND = 0;

/** Messages of MongoDB's protocol: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/ */
export class MessageReader {
  #bytes = Buffer.alloc(0);

  /** The whole messages that have arrived by now. */
  add(chunk: Buffer): readonly Buffer[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const messages: Buffer[] = [];
    for (let size = this.#size(); size !== undefined; size = this.#size()) {
      messages.push(this.#bytes.subarray(0, size));
      this.#bytes = this.#bytes.subarray(size);
    }
    return messages;
  }

  #size(): number | undefined {
    if (this.#bytes.length < HEADER_BYTES) return undefined;
    const size = this.#bytes.readInt32LE(0);
    return this.#bytes.length < size ? undefined : size;
  }
}

/** The command of a message, sequences of documents in their place; undefined for other messages. */
export function commandIn(message: Buffer, options: BSON.DeserializeOptions = {}): Document | undefined {
  const kind = message.readInt32LE(12);
  const read = (at: number): Document => BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)), options);
  // n.b. before the command of an old query come its flags, a name, and two numbers.
  if (kind === OP_QUERY) return read(message.indexOf(0, HEADER_BYTES + 4) + 1 + 8);
  if (kind !== OP_MSG) return undefined;
  const command: Document = {};
  for (let at = HEADER_BYTES + 4; at < message.length;) {
    const isCommand = message[at] === COMMAND;
    const size = message.readInt32LE(at + 1);
    if (isCommand) Object.assign(command, read(at + 1));
    else {
      const nameEnd = message.indexOf(0, at + 5);
      const documents: Document[] = [];
      for (let next = nameEnd + 1; next < at + 1 + size; next += message.readInt32LE(next)) documents.push(read(next));
      command[message.toString('utf8', at + 5, nameEnd)] = documents;
    }
    at += 1 + size;
  }
  return command;
}

export function answerTo(message: Buffer, answer: Document): Buffer {
  const isQuery = message.readInt32LE(12) === OP_QUERY;
  const before = Buffer.alloc(isQuery ? 20 : 5);
  // One document.
  if (isQuery) before.writeInt32LE(1, 16);
  const body = Buffer.concat([before, BSON.serialize(answer)]);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeInt32LE(HEADER_BYTES + body.length, 0);
  header.writeInt32LE(message.readInt32LE(4), 8);
  header.writeInt32LE(isQuery ? OP_REPLY : OP_MSG, 12);
  return Buffer.concat([header, body]);
}
