import type { Json } from '@beds/sdk';
import { isDeepStrictEqual } from 'node:util';
import type { ShadowDifference, ShadowReport } from './observations.js';
import { shapeOf } from './shape.js';
import type { Target } from './target.js';

/** Kinds of differences that are told apart in one operation. */
const MAX_KINDS = 50;

/** Stands for the kinds beyond the bound. */
const OTHERS = '…';

/** How a version answered: the JSON text of `data` and whether a page follows, or the code of the error. */
export type Outcome = { readonly data: string; readonly hasCursor: boolean } | { readonly code: string };

interface Counted {
  readonly target: Target;
  compared: number;
  skipped: number;
  readonly differences: Map<string, ShadowDifference & { count: number }>;
}

/** What the copies of requests showed, by the operation of the candidate. */
export class ShadowReports {
  #reports = new Map<Target['operation'], Counted>();

  skip(target: Target): void {
    this.#of(target).skipped += 1;
  }

  compare(target: Target, active: Outcome, candidate: Outcome): void {
    const report = this.#of(target);
    report.compared += 1;
    if (isSame(active, candidate)) return;
    const difference = { active: describe(active), candidate: describe(candidate) };
    const known = report.differences.get(keyOf(difference));
    if (known !== undefined) known.count += 1;
    else if (report.differences.size < MAX_KINDS - 1) add(report, difference);
    else add(report, { active: OTHERS, candidate: OTHERS });
  }

  /** What was seen since the last time. */
  take(): readonly ShadowReport[] {
    const reports = [...this.#reports.values()];
    this.#reports = new Map();
    return reports.map(({ target: { generation, operation }, compared, skipped, differences }) => ({
      ...{ domain: generation.domain, operation: operation.name, generation: generation.id },
      ...{ compared, skipped, differences: [...differences.values()] },
    }));
  }

  #of(target: Target): Counted {
    let report = this.#reports.get(target.operation);
    if (report === undefined) {
      report = { target, compared: 0, skipped: 0, differences: new Map() };
      this.#reports.set(target.operation, report);
    }
    return report;
  }
}

function add({ differences }: Counted, difference: Omit<ShadowDifference, 'count'>): void {
  const key = keyOf(difference);
  const count = (differences.get(key)?.count ?? 0) + 1;
  differences.set(key, { ...difference, count });
}

function keyOf({ active, candidate }: Omit<ShadowDifference, 'count'>): string {
  return `${active}\n${candidate}`;
}

/** Fields in another order are the same answer. */
function isSame(active: Outcome, candidate: Outcome): boolean {
  if ('code' in active || 'code' in candidate) {
    return 'code' in active && 'code' in candidate && active.code === candidate.code;
  }
  if (active.hasCursor !== candidate.hasCursor) return false;
  return active.data === candidate.data || isDeepStrictEqual(JSON.parse(active.data), JSON.parse(candidate.data));
}

function describe(outcome: Outcome): string {
  if ('code' in outcome) return outcome.code;
  return `${shapeOf(JSON.parse(outcome.data) as Json)}${outcome.hasCursor ? ' + cursor' : ''}`;
}
