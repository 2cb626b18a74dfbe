import { sleep } from '#sdk/time';
import type { AdminClient, CommandOutcome } from './client.js';
import { isDecided, isTold, type Progress, type RolloutStatus, rolloutStatusOf } from './rollout-status.js';

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** Longest wait, beside the time that canaries are given. */
  readonly timeoutMs: number;
  /** Called after every look. */
  readonly onLook?: (statuses: readonly RolloutStatus[]) => void;
  /** Default 250. */
  readonly lookEveryMs?: number;
  /** Whether what is seen is all that the caller waits for. Default: when every version is decided on every node. */
  readonly isEnough?: (statuses: readonly RolloutStatus[]) => boolean;
}

const LOOK_EVERY_MS = 250;
const ANSWER_TIMEOUT_MS = 2_000;
/** Looks after the outcome, until the history tells it. */
const LAST_LOOKS = 4;
const NO_PROGRESS: Progress = { domains: [], entries: [] };

/**
 * Watches what nodes accepted until every version is decided on every node, or the time is over. Resolves to how far they
 * are then.
 */
export async function followRollout(
  client: AdminClient,
  { accepted, nodeCount }: Pick<CommandOutcome, 'accepted' | 'nodeCount'>,
  options: FollowOptions,
): Promise<readonly RolloutStatus[]> {
  const domains = [...new Set(accepted.flatMap(({ receipts }) => receipts.map(({ domain }) => domain)))];
  const known = new Map<string, Progress>();
  let untilMs = performance.now() + options.timeoutMs;
  let lastLooks = LAST_LOOKS;
  for (;;) {
    const asked = { timeoutMs: ANSWER_TIMEOUT_MS, expected: nodeCount };
    for (const answer of await client.query('progress', { domains }, asked)) {
      if (answer.ok) known.set(answer.node, answer.result);
    }
    const statuses = accepted.flatMap((each) =>
      // A node that has not answered yet may be busy: it is asked again.
      each.receipts.map((receipt) => rolloutStatusOf(receipt, each, known.get(each.node) ?? NO_PROGRESS)),
    );
    options.onLook?.(statuses);
    if (options.signal.aborted || options.isEnough?.(statuses) === true) return statuses;
    const isOver = statuses.every((status) => isDecided(status, statuses));
    if (isOver && (statuses.every(isTold) || lastLooks-- === 0)) return statuses;
    // One that waits for a database may do so for ever: its time stands still, this command's does not.
    const canaryMs = statuses.map(({ canary }) =>
      canary === undefined || canary.waits !== undefined ? 0 : canary.forMs - canary.elapsedMs,
    );
    if (Math.max(...canaryMs) > 0)
      untilMs = Math.max(untilMs, performance.now() + Math.max(...canaryMs) + options.timeoutMs);
    if (performance.now() >= untilMs) return statuses;
    await sleep(options.lookEveryMs ?? LOOK_EVERY_MS, options.signal);
  }
}
