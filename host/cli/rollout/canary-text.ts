import type { CanaryView, SideView } from '../../admin/views.js';

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
  const waiting = waits === undefined ? [] : [`waits, and judges nothing: ${waits}`];
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
