import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { type Document, MongoClient, MongoServerError } from 'mongodb';
import { answerTo, commandIn, MessageReader } from './mongodb-wire.js';
import { lastFirst, type Teardown } from './services.js';

const WRITES = ['insert', 'update', 'delete', 'findAndModify'];
/** What only a server with transactions knows. */
const OF_SESSIONS = [
  'lsid',
  'txnNumber',
  'autocommit',
  'startTransaction',
  'readConcern',
  'writeConcern',
  '$clusterTime',
];

/** Numbers keep their types on the way through. */
const RAW = { promoteValues: false, promoteLongs: false } as const;

/** Documents as they were before a transaction changed them; null: it has added this one. */
type Undo = Map<
  string,
  { readonly db: string; readonly collection: string; readonly id: unknown; readonly before: Document | null }
>;

/**
 * A server without transactions, seen as the primary of a replica set of one. Transactions run one after the other, and what one of
 * them has changed is put back when it is aborted: all or nothing is kept, and no two of them ever meet. n.b. of conflicts between
 * transactions it shows nothing.
 */
export class TransactingMongodb {
  readonly url: string;
  readonly #host: string;
  readonly #client: MongoClient;
  #tail: Promise<void> = Promise.resolve();
  readonly #open = new Map<string, { readonly undo: Undo; readonly end: () => void; readonly socket: Socket }>();

  private constructor(host: string, client: MongoClient) {
    this.#host = host;
    this.#client = client;
    this.url = `mongodb://${host}/?replicaSet=rs`;
  }

  static async start(teardown: Teardown, url: string): Promise<TransactingMongodb> {
    const client = await new MongoClient(url, RAW).connect();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const made = new TransactingMongodb(`127.0.0.1:${(server.address() as AddressInfo).port}`, client);
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => {
      sockets.add(socket);
      const reader = new MessageReader();
      socket.on('error', () => undefined);
      socket.on('close', () => void made.#forget(socket));
      socket.on('data', (chunk: Buffer) => {
        for (const message of reader.add(chunk)) {
          void made.#answer(message, socket).then((answer) => {
            if (!socket.destroyed) socket.write(answerTo(message, answer));
          });
        }
      });
    });
    lastFirst(teardown, async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await client.close();
    });
    return made;
  }

  async #answer(message: Buffer, socket: Socket): Promise<Document> {
    const command = commandIn(message, RAW) ?? {};
    const [name = ''] = Object.keys(command);
    if (['hello', 'ismaster', 'isMaster'].includes(name)) return this.#hello();
    if (name === 'endSessions') return { ok: 1 };
    const own = Object.fromEntries(
      Object.entries(command).filter(([key]) => !OF_SESSIONS.includes(key) && key !== '$db'),
    );
    const db = String(command['$db'] ?? 'admin');
    if (String(command['autocommit']) !== 'false') return this.#run(db, own);
    const transaction = `${JSON.stringify(command['lsid'])} ${String(command['txnNumber'])}`;
    if (String(command['startTransaction']) === 'true') await this.#begin(transaction, socket);
    const open = this.#open.get(transaction);
    if (name === 'commitTransaction' || name === 'abortTransaction') {
      if (name === 'abortTransaction') await this.#undo(open?.undo ?? (new Map() as Undo));
      this.#open.delete(transaction);
      open?.end();
      return { ok: 1 };
    }
    if (open === undefined)
      return { ok: 0, code: 251, codeName: 'NoSuchTransaction', errorLabels: ['TransientTransactionError'] };
    if (WRITES.includes(name)) await this.#remember(db, own, open.undo);
    return this.#run(db, own);
  }

  async #run(db: string, command: Document): Promise<Document> {
    try {
      return await this.#client.db(db).command(command, RAW);
    } catch (error) {
      if (!(error instanceof MongoServerError)) throw error;
      return { ok: 0, ...error.errorResponse };
    }
  }

  async #begin(transaction: string, socket: Socket): Promise<void> {
    const before = this.#tail;
    let end = (): void => undefined;
    this.#tail = new Promise((resolve) => {
      end = resolve;
    });
    await before;
    this.#open.set(transaction, { undo: new Map(), end: () => end(), socket });
  }

  async #remember(db: string, command: Document, undo: Undo): Promise<void> {
    const [name = ''] = Object.keys(command);
    const collection = String(command[name]);
    const found = this.#client.db(db).collection<Document & { _id: unknown }>(collection);
    const note = (id: unknown, before: Document | null): void => {
      const key = `${db} ${collection} ${JSON.stringify(id)}`;
      if (!undo.has(key)) undo.set(key, { db, collection, id, before });
    };
    const parts = (command['documents'] ??
      command['updates'] ??
      command['deletes'] ?? [command]) as readonly Document[];
    for (const part of parts) {
      if (name === 'insert') {
        note(part['_id'], null);
        continue;
      }
      const filter = (part['q'] ?? part['query'] ?? {}) as Document;
      const matching = await found.find(filter).toArray();
      for (const document of matching) note(document._id, document);
      if (matching.length === 0 && String(part['upsert']) === 'true') note(filter['_id'], null);
    }
  }

  async #undo(undo: Undo): Promise<void> {
    for (const { db, collection, id, before } of [...undo.values()].toReversed()) {
      const found = this.#client.db(db).collection(collection);
      const isIt = { _id: id } as Document;
      if (before === null) await found.deleteOne(isIt);
      else await found.replaceOne(isIt, before, { upsert: true });
    }
  }

  async #forget(socket: Socket): Promise<void> {
    for (const [transaction, open] of this.#open) {
      if (open.socket !== socket) continue;
      this.#open.delete(transaction);
      await this.#undo(open.undo);
      open.end();
    }
  }

  #hello(): Document {
    const host = this.#host;
    return {
      ...{ ok: 1, helloOk: true, isWritablePrimary: true, ismaster: true, secondary: false, readOnly: false },
      ...{ setName: 'rs', setVersion: 1, hosts: [host], me: host, primary: host, localTime: new Date() },
      ...{ maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 },
      ...{ logicalSessionTimeoutMinutes: 30, connectionId: 1, minWireVersion: 0, maxWireVersion: 25 },
    };
  }
}
