import type { ShadowReport } from '../../request/observations.js';
import { type Finding, makeFinding } from '../../template/contract.js';
import type { ShadowView, ShadowDifference } from '../../admin/shown.js';

interface Entry {
  compared: number;
  skipped: number;
  readonly kinds: Map<string, ShadowDifference & { readonly operation: string }>;
}

const MAX_KINDS = 200;
const SHOWN = 20;
/** Candidates whose reports are kept; the newest. */
const MAX_GENERATIONS = 32;
/** How a thread describes an answer that is an error: by its code alone. */
const ERROR_CODE = /^[A-Z][A-Z0-9_]+$/;

/** Adds up what threads report of the copies that candidates answered. */
export class ShadowBoard {
  readonly #entries = new Map<number, Entry>();

  add(reports: readonly ShadowReport[]): void {
    for (const { generation, operation, compared, skipped, differences } of reports) {
      const entry = this.#entry(generation);
      entry.compared += compared;
      entry.skipped += skipped;
      for (const difference of differences) {
        const key = `${operation} ${difference.active} ${difference.candidate}`;
        const before = entry.kinds.get(key);
        if (before === undefined && entry.kinds.size >= MAX_KINDS) continue;
        entry.kinds.set(key, { operation, ...difference, count: (before?.count ?? 0) + difference.count });
      }
    }
  }

  of(generation: number): ShadowView {
    const entry = this.#entries.get(generation);
    if (entry === undefined) return { compared: 0, skipped: 0, different: 0, failed: 0, differences: [] };
    const kinds = [...entry.kinds.values()].sort((a, b) => b.count - a.count);
    const count = (of: typeof kinds): number => of.reduce((sum, kind) => sum + kind.count, 0);
    return {
      ...{ compared: entry.compared, skipped: entry.skipped, different: count(kinds) },
      failed: count(kinds.filter(({ active, candidate }) => ERROR_CODE.test(candidate) && !ERROR_CODE.test(active))),
      differences: kinds.slice(0, SHOWN),
    };
  }

  /** What an operator should know of a version that takes over: one line for each kind of difference. */
  findings(generation: number): readonly Finding[] {
    const { compared, differences } = this.of(generation);
    return differences.map(({ operation, active, candidate, count }) => {
      const share = `${String(count)} of ${String(compared)} copies`;
      const words = `${operation} answered ${candidate} where the version before answered ${active} (${share}).`;
      return makeFinding('BEDS_ROLLOUT_SHADOW_DIFFERENT', words);
    });
  }

  #entry(generation: number): Entry {
    const existing = this.#entries.get(generation);
    if (existing !== undefined) return existing;
    const entry: Entry = { compared: 0, skipped: 0, kinds: new Map() };
    this.#entries.set(generation, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_GENERATIONS && oldest !== undefined) this.#entries.delete(oldest);
    return entry;
  }
}
