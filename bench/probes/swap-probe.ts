import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseManifest } from '#sdk/template';
import type { Channel, ConsumeMessage } from 'amqplib';
import { Delivery } from '../../host/amqp/queue-consumer.js';
import { type Reply, ReplyPublisher, type ReplySettled } from '../../host/amqp/reply-publisher.js';
import { configSchema } from '../../host/config/schema.js';
import { CallerBook } from '../../host/request/observations.js';
import type { ServingGeneration } from '../../host/request/serving-generation.js';
import type { StoreAdapter } from '../../host/stores/contract.js';
import type { GenerationSource } from '../../host/template/contract.js';
import { convertBundle } from '../../host/template/convert.js';
import type { Leftovers } from '../../host/template/template-timers.js';
import { GenerationRegistry } from '../../host/template/registry.js';
import type { RetiredInMemory } from '../../host/template/retired-templates.js';
import { Generations } from '../../host/threads/generations.js';
import { bareRequestPath } from './bare-request-path.js';

/** What a broker thread does with versions and requests, without RabbitMQ and without a database. */
export interface SwapProbe {
  readonly bundleBytes: number;
  /** Loads one more version, routes to it, lets it answer, and sometimes fail, and waits until the one before has ended. */
  swap(): Promise<void>;
  /** Of all versions that ended. */
  readonly left: Leftovers;
  readonly retiredInMemory: readonly RetiredInMemory[];
}

const DOMAIN = 'swapped';
const FUNCTIONS = 700;
/** A failure maps its stack, which takes longer than the rest. */
const FAILING_EVERY = 10;
/** Every version is other text, as real versions are: V8 would find equal text in its compilation cache. */
const VERSION = '1.0.0-number-of-the-version';

class Replies extends ReplyPublisher {
  #onReply: (body: string) => void = () => undefined;

