import { sleep } from '#sdk/time';
import { isRefused, type NodeSession } from '../node-session.js';
import type { Sent } from './send-order.js';
import { type Accepted, isDecided, isTold, type ProgressAnswer, type Stand, standOf } from './stand.js';

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** Longest wait, beside the time that canaries are given. */
  readonly timeoutMs: number;
  /** Called after every look. */
  readonly onLook: (stands: readonly Stand[]) => void;
}

const LOOK_EVERY_MS = 250;
const ANSWER_TIMEOUT_MS = 2_000;
/** Looks after the outcome, until the history tells it. */
const LAST_LOOKS = 4;

/**
 * Watches what nodes accepted until every version is decided on every node, or the time is over. Resolves to where they
 * stand then.
 */
export async function follow(
  session: NodeSession,
  { accepted, nodeCount }: Pick<Sent, 'accepted' | 'nodeCount'>,
  options: FollowOptions,
): Promise<readonly Stand[]> {
  const domains = [...new Set(accepted.flatMap(({ receipts }) => receipts.map(({ domain }) => domain)))];
  const known = new Map<string, ProgressAnswer>();
  let untilMs = performance.now() + options.timeoutMs;
  let lastLooks = LAST_LOOKS;
  for (;;) {
    const answers = await session.ask<ProgressAnswer>({ v: 1, op: 'progress', domains }, ANSWER_TIMEOUT_MS, nodeCount);
    for (const answer of answers) if (!isRefused(answer)) known.set(answer.node, answer);
    const stands = accepted.flatMap((each) =>
      each.receipts.map((receipt) => standOf(receipt, each, lookUp(known, each))),
    );
    options.onLook(stands);
    if (options.signal.aborted) return stands;
    if (stands.every((stand) => isDecided(stand, stands)) && (stands.every(isTold) || lastLooks-- === 0)) return stands;
    // One that waits for a database may do so for ever: its time stands still, this command's does not.
    const canaryMs = stands.map(({ canary }) =>
      canary === undefined || canary.waits !== undefined ? 0 : canary.forMs - canary.elapsedMs,
    );
    if (Math.max(...canaryMs) > 0)
      untilMs = Math.max(untilMs, performance.now() + Math.max(...canaryMs) + options.timeoutMs);
    if (performance.now() >= untilMs) return stands;
    await sleep(LOOK_EVERY_MS, options.signal);
  }
}

/** A node that has not answered yet may be busy: it is asked again. */
function lookUp(known: ReadonlyMap<string, ProgressAnswer>, { node }: Accepted): ProgressAnswer {
  return known.get(node) ?? { v: 1, op: 'progress', node, domains: [], entries: [] };
}
