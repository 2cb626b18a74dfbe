import type { DevHost, Finding, HostLine } from '#sdk/cli';
import { AdminClient, type AdminClientOptions } from '../admin/client.js';
import { followRollout } from '../admin/follow-rollout.js';
import { connect } from '../amqp/guarded-amqplib.js';
import { makeNames } from '../amqp/names.js';
import type { Config } from '../config/schema.js';
import { encodeBundle, readBundles } from './read-bundles.js';

export interface DevHostOptions extends AdminClientOptions {
  readonly limits: Config['plugins'];
  /** Who hears of faults of which domains; absent: whoever runs the host hears of them by its log. */
  readonly faults?: { readonly domains: readonly string[]; readonly onLine: (line: HostLine) => void };
}

const ASK_TIMEOUT_MS = 2_000;
const DEPLOY_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 20;

/** The hosts that answer on a RabbitMQ; undefined where none does. Throws BEDS_ADMIN_NO_NODES without RabbitMQ. */
export async function findDevHost(options: DevHostOptions): Promise<DevHost | undefined> {
  const client = await AdminClient.open(options);
  const answers = await client.query('quarantine', {}, { timeoutMs: ASK_TIMEOUT_MS });
  const nodes = answers.map(({ node }) => node);
  if (nodes.length === 0) {
    await client.close();
    return undefined;
  }
  const endFaults = options.faults === undefined ? undefined : await hearFaults(options, options.faults);
  return {
    deploy: (path) => deploy(path, { client, nodes, options }),
    close: async () => {
      await Promise.all([client.close(), endFaults?.()]);
    },
  };
}

interface Deploying {
  readonly client: AdminClient;
  readonly nodes: readonly string[];
  readonly options: DevHostOptions;
}

async function deploy(
  path: string,
  { client, nodes, options: { limits, signal } }: Deploying,
): Promise<{ readonly isLive: boolean; readonly findings: readonly Finding[] }> {
  const bundles = (await readBundles({ cwd: '.', paths: [path] }, limits)).map(encodeBundle);
  const plan = { allowBreaking: true, canaryPercent: 0, shadowPercent: 0 };
  const outcome = await client.command('deploy', { bundles, ...plan }, { timeoutMs: ASK_TIMEOUT_MS, nodes });
  const refused = outcome.refused.flatMap(({ error }) => error.findings ?? [error]);
  if (refused.length > 0) return { isLive: false, findings: refused };
  const statuses = await followRollout(client, outcome, {
    signal,
    timeoutMs: DEPLOY_TIMEOUT_MS,
    lookEveryMs: LOOK_EVERY_MS,
    // One that waits for its database waits for the author here.
    isEnough: (seen) => seen.some(({ state }) => state === 'waiting'),
  });
  const isLive = statuses.length > 0 && statuses.every(({ state }) => state === 'active');
  return { isLive, findings: statuses.flatMap(({ state, findings }) => (state === 'active' ? [] : findings)) };
}

/** Resolves to what ends it. */
async function hearFaults(
  { url, prefix }: DevHostOptions,
  { domains, onLine }: NonNullable<DevHostOptions['faults']>,
): Promise<() => Promise<void>> {
  const model = await connect(url, { noDelay: true });
  // It is a convenience: without it the log of the host has the faults.
  model.on('error', () => undefined);
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  for (const domain of domains) await channel.bindQueue(queue, makeNames(prefix).events, `fault.${domain}`);
  await channel.consume(queue, (message) => message !== null && onLine(faultLine(message.content)), { noAck: true });
  return () => model.close().catch(() => undefined);
}

/** n.b. an event repeats no text of an error, which may hold data of a request. */
function faultLine(content: Buffer): HostLine {
  const { node, data } = JSON.parse(content.toString('utf8')) as {
    readonly node: string;
    readonly data: Readonly<Record<string, unknown>>;
  };
  const parts = ['where', 'version', 'requestId'].flatMap((name) =>
    typeof data[name] === 'string' ? [`${name} ${data[name]}`] : [],
  );
  return { level: 'error', text: `a fault: ${parts.join(', ')}. The log of ${node} says what it was.` };
}