  next(): Promise<string> {
    return new Promise((resolve) => (this.#onReply = resolve));
  }

  override publish(reply: Reply, onSettled: ReplySettled): void {
    onSettled('confirmed');
    this.#onReply(String(reply.body));
  }
}

/** `head`: code of the template's top level beside the usual. */
export async function makeSwapProbe(head = ''): Promise<SwapProbe> {
  const config = configSchema.parse({});
  const registry = new GenerationRegistry<ServingGeneration>();
  const replies = new Replies();
  const callers = new CallerBook();
  const path = bareRequestPath(config, { registry, replies, callers });
  const left = { timers: 0, intervals: 0, immediates: 0 };
  const generations = new Generations({
    node: 'bench',
    registry,
    host: path,
    callers,
    adapters: new Map([['main', {} as StoreAdapter]]),
    defaultAccess: 'anyone',
    prepareTimeoutMs: config.plugins.prepareTimeoutMs,
    drainTimeoutMs: config.supervisor.drainTimeoutMs,
    onDrained: (_generation, complete, more) => {
      assert.ok(complete, 'it drained');
      for (const kind of ['timers', 'intervals', 'immediates'] as const) left[kind] += more[kind];
    },
  });
  const source = await makeSource(head);
  let id = 0;
  const ask = async (op: string, expected: RegExp): Promise<void> => {
    const answered = replies.next();
    await new Promise<void>((settled) =>
      path.handle(new Delivery(CHANNEL, makeMessage(config.amqp.prefix, op), { nearPrefetchLimit: false, settled })),
    );
    assert.match(await answered, expected);
  };
  return {
    bundleBytes: source.code.length,
    left,
    get retiredInMemory() {
      return generations.retiredInMemory;
    },
    swap: async () => {
      const next = versionOf(source, ++id);
      await generations.prepare(next);
      generations.route([{ domain: DOMAIN, active: next.id }]);
      await ask('answer', new RegExp(`"answer":"${next.manifest.version}"`));
      if (id % FAILING_EVERY === 0) await ask('fail', /TEMPLATE_FAULT/);
      await generations.settled();
      // Commands come one by one: nothing is reclaimed before the turn of the loop is over that held it.
      await nextTurn();
    },
  };
}

function versionOf(source: GenerationSource, id: number): GenerationSource {
  const version = `1.0.${String(id)}`;
  const manifest = { ...source.manifest, version };
  // n.b. a copy as it arrives from the supervisor, not a text that is put together of those before.
  return structuredClone({ ...source, id, manifest, code: source.code.replaceAll(VERSION, version) });
}

async function makeSource(head: string): Promise<GenerationSource> {
  const run = 'mode: "read", input: { type: "object", fields: {} }, idempotent: true';
  const definition = {
    manifestVersion: 2,
    contract: 2,
    domain: DOMAIN,
    version: '1.0.0',
    store: 'main',
    key: 'id',
    sdk: '0.1.0',
    operations: {
      ...Object.fromEntries(
        ['create', 'update', 'delete'].map((op) => [
          op,
          { mode: 'write', idempotent: false, input: { type: 'schema' } },
        ]),
      ),
      fetch: { mode: 'read', idempotent: true, output: { type: 'list', items: { type: 'json' } } },
      ...Object.fromEntries(
        ['answer', 'fail'].map((op) => [op, { mode: 'read', idempotent: true, input: { type: 'object', fields: {} } }]),
      ),
    },
    objects: {},
    peers: [],
    entry: 'index.mjs',
    files: { 'index.mjs': { sha256: '0'.repeat(64), bytes: 1 } },
  };
  const parsed = parseManifest(JSON.stringify(definition));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const code = `
    import { setTimeout as sleep } from 'node:timers/promises';
    ${Array.from({ length: FUNCTIONS }, (_, n) => `export function f${String(n)}(a) { return [a, ${String(n)}, 'filler text of a length']; }`).join('\n')}
    const cache = new Map();
    const refuse = async () => { throw new Error('is not part of this'); };
    ${head}
    export default {
      [Symbol.for('beds.template')]: true,
      definition: ${JSON.stringify(definition)},
      createRecord: refuse, fetchRecords: refuse, updateRecord: refuse, deleteRecord: refuse,
      operations: {
        answer: { ${run}, async run() { return { answer: '${VERSION}', ...cache.get('stored') }; } },
        fail: { ${run}, async run() { f1(1); throw new RangeError('as it should'); } },
      },
      async setup(ctx) {
        cache.set('stored', { loaded: f2('${VERSION}')[1] });
        globalThis.lastOfThem = cache;
        ctx.signal.addEventListener('abort', () => cache.clear());
        setInterval(() => cache.size, 60_000);
        setTimeout(() => cache.size, 3_600_000);
        AbortSignal.timeout(3_600_000).addEventListener('abort', () => cache.clear());
        (async () => { for (;;) await sleep(60_000); })();
      },
      async teardown() { cache.clear(); },
    };
  `;
  const converted = await convertBundle(code);
  return { ...converted, id: 0, hash: '', manifest: parsed.manifest, objects: {} };
}

const CHANNEL = { ack: () => undefined, nack: () => undefined, reject: () => undefined } as unknown as Channel;

function makeMessage(prefix: string, op: string): ConsumeMessage {
  const envelope = { v: 1, id: 'b-1', domain: DOMAIN, op, payload: {}, meta: { client: 'bench' } };
  return {
    content: Buffer.from(JSON.stringify(envelope)),
    fields: { exchange: `${prefix}.request`, routingKey: `${DOMAIN}.${op}`, redelivered: false, deliveryTag: 1 },
    properties: {
      contentType: 'application/json',
      correlationId: 'b-1',
      headers: {},
      replyTo: 'amq.rabbitmq.reply-to.g1h2AA5yZXBseUA4OTU2MDI0NgAAFAAAAAAAZQ.Jx5u8J2jv0Xb',
    },
  } as unknown as ConsumeMessage;
}
