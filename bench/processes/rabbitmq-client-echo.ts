import { peerLibrary } from '../context/peers.js';
import { PAYLOAD, serveEcho } from '../context/serve-echo.js';

interface Closable {
  close(): Promise<void>;
}

interface Rpc extends Closable {
  send(queue: string, body: unknown): Promise<{ readonly body: unknown }>;
}

type Handler = (message: { readonly body: unknown }, reply: (body: unknown) => Promise<void>) => Promise<void>;

interface Connection extends Closable {
  onConnect(timeoutMs: number): Promise<void>;
  createConsumer(options: object, handler: Handler): Closable & { once(event: 'ready', call: () => void): unknown };
  createRPCClient(options: object): Rpc;
}

/** https://cody-greene.github.io/node-rabbitmq-client */
const { Connection } = await peerLibrary<{ readonly Connection: new (options: object) => Connection }>(
  'rabbitmq-client',
);

const CONNECT_TIMEOUT_MS = 10_000;
const opened: Closable[] = [];

async function open(url: string): Promise<Connection> {
  const connection = new Connection({ url, noDelay: true });
  opened.push(connection);
  await connection.onConnect(CONNECT_TIMEOUT_MS);
  return connection;
}

serveEcho({
  serve: async ({ url, name, prefetch }) => {
    const connection = await open(url);
    const consumer = connection.createConsumer(
      {
        queue: name,
        queueOptions: { durable: true, arguments: { 'x-queue-type': 'classic' } },
        qos: { prefetchCount: prefetch },
      },
      async ({ body }, reply) => {
        await reply(body);
      },
    );
    opened.push(consumer);
    await new Promise<void>((resolve) => consumer.once('ready', resolve));
  },
  connect: async ({ url, name }) => {
    const rpc = (await open(url)).createRPCClient({});
    opened.push(rpc);
    return { ask: async () => (await rpc.send(name, PAYLOAD)).body };
  },
  stop: async () => {
    for (const each of opened.toReversed()) await each.close();
  },
});
