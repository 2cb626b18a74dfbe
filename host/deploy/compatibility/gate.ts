import type { Access, Manifest } from '@beds/sdk';
import { type Finding, makeFinding } from '../../template/contract.js';
import type { Caller, CallerLedger } from './caller-ledger.js';
import { compareManifests, type ContractChange, WHOLE_DOMAIN } from './compare-manifests.js';
import { namesOfBoth, own } from './compare-values.js';

/** A change with the clients that called the operation in the last days, busiest first. */
export interface JoinedChange extends ContractChange {
  readonly callers: readonly Caller[];
  /** Days that callers were counted over, as a fraction: less than were asked for while the count is young. */
  readonly countedDays: number;
}

/** Callers that a finding names; the others are a number. */
const NAMED_CALLERS = 2;

/** Adds to each change who called its operation, and over how many days that was counted. */
export function joinCallers(
  changes: readonly ContractChange[],
  domain: string,
  ledger: Pick<CallerLedger, 'callersOf' | 'countedDays'>,
): readonly JoinedChange[] {
  if (changes.length === 0) return [];
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

/** A version as it is kept; fits a `GenerationSource`. */
export interface KeptVersion {
  readonly manifest: Manifest;
  /** SHA-256 of the bundle, hex. */
  readonly hash: string;
}

export interface FileChange {
  readonly name: string;
  readonly change: 'added' | 'changed' | 'removed';
}

/** Two versions of a domain beside each other, as plain data. */
export interface VersionDiff {
  readonly domain: string;
  readonly from: { readonly version: string; readonly hash: string };
  readonly to: { readonly version: string; readonly hash: string };
  /** Breaking ones first, then by operation. */
  readonly changes: readonly JoinedChange[];
  /** Files of the bundle whose bytes differ: where all else is the same, the code. */
  readonly files: readonly FileChange[];
}

export interface DiffTerms {
  readonly ledger: Pick<CallerLedger, 'callersOf' | 'countedDays'>;
  /** Who may call what a version says nothing of. */
  readonly defaultAccess: Access;
}

/** Compares two kept versions of a domain, in the direction of a rollout from `from` to `to`. */
export function diffVersions(from: KeptVersion, to: KeptVersion, { ledger, defaultAccess }: DiffTerms): VersionDiff {
  const { domain } = to.manifest;
  return {
    domain,
    from: { version: from.manifest.version, hash: from.hash },
    to: { version: to.manifest.version, hash: to.hash },
    changes: joinCallers(compareManifests(from.manifest, to.manifest, defaultAccess), domain, ledger),
    files: compareFiles(from.manifest.files, to.manifest.files),
  };
}

function compareFiles(from: Manifest['files'], to: Manifest['files']): readonly FileChange[] {
  return [...namesOfBoth(from, to)].sort().flatMap((name): readonly FileChange[] => {
    const before = own(from, name);
    const after = own(to, name);
    if (before === undefined) return [{ name, change: 'added' }];
    if (after === undefined) return [{ name, change: 'removed' }];
    return before.sha256 === after.sha256 ? [] : [{ name, change: 'changed' }];
  });
}
