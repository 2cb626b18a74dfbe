import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Document, Long } from 'mongodb';
import { answerTo, commandIn, MessageReader } from './mongodb-wire.js';

/** What a command is answered; `cut` ends its connection instead, `silence` keeps it waiting. */
export type Played = Document | 'cut' | 'silence';
type Player = (command: Document, nth: number) => Played;

const DONE = { ok: 1 };
const MONITORING = ['hello', 'ismaster', 'isMaster', 'endSessions', 'killCursors'];
const MAX_INT32 = 2_147_483_647;

/** A document as the driver takes it for the answer of a cursor that has given everything. */
export function batchOf(...firstBatch: readonly Document[]): Document {
  return { ...DONE, cursor: { id: Long.ZERO, ns: 'app.any', firstBatch } };
}

/** An error as https://www.mongodb.com/docs/manual/reference/error-codes/ has them. */
export function refused(code: number, more: Document = {}): Document {
  return { ok: 0, code, codeName: `Code${code}`, errmsg: 'a secret value', ...more };
}

/**
 * The primary of a replica set of one, which keeps the commands it gets and answers what the test says: for what a driver sends,
 * and for answers that the server at hand does not give. It holds no data.
 */
export class PlayedMongodb {
  readonly url: string;
  /** All commands but those by which drivers watch servers, in their order. */
  readonly commands: Document[] = [];
  /** The same, with whole numbers of 64 bits as they came. */
  readonly exactCommands: Document[] = [];
  readonly #host: string;
  readonly #players = new Map<string, Player>();
  readonly #counts = new Map<string, number>();

  private constructor(port: number, options: string) {
    this.#host = `127.0.0.1:${port}`;
    this.url = `mongodb://${this.#host}/app?replicaSet=rs${options === '' ? '' : `&${options}`}`;
  }

  /** `options` of the URL. */
  static async start(t: TestContext, options = ''): Promise<PlayedMongodb> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const played = new PlayedMongodb((server.address() as AddressInfo).port, options);
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => {
      sockets.add(socket);
      const reader = new MessageReader();
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        for (const message of reader.add(chunk)) played.#take(message, socket);
      });
    });
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return played;
  }

  /** From now on commands of this name get this, `nth` counted from 0. */
  on(name: string, player: Player): void {
    this.#counts.delete(name);
    this.#players.set(name, player);
  }

  /** Those of a name. */
  sent(name: string): readonly Document[] {
    return this.commands.filter((command) => name in command);
  }

  #take(message: Buffer, socket: Socket): void {
    const command = commandIn(message) ?? {};
    const [name = ''] = Object.keys(command);
    if (!MONITORING.includes(name)) {
      this.commands.push(command);
      this.exactCommands.push(commandIn(message, { promoteLongs: false }) ?? {});
    }
    const nth = this.#counts.get(name) ?? 0;
    this.#counts.set(name, nth + 1);
    const answer = this.#probed(name, command) ?? this.#players.get(name)?.(command, nth) ?? this.#usual(name, command);
    if (answer === 'cut') socket.destroy();
    else if (answer !== 'silence') socket.write(answerTo(message, answer));
  }

  /** What the host's own questions are answered: it is a server that can do everything. */
  #probed(name: string, command: Document): Document | undefined {
    if (command[name] === 'beds_not_granted') return refused(13);
    if (command['maxTimeMS'] === MAX_INT32 + 1) return refused(2);
    return name === 'aggregate' && command['maxTimeMS'] === 1 ? refused(50) : undefined;
  }

  #usual(name: string, command: Document): Document {
    switch (name) {
      case 'hello':
      case 'ismaster':
      case 'isMaster':
        return this.#hello();
      case 'buildInfo':
        return { ...DONE, version: '8.0.0' };
      case 'find':
      case 'aggregate':
      case 'listCollections':
      case 'listIndexes':
        return batchOf();
      case 'insert':
        return { ...DONE, n: (command['documents'] as readonly unknown[]).length };
      case 'update':
        return { ...DONE, n: 1, nModified: 1 };
      case 'delete':
        return { ...DONE, n: 1 };
      case 'findAndModify':
        return { ...DONE, value: null, lastErrorObject: { n: 0, updatedExisting: false } };
      default:
        return DONE;
    }
  }

  /** https://www.mongodb.com/docs/manual/reference/command/hello/ */
  #hello(): Document {
    const host = this.#host;
    return {
      ...{ ...DONE, helloOk: true, isWritablePrimary: true, ismaster: true, secondary: false, readOnly: false },
      ...{ setName: 'rs', setVersion: 1, hosts: [host], me: host, primary: host, localTime: new Date() },
      ...{ maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 },
      ...{ logicalSessionTimeoutMinutes: 30, connectionId: 1, minWireVersion: 0, maxWireVersion: 25 },
    };
  }
}
