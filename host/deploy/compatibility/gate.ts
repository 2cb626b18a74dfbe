import type { Finding } from '../../template/contract.js';
import { makeFinding } from '../../template/make-finding.js';
import { WHOLE_DOMAIN, type Caller, type CallerLedger, type ContractChange, type JoinedChange } from './contract.js';

/** Callers that a finding names; the others are a number. */
const NAMED_CALLERS = 2;

/** Adds to each change who called its operation, and over how many days that was counted. */
export function joinCallers(
  changes: readonly ContractChange[],
  domain: string,
  ledger: Pick<CallerLedger, 'callersOf' | 'countedDays'>,
): readonly JoinedChange[] {
  const countedDays = ledger.countedDays();
  return changes.map((change) => ({
    ...change,
    callers: change.operation === WHOLE_DOMAIN ? [] : ledger.callersOf(domain, change.operation),
    countedDays,
  }));
}

/** A finding for each change that breaks, also where nobody called: `lookup: argument limit was added without a default; breaks …`. */
export function breakingFindings(joined: readonly JoinedChange[]): readonly Finding[] {
  return joined
    .filter((change) => change.breaking)
    .map(({ operation, message, callers, countedDays }) => {
      const whom = callers.length === 0 ? describeSilence(countedDays) : `breaks ${describeCallers(callers)}`;
      return makeFinding('BEDS_ROLLOUT_BREAKING', `${operation}: ${message}; ${whom}`);
    });
}

function describeCallers(callers: readonly Caller[]): string {
  const named = callers
    .slice(0, NAMED_CALLERS)
    .map(({ client, callsPerDay }) => `${nameOf(client)} (${describeRate(callsPerDay)})`);
  const others = callers.length - named.length;
  const last = others > 0 ? `${String(others)} more` : named.pop();
  return named.length === 0 ? String(last) : `${named.join(', ')} and ${String(last)}`;
}

function nameOf(client: string): string {
  if (client === '') return 'callers without a name';
  // A caller names itself: what a terminal would obey does not reach it.
  return client === '*' ? 'others' : client.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

function describeRate(callsPerDay: number): string {
  const calls = Math.round(callsPerDay);
  if (calls < 1) return 'less than 1 call/day';
  return `${calls.toLocaleString('en')} ${calls === 1 ? 'call' : 'calls'}/day`;
}

/** A young count must not pass for a long silence. */
function describeSilence(countedDays: number): string {
  const days = Math.floor(countedDays);
  if (days < 1) return 'nobody called it, but callers have been counted for less than a day';
  return `nobody called it in the last ${days === 1 ? 'day' : `${String(days)} days`}`;
}
