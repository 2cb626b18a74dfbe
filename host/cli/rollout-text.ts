import type { RolloutStatus } from '../admin/rollout-status.js';
import type { SideView, CanaryView } from '../admin/shown.js';

const CANARY_EVERY_MS = 5_000;
/** A short canary is reported this often in its time. */
const REPORTS = 5;
/** Before this much of its time there is little to say. */
const FIRST_MS = 1_000;

/** Says every change of state once, and how canaries fare now and then. */
export function narrator(
  write: (text: string) => void,
  startedAtMs = performance.now(),
): (statuses: readonly RolloutStatus[]) => void {
  const said = new Set<string>();
  const canarySaidAt = new Map<string, number>();
  const say = (status: RolloutStatus, text: string): void => {
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1).padStart(6);
    write(`${seconds} s  ${status.node}  ${status.domain} ${status.version}  ${text}`);
  };
  return (statuses) => {
    for (const status of statuses) {
      const name = `${status.node} ${status.hash}`;
      for (const { at, state, ms } of status.changes) {
        const key = `${name} ${at} ${state}`;
        if (said.has(key)) continue;
        said.add(key);
        say(status, ms === undefined ? state : `${state} after ${ms} ms`);
      }
      if (status.servedBefore === true && !said.has(name)) {
        said.add(name);
        say(status, 'serves already');
      }
      const { canary } = status;
      if (canary === undefined || performance.now() < (canarySaidAt.get(name) ?? 0)) continue;
      const isYoung = canary.elapsedMs < FIRST_MS && canary.candidate.requests === 0;
      if (isYoung && !canary.hold && canary.waits === undefined) continue;
      canarySaidAt.set(name, performance.now() + Math.min(CANARY_EVERY_MS, Math.max(FIRST_MS, canary.forMs / REPORTS)));
      say(status, canaryText(canary));
    }
  };
}

/** One line of how a canary fares beside the version that serves. */
export function canaryText({ percent, shadowPercent, candidate, active, ...rest }: CanaryView): string {
  const { forMs, elapsedMs, hold, shadow, waits } = rest;
  const shares = [
    ...(percent > 0 ? [`canary ${percent} %`] : []),
    ...(shadowPercent > 0 ? [`shadow ${shadowPercent} %`] : []),
  ];
  const compared =
    shadow === undefined ? [] : [`${shadow.different} of ${shadow.compared} copies answered differently`];
  const left = hold ? 'until it is promoted' : `${Math.max(0, Math.ceil((forMs - elapsedMs) / 1_000))} s left`;
  const waiting = waits === undefined ? [] : [`waits and is not judged: ${waits}`];
  const all = [sideText(candidate), `active: ${sideText(active)}`, ...compared, left, ...waiting];
  return `${shares.join(', ')}: ${all.join('; ')}`;
}

/** `120 requests, 0.8 % failed, p95 12 ms`. */
function sideText({ requests, errorPercent, p95Ms, strays }: SideView): string {
  const count = `${requests.toLocaleString('en')} request${requests === 1 ? '' : 's'}`;
  const p95 = p95Ms === undefined ? [] : [`p95 ${p95Ms < 10 ? p95Ms.toFixed(1) : Math.round(p95Ms)} ms`];
  const left = strays === undefined ? [] : [strayText(strays)];
  return [count, `${percentText(errorPercent)} failed`, ...left, ...p95].join(', ');
}

/** `12 stray faults`: faults that no request ended with. */
export function strayText(count: number): string {
  return `${count.toLocaleString('en')} stray fault${count === 1 ? '' : 's'}`;
}

export function percentText(percent: number): string {
  return `${Number(percent.toFixed(1))} %`;
}
