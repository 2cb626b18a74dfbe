import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Output } from '../../host/cli/output.js';
import type { TableData } from '../../host/cli/table.js';
import { Child } from '../context/child.js';
import type { GuardCall } from '../processes/guard.js';
import { describeCommit, describeMachine } from '../report.js';
import {
  BOUNDS,
  type Cost,
  type Costs,
  type Guarded,
  GUARDED,
  middle,
  readReference,
  type ReferenceEntry,
  writeReference,
} from './reference.js';

export interface GuardRun {
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly out: Output;
  /** An empty folder. */
  readonly workplace: string;
  readonly signal: AbortSignal;
}

export const GUARD_USAGE = 'npm run bench -- guard [--renew] [--handicap 2] [--attempts 3]';

/** Each in processes of its own: how V8 compiles the same code differs a little from one to the next. */
const ATTEMPTS = '3';
/** A young generation of so many megabytes is not collected while allocations are counted. */
const YOUNG_MB = 128;
const HEAP_OPTIONS = ['--expose-gc', `--min-semi-space-size=${YOUNG_MB}`, `--max-semi-space-size=${YOUNG_MB}`];

/** `npm run bench -- guard`: compares what an operation costs with the reference, or renews that. Fails where it costs more. */
export async function guard(run: GuardRun): Promise<number> {
  const { out, projectRoot } = run;
  const options = readOptions(run.args);
  if (typeof options === 'string') {
    out.note(`beds bench: ${options}\n\n${GUARD_USAGE}`);
    return 1;
  }
  const reference = options.renew ? undefined : readReference(projectRoot);
  if (reference === undefined && !options.renew) {
    out.note('beds bench: there is no reference yet; make one with --renew');
    return 1;
  }
  const attempts: Costs[] = [];
  for (let attempt = 1; attempt <= options.attempts; attempt++) {
    out.note(`beds bench: guard: attempt ${attempt} of at most ${options.attempts}`);
    const measured = await measure(run, options);
    attempts.push(measured);
    if (reference !== undefined && excessesOf(measured, reference).length === 0)
      return report(out, measured, reference);
  }
  const costs = middle(attempts);
  if (reference !== undefined) return report(out, costs, reference);
  const [commit, { processor }] = [await describeCommit(projectRoot), describeMachine()];
  const file = writeReference(projectRoot, { node: process.version, commit, processor, costs: rounded(costs) });
  out.note(`beds bench: written to ${file}`);
  return 0;
}

async function measure({ workplace, signal }: GuardRun, { handicap }: GuardCall): Promise<Costs> {
  const ask = async (name: 'time' | 'heap', nodeOptions: readonly string[]): Promise<Record<Guarded, number>> => {
    signal.throwIfAborted();
    const child = new Child({ program: 'guard', logFile: join(workplace, 'guard.log'), nodeOptions });
    try {
      return await child.call<Record<Guarded, number>>(name, { handicap } satisfies GuardCall);
    } finally {
      await child.stop();
    }
  };
  const time = await ask('time', []);
  const heapBytes = await ask('heap', HEAP_OPTIONS);
  const of = (name: Guarded): Cost => ({ time: time[name], heapBytes: heapBytes[name] });
  return { dispatch: of('dispatch'), client: of('client') };
}

interface Compared {
  readonly what: string;
  readonly value: number;
  readonly reference: number;
  readonly bound: number;
}

function compare(costs: Costs, { costs: reference }: ReferenceEntry): readonly Compared[] {
  return GUARDED.flatMap((name) => [
    {
      what: `${name}: time (yardsticks)`,
      value: costs[name].time,
      reference: reference[name].time,
      bound: BOUNDS.time,
    },
    {
      what: `${name}: heap (bytes)`,
      value: costs[name].heapBytes,
      reference: reference[name].heapBytes,
      bound: BOUNDS.heapBytes,
    },
  ]);
}

/** n.b. what is not a number is one. */
function excessesOf(costs: Costs, reference: ReferenceEntry): readonly Compared[] {
  return compare(costs, reference).filter((row) => !(row.value / row.reference <= row.bound));
}

function report(out: Output, costs: Costs, reference: ReferenceEntry): number {
  const excesses = excessesOf(costs, reference);
  out.table(toTable(compare(costs, reference)));
  out.note(
    `beds bench: the reference is of Node ${reference.node}, commit ${reference.commit}, ${reference.processor}`,
  );
  for (const { what, value, reference: before, bound } of excesses) {
    out.note(
      `beds bench: regression of ${what}: ${(value / before).toFixed(2)} times the reference, ${bound} is the bound`,
    );
  }
  if (excesses.length === 0) return 0;
  out.note(
    'beds bench: where that is meant, or the reference is of another kind of machine: npm run bench -- guard --renew',
  );
  return 1;
}

function toTable(rows: readonly Compared[]): TableData {
  return {
    head: ['of one operation', 'value', 'reference', 'ratio', 'bound'],
    numeric: [1, 2, 3, 4],
    rows: rows.map(({ what, value, reference, bound }) => [
      what,
      figure(value),
      figure(reference),
      (value / reference).toFixed(2),
      bound.toFixed(2),
    ]),
  };
}

function figure(value: number): string {
  return value.toFixed(value >= 100 ? 0 : 2);
}

function rounded(costs: Costs): Costs {
  const of = ({ time, heapBytes }: Cost): Cost => ({ time: Number(time.toFixed(2)), heapBytes: Math.round(heapBytes) });
  return { dispatch: of(costs.dispatch), client: of(costs.client) };
}

interface GuardOptions extends GuardCall {
  readonly renew: boolean;
  /** At most: one that costs no more than the reference says is enough. */
  readonly attempts: number;
}

/** What the command line asks for, or what is wrong with it. */
function readOptions(args: readonly string[]): GuardOptions | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        renew: { type: 'boolean', default: false },
        handicap: { type: 'string', default: '1' },
        attempts: { type: 'string', default: ATTEMPTS },
      },
    });
    const [handicap, attempts] = [Number(values.handicap), Number(values.attempts)];
    if (!Number.isInteger(attempts) || attempts < 1 || attempts > 10) return '--attempts must be a number from 1 to 10';
    if (!Number.isInteger(handicap) || handicap < 1 || handicap > 10) return '--handicap must be a number from 1 to 10';
    if (values.renew && handicap !== 1) return '--renew excludes --handicap';
    return { renew: values.renew, handicap, attempts };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
