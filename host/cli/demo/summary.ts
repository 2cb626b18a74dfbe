import type { JsonObject } from '@beds/sdk';
import type { Output } from '../output.js';
import type { MixedLoad } from './mixed-load.js';
import type { Latency, RequestKind } from './tally.js';
import type { SwapReport } from './watch-swap.js';

export interface DemoReport {
  readonly load: MixedLoad;
  readonly swap: SwapReport;
  /** Records of cities before and after the load; equal when no write was lost or done twice. */
  readonly citiesBefore: number;
  readonly citiesAfter: number;
  readonly profile: JsonObject;
  readonly profileMs: number;
}

interface Named {
  readonly name: string;
}

/** What is shown of an answer of `countries.profile`. */
interface Profile {
  readonly country: Named;
  readonly capital: (Named & { readonly population: number }) | null;
  readonly cities: { readonly cities: number; readonly population: number; readonly largest: readonly Named[] };
  readonly neighbours: readonly Named[];
  readonly region: Named & { readonly countries: number; readonly rank: number };
  readonly calls: number;
}

const WORDS: Readonly<Record<RequestKind, string>> = {
  read: 'reads',
  write: 'writes',
  profile: 'profiles (over a hundred database calls each)',
};

/** Whether nothing at all went wrong. */
export function isFlawless({ load, citiesBefore, citiesAfter }: DemoReport): boolean {
  return load.tally.failed === 0 && load.tally.unanswered === 0 && citiesBefore === citiesAfter;
}

/** What happened, for a person. */
export function printSummary(report: DemoReport, out: Output): void {
  const { load } = report;
  const { tally } = load;
  const seconds = load.elapsedMs / 1_000;
  out.line();
  out.line(out.paint('bold', 'What happened'));
  out.line();
  out.table({
    head: ['requests over RabbitMQ', 'answered', 'a second', 'p50', 'p99'],
    rows: (['read', 'write', 'profile'] as const).map((kind) => latencyRow(WORDS[kind], tally.latency(kind), seconds)),
    numeric: [1, 2, 3, 4],
  });
  out.line();
  out.table({
    head: ['served by', 'replies'],
    rows: [...tally.versions].sort().map(([served, replies]) => [served, replies.toLocaleString('en')]),
    numeric: [1],
  });
  out.line();
  out.table({ head: ['whether all went well', ''], rows: verdictRows(report) });
  for (const [code, count] of tally.failures) out.line(`${out.paint('red', '✗')} ${String(count)} × ${code}`);
  out.line();
  out.line(profileText(report));
}

/** The same for a script. */
export function summaryValue(report: DemoReport): JsonObject {
  const { load, swap, citiesBefore, citiesAfter } = report;
  const { tally } = load;
  const latencies = (['read', 'write', 'profile'] as const).map((kind) => [kind, { ...tally.latency(kind) }]);
  return {
    ok: isFlawless(report),
    seconds: load.elapsedMs / 1_000,
    answered: tally.answered,
    failed: tally.failed,
    failures: Object.fromEntries(tally.failures),
    unanswered: tally.unanswered,
    versions: Object.fromEntries(tally.versions),
    latencies: Object.fromEntries(latencies) as JsonObject,
    swap: { activeMs: swap.activeMs ?? null, firstReplyMs: swap.firstReplyMs },
    cities: { before: citiesBefore, after: citiesAfter },
    profile: report.profile,
  };
}

function latencyRow(words: string, { requests, p50Ms, p99Ms }: Latency, seconds: number): readonly string[] {
  const rate = Math.round(requests / seconds).toLocaleString('en');
  return [words, requests.toLocaleString('en'), rate, `${p50Ms.toFixed(1)} ms`, `${p99Ms.toFixed(1)} ms`];
}

function verdictRows({ load, swap, citiesBefore, citiesAfter }: DemoReport): readonly (readonly string[])[] {
  const { failed, unanswered } = load.tally;
  const active = swap.activeMs === undefined ? '?' : `${String(Math.round(swap.activeMs))} ms`;
  return [
    ['requests that failed', String(failed)],
    ['requests without an answer', String(unanswered)],
    [
      'cities before and after the writes',
      `${citiesBefore.toLocaleString('en')} and ${citiesAfter.toLocaleString('en')}`,
    ],
    ['swap: file complete until active on all threads', active],
    ['swap: file dropped until the first caller was served by it', `${String(swap.firstReplyMs)} ms`],
  ];
}

function profileText({ profile, profileMs }: DemoReport): string {
  const { country, capital, cities, neighbours, region, calls } = profile as unknown as Profile;
  const inhabitants = capital === null ? '' : `, ${capital.population.toLocaleString('en')} inhabitants`;
  return [
    `countries.profile of ${country.name}: ${String(calls)} calls to both databases in ${profileMs.toFixed(0)} ms`,
    `  capital     ${capital?.name ?? 'none'}${inhabitants}`,
    `  cities      ${cities.cities.toLocaleString('en')} with ${cities.population.toLocaleString('en')} inhabitants: ${names(cities.largest)}, …`,
    `  neighbours  ${names(neighbours)}`,
    `  region      number ${String(region.rank)} of ${String(region.countries)} in ${region.name} by inhabitants of its cities`,
  ].join('\n');
}

function names(list: readonly Named[]): string {
  return list.map(({ name }) => name).join(', ');
}
