/** Answers say the time in whole seconds, and take a moment: what is less is no difference. */
const LEAST_MS = 3_000;
let aheadMs = 0;

/** Notes the clock of the server: what the page is told and what it orders has instants, and the clock of the browser may be another one. */
export function hearTime(response: Response): void {
  const said = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(said)) return;
  const difference = said - Date.now();
  aheadMs = Math.abs(difference) < LEAST_MS ? 0 : difference;
}

/** Milliseconds since 1970, by the clock of the server. */
export function now(): number {
  return Date.now() + aheadMs;
}
