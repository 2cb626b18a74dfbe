import { setTimeout as delay } from 'node:timers/promises';
import { cliErrors } from '../../errors/cli.js';
import { AdminClient } from '../../admin/client.js';
import { readBundles } from '../read-bundles.js';
import { historySince, type Asking } from './ask-history.js';
import type { ReadyBundle } from './bundles.js';

const LOOK_EVERY_MS = 100;
const LONGEST_MS = 20_000;
const ANSWER_TIMEOUT_MS = 5_000;

/**
 * Orders, as `beds rollback` does, that cities goes to a version that served before. Resolves to the milliseconds until it
 * served on all threads, as the host measured them. Throws BEDS_CLI_DEMO_FAILED.
 */
export function goBack(version: string, asking: Asking): Promise<number> {
  return takeOver(
    (client, options) => client.command('rollback', { domain: 'cities', version }, options),
    version,
    asking,
  );
}

/** Where a host serves what it served in an earlier run: lets the first version of cities take over. */
export async function begin({ file, version }: ReadyBundle, asking: Asking): Promise<void> {
  const [bundle] = await readBundles({ cwd: '/', paths: [file] }, asking.config.plugins);
  const files = Object.entries(bundle?.files ?? {}).map(([name, content]) => [name, content.toString('base64')]);
  const input = {
    bundles: [Object.fromEntries(files) as Record<string, string>],
    canaryPercent: 0,
    shadowPercent: 0,
    allowBreaking: true,
  };
  await takeOver((client, options) => client.command('deploy', input, options), version, asking);
}

async function takeOver(
  give: (client: AdminClient, options: { readonly timeoutMs: number }) => Promise<unknown>,
  version: string,
  asking: Asking,
): Promise<number> {
  const { config, signal } = asking;
  const options = { url: config.amqp.url, prefix: config.amqp.prefix, signal, timeoutMs: ANSWER_TIMEOUT_MS };
  const sinceMs = Date.now();
  const client = await AdminClient.open(options);
  try {
    await give(client, options);
  } finally {
    await client.close();
  }
  while (Date.now() < sinceMs + LONGEST_MS) {
    const history = await historySince({ domain: 'cities', version, sinceMs }, asking);
    const active = history.findLast(({ state }) => state === 'active');
    if (active !== undefined) return active.ms ?? 0;
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
  throw cliErrors.make('BEDS_CLI_DEMO_FAILED', `cities ${version} did not serve within ${LONGEST_MS / 1_000} s.`);
}
