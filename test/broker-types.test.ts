import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, it, type TestContext } from 'node:test';
import { type Channel, connect } from 'amqplib';
import { pino } from 'pino';
import type * as Markdown from '../host/brokers/markdown.js';
import type * as Cli from '../host/cli/main.js';
import type * as Load from '../host/config/load.js';
import type * as HostModule from '../host/main.js';
import type { BrokerStatus } from '../host/brokers/pool.js';
import { brokersMarkdown } from '../host/brokers/markdown.js';
import { eventually } from './support/eventually.js';
import { lastFirst, sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq']);

/** Repeats on the exchange of events what it is told, and counts it. */
const DEFINITION = `
  import { z } from 'zod';
  import { defineBroker } from '../define.js';

  export const definition = defineBroker({
    summary: 'Repeats what it is told.',
    consumes: 'Its queue \`parrot\`.',
    keeps: 'How much it said.',
    settings: { ending: z.string().default('!').describe('What every sentence ends with.') },
    metrics: { beds_parrot_sentences: 'Sentences that were said.' },
    ownQueues: () => [{ name: 'parrot', bindings: { event: ['parrot.#'] } }],
  });
`;
const BROKER = `
  export const open = ({ plan, publishEvent }) => {
    let said = 0;
    return {
      handle(delivery) {
        const text = delivery.body.toString();
        if (text === 'choke' && !delivery.redelivered) throw new Error('it choked');
        said += 1;
        publishEvent({ topic: 'said', data: { text: text + plan.settings.ending } });
        delivery.settle('ack');
      },
      metrics: () => ({ beds_parrot_sentences: said }),
    };
  };
`;

interface Ran {
  readonly code: number;
  readonly out: string;
}

/** A copy of what is compiled, with one folder more. */
interface Copy {
  load<T>(file: string): Promise<T>;
  beds(...args: readonly string[]): Promise<Ran>;
}

function copyWithParrot(t: TestContext, projectRoot: string): Copy {
  const root = temporaryDirectory(t);
  for (const folder of ['dist/host', 'dist/threads']) cpSync(folder, join(root, folder), { recursive: true });
  cpSync('package.json', join(root, 'package.json'));
  for (const name of ['node_modules', 'sdk']) symlinkSync(resolve(name), join(root, name));
  const folder = join(root, 'dist/host/brokers/parrot');
  mkdirSync(folder);
  writeFileSync(join(folder, 'definition.js'), DEFINITION);
  // Where the build puts it, for the host's main thread and for the others.
  const ofThreads = join(root, 'dist/threads/parrot');
  mkdirSync(ofThreads);
  for (const place of [folder, ofThreads]) writeFileSync(join(place, 'broker.js'), BROKER);
  const load = <T>(file: string): Promise<T> => import(pathToFileURL(join(root, 'dist/host', file)).href) as Promise<T>;
  return {
    load,
    beds: async (...args) => {
      const { main } = await load<typeof Cli>('cli/main.js');
      let out = '';
      const stream = { isTTY: false, columns: 200, write: (text: string) => void (out += text) };
      const streams = { stdout: stream, stderr: stream };
      return { code: await main({ args, projectRoot, cwd: projectRoot, env: {}, streams }), out };
    },
  };
}

function writeConfig(projectRoot: string, prefix: string, parrot: string): void {
  mkdirSync(join(projectRoot, 'config'), { recursive: true });
  const text = `
    [node]
    name = "${prefix}"
    roles = ["appServer", "zoo"]
    [amqp]
    url = "${services.rabbitmq?.url ?? ''}"
    prefix = "${prefix}"
    [threads.default]
    count = 1
    [brokers.rBroker]
    type = "data"
    mode = "read"
    [brokers.wBroker]
    type = "data"
    mode = "write"
    [brokers.polly]
    ${parrot}
    [roles.appServer]
    [roles.zoo]
    domains = []
    brokers = ["polly"]
  `;
  writeFileSync(join(projectRoot, 'config/beds.toml'), text);
}

async function openChannel(t: TestContext, prefix: string): Promise<Channel> {
  const model = await connect(services.rabbitmq?.url ?? '');
  const channel = await model.createChannel();
  lastFirst(t, async () => {
    for (const queue of ['parrot', 'unrouted', 'dead', 'domains']) await channel.deleteQueue(`${prefix}.${queue}`);
    for (const exchange of ['request', 'unrouted', 'dead', 'event', 'admin', 'operate']) {
      await channel.deleteExchange(`${prefix}.${exchange}`);
    }
    await model.close();
  });
  return channel;
}

describe('a type of broker', { timeout: 120_000 }, () => {
  it('is a folder and nothing else: it is configured, consumes, is replaced alone when it fails, and is shown', async (t) => {
    const prefix = `t${randomBytes(5).toString('hex')}`;
    const projectRoot = temporaryDirectory(t);
    mkdirSync(join(projectRoot, 'plugins'));
    const copy = copyWithParrot(t, projectRoot);

    writeConfig(projectRoot, prefix, 'type = "parot"\nmode = "read"');
    assert.match(
      (await copy.beds('config')).out,
      /brokers\.polly\.type: must be one of admin-graph, admin-in, admin-logs, admin-out, admin-syslog, data, outbox, parrot\. Did you mean parrot\?/,
    );
    writeConfig(projectRoot, prefix, 'type = "parrot"\nmode = "read"');
    assert.match(
      (await copy.beds('config')).out,
      /polly\.mode: this key is not known here: it belongs to entries of type data/,
    );
    writeConfig(projectRoot, prefix, 'type = "parrot"\nending = "?"');
    assert.equal((await copy.beds('config')).code, 0);
    const { brokersMarkdown: text } = await copy.load<typeof Markdown>('brokers/markdown.js');
    assert.match(
      text(),
      /\| `parrot` \| Repeats what it is told\. .*`ending`: What every sentence ends with\..*beds_parrot_sentences/,
    );

    const channel = await openChannel(t, prefix);
    const { startHost } = await copy.load<typeof HostModule>('main.js');
    const { loadConfig } = await copy.load<typeof Load>('config/load.js');
    const config = loadConfig({ projectRoot, env: {} });
    const host = await startHost({ config, projectRoot, log: pino({ level: 'silent' }) });
    lastFirst(t, () => host.stop());

    const heard: string[] = [];
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, `${prefix}.event`, 'said');
    await channel.consume(queue, (message) => {
      const { data } = JSON.parse(message?.content.toString() ?? '') as { readonly data: { readonly text: string } };
      heard.push(data.text);
    });
    const say = (sentence: string): boolean => channel.publish(`${prefix}.event`, 'parrot.say', Buffer.from(sentence));
    say('hello');
    await eventually('it is repeated', () => heard.includes('hello?'));
    say('choke');
    await eventually('the next one repeats what the first one choked on', () => heard.includes('choke?'));

    const status = await copy.beds('status', '--json');
    const [node] = JSON.parse(status.out) as readonly {
      readonly roles: readonly string[];
      readonly threads: readonly { readonly status: { readonly brokers: readonly BrokerStatus[] } }[];
    }[];
    assert.deepEqual(node?.roles, ['appServer', 'zoo']);
    const brokers = node?.threads[0]?.status.brokers ?? [];
    assert.deepEqual(
      brokers.map(({ name, type, state, restarts }) => [name, type, state, restarts]),
      [
        ['rBroker-1', 'data', 'consuming', 0],
        ['wBroker-1', 'data', 'idle', 0],
        ['polly-1', 'parrot', 'consuming', 1],
      ],
    );
    const polly = brokers[2];
    assert.deepEqual([polly?.queues, polly?.messages, polly?.inFlight], [[`${prefix}.parrot`], 3, 0]);
    assert.equal(polly?.lastError?.message, 'it choked');
    assert.deepEqual(polly?.metrics, { beds_parrot_sentences: 1 });
    const shown = await copy.beds('status');
    assert.match(shown.out, /polly +parrot +consuming +\S+\.parrot +[\d.]+ +0 +1 +\d+ s ago: it choked/);
    assert.match((await copy.beds('metrics')).out, /beds_parrot_sentences\{.*broker="polly-1".*\} 1/);
  });

  it('has its row in host/BROKERS.md', () => {
    assert.ok(readFileSync('host/BROKERS.md', 'utf8') === brokersMarkdown(), 'run npm run docs:brokers');
  });
});
