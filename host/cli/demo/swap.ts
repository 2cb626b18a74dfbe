import { setTimeout as delay } from 'node:timers/promises';
import { AdminClient, askNodes, type AskOptions, type CommandOutcome } from '../../admin/client.js';
import { followRollout } from '../../admin/follow-rollout.js';
import type { NodeStatus } from '../../admin/views.js';
import { cliErrors } from '../../errors/cli.js';
import type { Finding } from '../../template/contract.js';
import { encodeBundle, type ReadBundle } from '../../author/read-bundles.js';
import { dropBundle, type ReadyBundle } from './bundles.js';
import type { MixedLoad } from './load.js';

export interface SwapReport {
  /** From the complete file to the new version on all threads, as the host measured it. */
  readonly activeMs: number | undefined;
  /** From the dropped file to the first reply of the new version, as the callers saw it. */
  readonly firstReplyMs: number;
}

export interface SwapOptions {
  readonly bundle: ReadyBundle;
  readonly directory: string;
  readonly load: MixedLoad;
}

const LOOK_EVERY_MS = 5;
const LONGEST_MS = 20_000;
const RECORD_MS = 2_000;

/** Throws BEDS_CLI_DEMO_FAILED, with the reasons, unless the node serves all of these domains. */
export async function requireServed(domains: readonly string[], asking: AskOptions): Promise<NodeStatus> {
  const [answer] = await askNodes('status', {}, asking);
  if (answer === undefined) throw cliErrors.make('BEDS_CLI_DEMO_FAILED', 'The host does not answer.');
  for (const domain of domains) {
    const view = answer.result.domains.find((each) => each.domain === domain);
    if (view?.live?.state === 'active') continue;
    throw cliErrors.make('BEDS_CLI_DEMO_FAILED', `${domain} is not served. ${wordsOf(view?.candidate?.findings)}`);
  }
  return answer.result;
}

/** Where a host serves what it served in an earlier run: lets the first version of cities take over. */
export async function begin(bundle: ReadBundle, asking: AskOptions): Promise<void> {
  const bundles = [encodeBundle(bundle)];
  const options = { canaryPercent: 0, shadowPercent: 0, allowBreaking: true };
  await takeOver((client) => client.command('deploy', { bundles, ...options }, asking), asking);
}

/**
 * Goes, as `beds rollback` does, to a version of cities that served before. Resolves to the milliseconds until it served
 * on all threads, as the host measured them. Throws BEDS_CLI_DEMO_FAILED.
 */
export function goBack(version: string, asking: AskOptions): Promise<number> {
  return takeOver((client) => client.command('rollback', { domain: 'cities', version }, asking), asking);
}

async function takeOver(
  command: (client: AdminClient) => Promise<CommandOutcome>,
  asking: AskOptions,
): Promise<number> {
  const client = await AdminClient.open(asking);
  try {
    const outcome = await command(client);
    const following = { signal: asking.signal, timeoutMs: LONGEST_MS, onLook: () => undefined };
    const [status] = await followRollout(client, outcome, following);
    asking.signal.throwIfAborted();
    if (status?.state === 'active') return status.changes.findLast(({ state }) => state === 'active')?.ms ?? 0;
    const message = `cities ${status?.version ?? ''} did not begin to serve. ${wordsOf(status?.findings)}`;
    throw cliErrors.make('BEDS_CLI_DEMO_FAILED', message);
  } finally {
    await client.close();
  }
}

/** Drops the next version of cities under load and waits until it answers. Throws BEDS_CLI_DEMO_FAILED with the reasons. */
export async function watchSwap({ bundle, directory, load }: SwapOptions, asking: AskOptions): Promise<SwapReport> {
  const { signal } = asking;
  const { version } = bundle;
  const droppedAt = await dropBundle(bundle, directory);
  const latest = droppedAt + LONGEST_MS;
  while (load.tally.firstSeen('cities', version) === undefined && Date.now() < latest) {
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
  const firstSeen = load.tally.firstSeen('cities', version);
  // n.b. one thread may answer with the new version a moment before all do, which is what the history tells.
  const recordedBy = Date.now() + RECORD_MS;
  for (;;) {
    const answers = await askNodes('history', { domain: 'cities' }, asking);
    const changes = answers
      .flatMap(({ result }) => result.entries)
      .filter((entry) => entry.version === version && Date.parse(entry.at) >= droppedAt);
    const active = changes.find(({ state }) => state === 'active');
    if (active === undefined && Date.now() <= recordedBy) {
      await delay(LOOK_EVERY_MS, undefined, { signal });
      continue;
    }
    if (firstSeen !== undefined) return { firstReplyMs: firstSeen - droppedAt, activeMs: active?.ms };
    const reasons = wordsOf(changes.flatMap(({ findings = [] }) => findings));
    throw cliErrors.make('BEDS_CLI_DEMO_FAILED', `cities ${version} did not begin to serve in time. ${reasons}`);
  }
}

function wordsOf(findings: readonly Finding[] = []): string {
  return findings.map(({ code, message }) => `${code}: ${message}`).join(' ') || 'No reason is known.';
}
