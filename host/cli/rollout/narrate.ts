import { canaryText } from './canary-text.js';
import type { Stand } from './stand.js';

const CANARY_EVERY_MS = 5_000;
/** A short canary is reported this often in its time. */
const REPORTS = 5;
/** Before this much of its time there is little to say. */
const FIRST_MS = 1_000;

/** Says every change of state once, and how canaries fare now and then. */
export function narrator(
  write: (text: string) => void,
  startedAtMs = performance.now(),
): (stands: readonly Stand[]) => void {
  const said = new Set<string>();
  const canarySaidAt = new Map<string, number>();
  const say = (stand: Stand, text: string): void => {
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1).padStart(6);
    write(`${seconds} s  ${stand.node}  ${stand.domain} ${stand.version}  ${text}`);
  };
  return (stands) => {
    for (const stand of stands) {
      const name = `${stand.node} ${stand.hash}`;
      for (const { at, state, ms } of stand.changes) {
        const key = `${name} ${at} ${state}`;
        if (said.has(key)) continue;
        said.add(key);
        say(stand, ms === undefined ? state : `${state} after ${ms} ms`);
      }
      if (stand.servedBefore === true && !said.has(name)) {
        said.add(name);
        say(stand, 'serves already');
      }
      const { canary } = stand;
      if (canary === undefined || performance.now() < (canarySaidAt.get(name) ?? 0)) continue;
      const isYoung = canary.elapsedMs < FIRST_MS && canary.candidate.requests === 0;
      if (isYoung && !canary.hold && canary.waits === undefined) continue;
      canarySaidAt.set(name, performance.now() + Math.min(CANARY_EVERY_MS, Math.max(FIRST_MS, canary.forMs / REPORTS)));
      say(stand, canaryText(canary));
    }
  };
}
