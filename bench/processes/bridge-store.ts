import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { type BareDatabases, openDatabases, type StoreCalls } from '../context/bare-databases.js';
import { peerLibrary } from '../context/peers.js';
import { PlainCaller } from '../context/plain-caller.js';
import type { StoredRecord } from '../context/records.js';
import { callsBy, serveStore, type StoreOperation } from '../context/serve-store.js';

/** What a good engineer writes in an afternoon to reach a database over RabbitMQ, in the variant that the argument names. */
type Variant =
  /** One message a request, direct reply-to, acknowledged by hand, a pool of prepared statements. */
  | 'plain'
  /** The same, with DataLoader in front of the reads by key. */
  | 'loader'
  /** The same with what BEDS promises of writes: a quorum queue behind a topic exchange, persistent messages, confirmations. */
  | 'safe';

interface Request {
  readonly op: StoreOperation;
  readonly input: unknown;
}

type Reply = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string };

/** https://github.com/graphql/dataloader */
interface Loader {
  load(key: number): Promise<StoredRecord | null>;
}

interface LoaderModule {
  readonly default: new (
    read: (keys: readonly number[]) => Promise<readonly (StoredRecord | null)[]>,
    options: { readonly cache: false; readonly maxBatchSize: number },
  ) => Loader;
}

const MOST_KEYS = 100;
const variant = process.argv[2] as Variant;
const isSafe = variant === 'safe';
let databases: BareDatabases | undefined;
const models: ChannelModel[] = [];
let caller: PlainCaller | undefined;

async function open(url: string): Promise<ChannelModel> {
  const model = await connect(url, { noDelay: true });
  models.push(model);
  return model;
}

async function withLoader({ calls, fetchAll }: BareDatabases): Promise<StoreCalls> {
  const { default: DataLoader } = await peerLibrary<LoaderModule>('dataloader');
  const read = async (keys: readonly number[]): Promise<readonly (StoredRecord | null)[]> => {
    const byKey = new Map((await fetchAll(keys)).map((record) => [record.id, record]));
    return keys.map((key) => byKey.get(key) ?? null);
  };
  // Each request wants what the database holds now, so nothing is kept.
  const loader = new DataLoader(read, { cache: false, maxBatchSize: MOST_KEYS });
  return {
    ...calls,
    fetch: (key) => loader.load(key),
    many: async (keys) => {
      const records = await Promise.all(keys.map((key) => loader.load(key)));
      const found = records.filter((record) => record !== null);
      return { found: found.length, sum: found.reduce((sum, { amount }) => sum + amount, 0) };
    },
  };
}

async function answer(calls: StoreCalls, content: Buffer): Promise<Buffer> {
  let reply: Reply;
  try {
    const { op, input } = JSON.parse(content.toString()) as Request;
    reply = { ok: true, value: await calls[op](input as never) };
  } catch (error) {
    reply = { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
  return Buffer.from(JSON.stringify(reply));
}

serveStore({
  serve: async (place) => {
    const { url, name, prefetch } = place;
    databases = await openDatabases(place);
    const calls = variant === 'loader' ? await withLoader(databases) : databases.calls;
    const channel = await (await open(url)).createChannel();
    await channel.assertQueue(name, {
      durable: true,
      arguments: { 'x-queue-type': isSafe ? 'quorum' : 'classic' },
    });
    await channel.prefetch(prefetch);
    let confirmed: ConfirmChannel | undefined;
    if (isSafe) {
      await channel.assertExchange(name, 'topic', { durable: true });
      await channel.bindQueue(name, name, '#');
      confirmed = await (await open(url)).createConfirmChannel();
    }
    await channel.consume(name, (message) => {
      if (message === null) return;
      const { correlationId, replyTo } = message.properties as { correlationId: string; replyTo: string };
      const properties = { correlationId, contentType: 'application/json' };
      void answer(calls, message.content).then((body) => {
        if (confirmed !== undefined) {
          confirmed.sendToQueue(replyTo, body, properties, () => channel.ack(message));
          return;
        }
        channel.sendToQueue(replyTo, body, properties);
        channel.ack(message);
      });
    });
  },
  connect: async ({ url, name }) => {
    const plain = await PlainCaller.connect(url, { isConfirmed: isSafe });
    caller = plain;
    const ask = async <T>(op: StoreOperation, input: unknown): Promise<T> => {
      const route = isSafe ? { exchange: name, routingKey: op } : { exchange: '', routingKey: name };
      const body = await plain.ask(route, Buffer.from(JSON.stringify({ op, input } satisfies Request)));
      const reply = JSON.parse(body.toString()) as Reply;
      if (!reply.ok) throw new Error(reply.message);
      return reply.value as T;
    };
    return callsBy(ask);
  },
  stop: async () => {
    await caller?.close();
    for (const model of models) await model.close();
    await databases?.close();
  },
});
