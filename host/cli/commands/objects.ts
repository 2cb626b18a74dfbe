import { EXIT, printable } from '#sdk/cli';
import { askNodes } from '../../admin/client.js';
import type { DeclaredObject } from '../../admin/views.js';
import { adminDataIfAny } from '../admin-data.js';
import { askOptions, queryCommand } from '../admin-command.js';
import type { Command, CommandContext } from '../command.js';
import { ago, type Output } from '../output.js';

/** How much one version of a domain uses an object, as far as anybody counted. */
interface Use {
  readonly store: string;
  readonly object: string;
  readonly domain: string;
  readonly version: string;
  readonly operation: string;
  readonly calls: number;
  readonly callsPerDay?: number;
  readonly p95Ms: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

interface Kept {
  readonly since: number | null;
  readonly days: number;
  readonly objects: readonly Use[];
}

interface Known {
  readonly declared: readonly (DeclaredObject & { readonly node: string })[];
  readonly uses: readonly Use[];
  /** From when on calls were counted, milliseconds since 1970. */
  readonly since: number;
  /** Whether a node of the role admin keeps what others count: otherwise each counts since it started, or since midnight. */
  readonly isKept: boolean;
}

const base = queryCommand('objects', {
  details:
    'With a name it answers whether that view, procedure or function may be dropped: who has it in his code, live or kept for a ' +
    'rollback, and who called it, how often, and when last. Without a node of the role admin, calls are those of today since the nodes started.',
  show: () => EXIT.ok,
});

export const objectsCommand: Command = {
  ...base,
  run: async (context) => {
    const [name] = context.args;
    const known = await ask(context, name);
    if (context.json)
      context.out.value({ ...(name === undefined ? {} : { name, ...verdictOf(name, known) }), ...known });
    else if (name === undefined) showAll(known, context.out);
    else showOne(name, known, context.out);
    return EXIT.ok;
  },
};

async function ask(context: CommandContext, name: string | undefined): Promise<Known> {
  const input = name === undefined ? {} : { name };
  const [answers, kept] = await Promise.all([
    askNodes('objects', input, askOptions(context)),
    adminDataIfAny(context, async (ask) => (await ask('objects', input)) as Kept),
  ]);
  const today = answers.flatMap(({ result }) => result.usage);
  return {
    declared: answers.flatMap(({ node, result }) => result.declared.map((each) => ({ node, ...each }))),
    uses: together(kept?.objects ?? [], today),
    since: kept?.since ?? Math.max(...answers.map(({ result }) => Math.max(Date.parse(result.startedAt), midnight()))),
    isKept: kept !== undefined,
  };
}

/** n.b. what nodes counted in the last minute, or since nobody keeps it, is theirs alone. */
function together(kept: readonly Use[], today: readonly Use[]): readonly Use[] {
  const uses = new Map<string, Use>();
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

interface Verdict {
  readonly isSafe: boolean;
  readonly words: readonly string[];
}

/** Whether the object may be dropped, in plain words. n.b. calls that are made past BEDS nobody here knows of. */
export function verdictOf(name: string, { declared, uses, since, isKept }: Known): Verdict {
  const days = Math.floor((Date.now() - since) / 86_400_000);
  const live = listOf(declared.filter(({ state }) => state !== 'kept'));
  const kept = listOf(declared.filter(({ state }) => state === 'kept'));
  const [last] = uses.toSorted((a, b) => b.lastAt - a.lastAt);
  const told = isKept ? '' : ' No node of the role admin keeps counts, so nothing is known from before that.';
  const called =
    last === undefined
      ? `Nobody has called it since ${dateOf(since)}, when counting began.${told}`
      : `It was last called ${ago(new Date(last.lastAt).toISOString())} ago, by ${last.domain} ${last.version} in ${last.operation}.`;
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

function dateOf(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 16);
}

function showOne(name: string, known: Known, out: Output): void {
  const { words } = verdictOf(name, known);
  out.line(out.paint('bold', `May ${printable(name)} be dropped?`));
  for (const line of words) out.line(printable(line));
  out.line('Programs that use the database without BEDS are not counted here.');
  if (known.uses.length === 0) return;
  out.line();
  showAll(known, out);
}

function showAll({ uses, declared, since }: Known, out: Output): void {
  const days = Math.max(1, (Date.now() - since) / 86_400_000);
  const never = declared.filter(
    ({ state, ...each }) =>
      state === 'live' && !uses.some((use) => use.object === each.object && use.domain === each.domain),
  );
  const rows = [
    ...uses.map((use) => [
      ...[use.store, use.object, use.domain, use.version, use.operation, use.calls.toLocaleString('en')],
      ...[(use.callsPerDay ?? use.calls / days).toLocaleString('en', { maximumFractionDigits: 1 })],
      ...[ago(new Date(use.lastAt).toISOString()), use.p95Ms.toLocaleString('en', { maximumFractionDigits: 1 })],
    ]),
    ...[...new Map(never.map((each) => [`${each.object} ${each.domain}`, each])).values()].map((each) => [
      ...[each.store, each.object, each.domain, each.version, '', '0', '0', 'never', ''],
    ]),
  ];
  if (rows.length === 0) out.line('No version has an object of a store in its code, and none was called.');
  else {
    out.table({
      head: ['store', 'object', 'domain', 'version', 'operation', 'calls', 'a day', 'last, ago', 'p95 ms'],
      rows: rows.toSorted((a, b) => `${a[0]} ${a[1]} ${a[2]}`.localeCompare(`${b[0]} ${b[1]} ${b[2]}`)),
      numeric: [5, 6, 8],
    });
    out.line(`Calls since ${dateOf(since)}.`);
  }
}
