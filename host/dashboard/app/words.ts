/** Words for what the nodes say in theirs. */

export const STATE_WORDS: Readonly<Record<string, string>> = {
  received: 'arrived',
  verified: 'read',
  probed: 'tried out',
  waiting: 'waits for the DBA',
  prepared: 'loaded',
  canary: 'on trial',
  active: 'live',
  draining: 'finishing',
  retired: 'ended',
  superseded: 'overtaken',
  rejected: 'refused',
  quarantined: 'in quarantine',
};

/** Why requests fail, by the class of their error. */
export const FAILURE_WORDS: Readonly<Record<string, string>> = {
  fault: 'its code failed',
  timeout: 'took too long',
  unavailable: 'a database was away',
  overloaded: 'too much at once',
  indeterminate: 'nobody knows whether it was done',
  stray: 'its code failed beside a request',
};

export function stateTone(state: string): Tone {
  if (state === 'active') return 'well';
  if (state === 'rejected' || state === 'quarantined') return 'trouble';
  if (state === 'waiting') return 'attention';
  return state === 'retired' || state === 'superseded' || state === 'draining' ? 'quiet' : 'busy';
}

export type Tone = 'well' | 'attention' | 'trouble' | 'busy' | 'quiet';

/** Of log lines: the level as its number, and its name. */
export const LEVELS = [
  ['30', 'info and above'],
  ['40', 'warn and above'],
  ['50', 'error and above'],
] as const;

export function levelOf(level: number): { readonly name: string; readonly tone: Tone } {
  if (level >= 60) return { name: 'fatal', tone: 'trouble' };
  if (level >= 50) return { name: 'error', tone: 'trouble' };
  if (level >= 40) return { name: 'warn', tone: 'attention' };
  return { name: level >= 30 ? 'info' : level >= 20 ? 'debug' : 'trace', tone: 'quiet' };
}

/** `14:05`, wherever the browser is. */
export const MINUTES = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;

/** Spans of time, in seconds. */
export const SINCE = [
  ['600', '10 minutes'],
  ['3600', 'an hour'],
  ['86400', 'a day'],
  ['604800', 'a week'],
] as const;

export const RANGES = [
  ['3600', 'an hour'],
  ['86400', 'a day'],
  ['604800', 'a week'],
  ['2592000', 'a month'],
  ['31536000', 'a year'],
] as const;

/** What a client calls itself. */
export function callerName(client: string): string {
  return client === '' ? 'gives no name' : client === '*' ? 'others' : client;
}

export function count(value: number, word: string): string {
  return `${value.toLocaleString('en')} ${word}${value === 1 ? '' : 's'}`;
}

export function shortHash(hash: string): string {
  return hash.slice(0, 8);
}

export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 90) return `${String(seconds)} s`;
  if (seconds < 5_400) return `${String(Math.round(seconds / 60))} min`;
  if (seconds < 172_800) return `${String(Math.round(seconds / 3_600))} h`;
  return `${String(Math.round(seconds / 86_400))} days`;
}

export function millis(ms: number | undefined): string {
  return ms === undefined ? '–' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString('en')} ms`;
}

/** As people write it: `12.4`, `1,240`. */
export function rate(value: number): string {
  return value === 0 ? '0' : value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}

export function perSecond(value: number): string {
  return `${rate(value)} a second`;
}
