import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Document } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import { answerTo, commandIn, MessageReader } from './mongodb-wire.js';

/** What a server with accounts says to its administrator. */
const ANSWERS: Readonly<Record<string, Document>> = {
  connectionStatus: { ok: 1, authInfo: { authenticatedUsers: [{ user: 'root', db: 'admin' }] } },
  createRole: { ok: 1 },
  updateRole: { ok: 1 },
  createUser: { ok: 1 },
  grantRolesToUser: { ok: 1 },
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
    const reader = new MessageReader();
    near.on('data', (chunk: Buffer) => {
      for (const message of reader.add(chunk)) {
        const answer = this.#answerTo(message);
        if (answer === undefined) far.write(message);
        else near.write(answer);
      }
    });
  }

  #answerTo(message: Buffer): Buffer | undefined {
    const command = commandIn(message) ?? {};
    const [name = ''] = Object.keys(command);
    const answer = ANSWERS[name];
    if (answer === undefined) return undefined;
    this.commands.push(command);
    return answerTo(message, answer);
  }
}
