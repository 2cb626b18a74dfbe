import type { Answer } from './protocol.js';
import type { QueryResult } from './queries.js';
import type { DeclaredObject, ObjectUse, Verdict } from './shown.js';

/** What the domain `metrics` answers to `objects`. */
export interface KeptUsage {
  readonly since: number | null;
  readonly days: number;
  readonly objects: readonly ObjectUse[];
}

export interface KnownUsage {
  readonly declared: readonly (DeclaredObject & { readonly node: string })[];
  readonly uses: readonly ObjectUse[];
  /** From when on calls were counted, milliseconds since 1970. */
  readonly since: number;
  /** Whether a node of the role admin keeps what others count: otherwise each counts since it started, or since midnight. */
  readonly isKept: boolean;
}

/** What nodes answered to `objects`, and what is kept of before; undefined: nothing. */
export function usageKnown(
  answers: readonly Answer<QueryResult<'objects'>>[],
  kept: KeptUsage | undefined,
): KnownUsage {
  const today = answers.flatMap(({ result }) => result.usage);
  const began = answers.map(({ result }) => Math.max(Date.parse(result.startedAt), midnight()));
  return {
    declared: answers.flatMap(({ node, result }) => result.declared.map((each) => ({ node, ...each }))),
    uses: together(kept?.objects ?? [], today),
    since: kept?.since ?? Math.max(...began),
    isKept: kept !== undefined,
  };
}

/** n.b. what nodes counted in the last minute, or since nobody keeps it, is theirs alone. */
function together(kept: readonly ObjectUse[], today: readonly ObjectUse[]): readonly ObjectUse[] {
  const uses = new Map<string, ObjectUse>();
  for (const use of [...kept, ...today]) {
    const key = [use.store, use.object, use.domain, use.version, use.operation].join('\0');
    const before = uses.get(key);
    uses.set(key, {
      ...(before ?? use),
      calls: kept.length > 0 ? Math.max(before?.calls ?? 0, use.calls) : (before?.calls ?? 0) + use.calls,
      p95Ms: Math.max(before?.p95Ms ?? 0, use.p95Ms),
      firstAt: Math.min(before?.firstAt ?? Infinity, use.firstAt),
      lastAt: Math.max(before?.lastAt ?? 0, use.lastAt),
    });
  }
  return [...uses.values()];
}

function midnight(): number {
  return Math.floor(Date.now() / 86_400_000) * 86_400_000;
}

/** An object has been left alone for long enough, where nobody called it for so many days. */
const LONG_DAYS = 30;

/** Whether the object may be dropped, in plain words. n.b. calls that are made past BEDS nobody here knows of. */
export function verdictOf(
  name: string,
  { declared, uses, since, isKept }: KnownUsage,
  ago: (ms: number) => string,
): Verdict {
  const days = Math.floor((Date.now() - since) / 86_400_000);
  const live = listOf(declared.filter(({ state }) => state !== 'kept'));
  const kept = listOf(declared.filter(({ state }) => state === 'kept'));
  const [last] = uses.toSorted((a, b) => b.lastAt - a.lastAt);
  const told = isKept ? '' : ' No node of the role admin keeps counts, so nothing is known from before that.';
  const called =
    last === undefined
      ? `Nobody has called it since ${dateOf(since)}, when counting began.${told}`
      : `It was last called ${ago(last.lastAt)}, by ${last.domain} ${last.version} in ${last.operation}.`;
  if (live.length > 0)
    return {
      isSafe: false,
      words: [
        `No. ${live.join(', ')} ${live.length === 1 ? 'has' : 'have'} it in the code: without ${name} it would be degraded, or not start.`,
        called,
      ],
    };
  if (kept.length > 0) {
    const words = `Not yet. No live version needs it, but ${kept.join(', ')} would, if a rollback brought ${kept.length === 1 ? 'it' : 'one of them'} back.`;
    return { isSafe: false, words: [words, called] };
  }
  if (last !== undefined && Date.now() - last.lastAt < LONG_DAYS * 86_400_000) {
    return {
      isSafe: true,
      words: ['Yes, as far as BEDS knows: no version that serves or could come back needs it any more.', called],
    };
  }
  if (!isKept || days < LONG_DAYS) {
    const words =
      'Probably. No version that serves or could come back needs it, but calls have been counted for a short time only.';
    return { isSafe: true, words: [words, called] };
  }
  return {
    isSafe: true,
    words: ['Yes, as far as BEDS knows: no version that serves or could come back needs it.', called],
  };
}

function listOf(declared: readonly DeclaredObject[]): readonly string[] {
  return [...new Set(declared.map(({ domain, version, state }) => `${domain} ${version} (${state})`))];
}

export function dateOf(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 16);
}
