import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { BSON, type Document } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';

const OP_MSG = 2013;
const HEADER_BYTES = 16;

/** What a server with accounts says to its administrator. */
const ANSWERS: Readonly<Record<string, Document>> = {
  connectionStatus: { ok: 1, authInfo: { authenticatedUsers: [{ user: 'root', db: 'admin' }] } },
  createRole: { ok: 1 },
  updateRole: { ok: 1 },
  createUser: { ok: 1 },
  updateUser: { ok: 1 },
};

/**
 * Stands before a MongoDB-speaking server that has no accounts and plays them: commands about accounts are kept and
 * answered here, all others pass. https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
 */
export class AccountingProxy {
  readonly url: string;
  /** The commands about accounts, in their order. */
  readonly commands: Document[] = [];

  private constructor(target: string, port: number) {
    const url = new ConnectionString(target);
    url.hosts = [`127.0.0.1:${port}`];
    this.url = url.href;
  }

  static async start(t: TestContext, target: string): Promise<AccountingProxy> {
    const [first = ''] = new ConnectionString(target).hosts;
    const [host = '', port = '27017'] = first.split(':');
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new AccountingProxy(target, (server.address() as AddressInfo).port);
    const sockets = new Set<Socket>();
    server.on('connection', (near) => {
      const far = connect(Number(port), host);
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          near.destroy();
          far.destroy();
        });
      }
      far.pipe(near);
      proxy.#read(near, far);
    });
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return proxy;
  }

  #read(near: Socket, far: Socket): void {
    let bytes = Buffer.alloc(0);
    near.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let size = sizeOf(bytes); size !== undefined; size = sizeOf(bytes)) {
        const message = bytes.subarray(0, size);
        bytes = bytes.subarray(size);
        const answer = this.#answerTo(message);
        if (answer === undefined) far.write(message);
        else near.write(answer);
      }
    });
  }

  #answerTo(message: Buffer): Buffer | undefined {
    if (message.readInt32LE(12) !== OP_MSG) return undefined;
    // n.b. after the flags comes the kind of the first section, 0: the command.
    const command = BSON.deserialize(message.subarray(HEADER_BYTES + 5), { allowObjectSmallerThanBufferSize: true });
    const [name = ''] = Object.keys(command);
    const answer = ANSWERS[name];
    if (answer === undefined) return undefined;
    this.commands.push(command);
    const body = Buffer.concat([Buffer.alloc(5), BSON.serialize(answer)]);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeInt32LE(HEADER_BYTES + body.length, 0);
    header.writeInt32LE(message.readInt32LE(4), 8);
    header.writeInt32LE(OP_MSG, 12);
    return Buffer.concat([header, body]);
  }
}

/** Of the first message, where it is there as a whole. */
function sizeOf(bytes: Buffer): number | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const size = bytes.readInt32LE(0);
  return bytes.length < size ? undefined : size;
}
