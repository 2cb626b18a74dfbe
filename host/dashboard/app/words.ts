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
