import { isBedsError, type JsonObject } from '@beds/sdk';
import cliProgress from 'cli-progress';
import type { Output } from '../output.js';
import type { Latency, MixedLoad, RequestKind } from './load.js';
import type { SwapReport } from './swap.js';

/** A bar, or a few lines where nobody is watching. */
export interface Progress {
  advance(by: number): void;
  end(): void;
}

const LINE_EVERY_PERCENT = 25;

/** Tells the story of the demonstration: numbered steps, what happens in each, and how long each took. */
export class Narrator {
  readonly #out: Output;
  readonly #steps: number;
  #step = 0;

  constructor(out: Output, steps: number) {
    this.#out = out;
    this.#steps = steps;
  }

  /** Runs a step between its headline and its time; `describe` has the words for its end. */
  async step<T>(title: string, work: () => Promise<T>, describe: (value: T) => string): Promise<T> {
    this.#step += 1;
    this.#out.line();
    this.#out.line(this.#out.paint('bold', `${this.#step}/${this.#steps}  ${title}`));
    const startedAt = performance.now();
    const value = await work().catch((error: unknown) => {
      if (isBedsError(error)) this.#out.line(`     ${this.#out.paint('red', '✗')} ${error.message}`);
      throw error;
    });
    const took = ((performance.now() - startedAt) / 1_000).toFixed(1);
    this.#out.line(`     ${this.#out.paint('green', '✓')} ${describe(value)} ${this.#out.paint('dim', `(${took} s)`)}`);
    return value;
  }

  /** Something on the way. */
  say(words: string): void {
    this.#out.line(this.#out.paint('dim', `     ${words}`));
  }

  progress(total: number, unit: string): Progress {
    return this.#out.interactive && process.stderr.isTTY ? drawn(total, unit) : this.#spoken(total, unit);
  }

  #spoken(total: number, unit: string): Progress {
    let done = 0;
    let told = 0;
    return {
      advance: (by) => {
        done += by;
        const percent = Math.floor((100 * done) / total);
        if (percent < told + LINE_EVERY_PERCENT) return;
        told = percent;
        this.say(`${String(percent)} % of ${total.toLocaleString('en')} ${unit}`);
      },
      end: () => undefined,
    };
  }
}

function drawn(total: number, unit: string): Progress {
  const bar = new cliProgress.SingleBar({
    format: `     {bar} {percentage} %  {value} of {total} ${unit}  {duration_formatted}`,
    barsize: 32,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
    stopOnComplete: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
  });
  bar.start(total, 0);
  return { advance: (by) => bar.increment(by), end: () => bar.stop() };
}

export interface DemoReport {
  readonly load: MixedLoad;
  readonly swap: SwapReport;
  /** Records of cities before and after the load; equal when no write was lost or done twice. */
  readonly citiesBefore: number;
  readonly citiesAfter: number;
  readonly profile: JsonObject;
  readonly profileMs: number;
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
  const { country, calls } = report.profile as { readonly country: { readonly name: string }; readonly calls: number };
  out.line(
    `countries.profile of ${country.name}: ${calls} calls to both databases in ${report.profileMs.toFixed(0)} ms`,
  );
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
