import type { ReplyEnvelope } from '@beds/sdk';

export type RequestKind = 'read' | 'write' | 'profile';

export interface Latency {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Counts what a load got back. */
export class Tally {
  readonly #latencies: Record<RequestKind, number[]> = { read: [], write: [], profile: [] };
  readonly #failures = new Map<string, number>();
  readonly #versions = new Map<string, number>();
  readonly #firstSeen = new Map<string, number>();
  #begun = 0;

  /** Asked but neither answered nor failed: must be 0 in the end. */
  get unanswered(): number {
    return this.#begun - this.answered - this.failed;
  }

  get answered(): number {
    return Object.values(this.#latencies).reduce((sum, { length }) => sum + length, 0);
  }

  get failed(): number {
    return [...this.#failures.values()].reduce((sum, count) => sum + count, 0);
  }

  get failures(): ReadonlyMap<string, number> {
    return this.#failures;
  }

  /** Replies by `domain version`. */
  get versions(): ReadonlyMap<string, number> {
    return this.#versions;
  }

  begin(): void {
    this.#begun += 1;
  }

  answer(kind: RequestKind, reply: ReplyEnvelope, tookMs: number): void {
    const served = `${reply.by.domain} ${reply.by.version ?? '?'}`;
    if (!this.#firstSeen.has(served)) this.#firstSeen.set(served, Date.now());
    this.#versions.set(served, (this.#versions.get(served) ?? 0) + 1);
    if (reply.ok) this.#latencies[kind].push(tookMs);
    else this.fail(reply.error.code);
  }

  fail(code: string): void {
    this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
  }

  /** Wall clock of the first reply, in milliseconds. */
  firstSeen(domain: string, version: string): number | undefined {
    return this.#firstSeen.get(`${domain} ${version}`);
  }

  latency(kind: RequestKind): Latency {
    const sorted = Float64Array.from(this.#latencies[kind]).sort();
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { requests: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) };
  }
}
