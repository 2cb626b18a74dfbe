import { setTimeout as delay } from 'node:timers/promises';
import { cliErrors } from '../../errors/cli.js';
import type { HistoryEntry } from '../../deploy/history.js';
import { dropBundle, type ReadyBundle } from './bundles.js';
import { historySince, type Asking } from './ask-history.js';
import type { MixedLoad } from './mixed-load.js';

export interface SwapReport {
  /** From the complete file to the new version on all threads, as the host measured it. */
  readonly activeMs: number | undefined;
  /** From the dropped file to the first reply of the new version, as the callers saw it. */
  readonly firstReplyMs: number;
}

export interface SwapOptions extends Asking {
  readonly bundle: ReadyBundle;
  readonly directory: string;
  readonly load: MixedLoad;
}

const LOOK_EVERY_MS = 5;
const LONGEST_MS = 20_000;
const RECORD_MS = 2_000;

/** Drops the next version of cities under load and waits until it answers. Throws BEDS_CLI_DEMO_FAILED with the reasons. */
export async function watchSwap(options: SwapOptions): Promise<SwapReport> {
  const { bundle, directory, load, signal } = options;
  const { version } = bundle;
  const droppedAt = await dropBundle(bundle, directory);
  const latest = droppedAt + LONGEST_MS;
  while (load.tally.firstSeen('cities', version) === undefined && Date.now() < latest) {
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
  const firstSeen = load.tally.firstSeen('cities', version);
  const history = await historyUntilActive({ domain: 'cities', version, sinceMs: droppedAt }, options);
  if (firstSeen === undefined) {
    const reasons = history.flatMap(({ findings = [] }) => findings.map(({ code, message }) => `${code}: ${message}`));
    const text = `cities ${version} did not begin to serve within ${String(LONGEST_MS / 1_000)} s. ${reasons.join(' ')}`;
    throw cliErrors.make('BEDS_CLI_DEMO_FAILED', text);
  }
  return { firstReplyMs: firstSeen - droppedAt, activeMs: history.find(isActive)?.ms };
}

/** n.b. one thread may answer with the new version a moment before all do, which is what the history tells. */
async function historyUntilActive(
  version: Parameters<typeof historySince>[0],
  asking: Asking,
): ReturnType<typeof historySince> {
  const latest = Date.now() + RECORD_MS;
  for (;;) {
    const history = await historySince(version, asking);
    if (history.some(isActive) || Date.now() > latest) return history;
    await delay(LOOK_EVERY_MS, undefined, { signal: asking.signal });
  }
}

function isActive({ state }: HistoryEntry): boolean {
  return state === 'active';
}
