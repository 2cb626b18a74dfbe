import { LATENCY_BOUNDS_MS, type UsageCount } from '../request/observations.js';
import type { UsageRow } from '../admin/shown.js';

/** Requests of one domain since the last sample. */
export interface DomainSample {
  readonly domain: string;
  readonly calls: number;
  readonly failures: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

const DAY_MS = 86_400_000;
/** Versions come and go; beyond this many the rest of a day counts together. */
const MAX_ROWS = 10_000;
const OTHERS = '*';
/** The node as a whole, among its domains. */
export const WHOLE = '';

class Latency {
  readonly counts = new Uint32Array(LATENCY_BOUNDS_MS.length + 1);
  calls = 0;
  failures = 0;

  add({ calls, failures, latency }: Pick<UsageCount, 'calls' | 'failures' | 'latency'>): void {
    this.calls += calls;
    this.failures += failures;
    for (let index = 0; index + 1 < latency.length; index += 2) {
      const bucket = latency[index] ?? 0;
      this.counts[bucket] = (this.counts[bucket] ?? 0) + (latency[index + 1] ?? 0);
    }
  }

  /** So many milliseconds were enough for this share of the calls; 0 without calls. */
  quantile(share: number): number {
    if (this.calls === 0) return 0;
    const wanted = Math.ceil(this.calls * share);
    let seen = 0;
    for (const [bucket, count] of this.counts.entries()) {
      seen += count;
      if (seen >= wanted) return round(LATENCY_BOUNDS_MS[bucket] ?? LATENCY_BOUNDS_MS.at(-1) ?? 0);
    }
    return round(LATENCY_BOUNDS_MS.at(-1) ?? 0);
  }
}

interface Row extends Latency {
  readonly about: Pick<UsageRow, 'domain' | 'version' | 'operation' | 'object' | 'kind' | 'store'>;
  firstAt: number;
  lastAt: number;
  isChanged: boolean;
}

/** What the threads of this host counted of operations and objects: of today, and since the last sample. */
export class UsageBook {
  readonly #rows = new Map<string, Row>();
  #domains = new Map<string, Latency>();
  #day = today();
  /** Of days before, what was not taken then. */
  #late: readonly UsageRow[] = [];

  add(counts: readonly UsageCount[]): void {
    if (today() !== this.#day) this.#beginDay();
    const now = Date.now();
    for (const count of counts) {
      this.#row(count, now).add(count);
      if (count.object !== undefined) continue;
      this.#domain(count.domain).add(count);
      this.#domain(WHOLE).add(count);
    }
  }

  /** Requests by domain since the last time; those of all domains have an empty name. */
  takeDomains(): readonly DomainSample[] {
    const taken = this.#domains;
    this.#domains = new Map();
    return [...taken].map(([domain, latency]) => sampleOf(domain, latency));
  }

  /** Rows that have changed since the last time, each with all calls of the day. */
  takeChanged(): readonly UsageRow[] {
    const changed = [...this.#rows.values()].filter(({ isChanged }) => isChanged);
    for (const row of changed) row.isChanged = false;
    const late = this.#late;
    this.#late = [];
    return [...late, ...changed.map((row) => this.#view(row))];
  }

  /** Today's rows, of one object or of all. */
  rows(object?: string): readonly UsageRow[] {
    const rows = [...this.#rows.values()].filter(({ about }) => object === undefined || about.object === object);
    return rows.map((row) => this.#view(row));
  }

  #beginDay(): void {
    this.#late = this.takeChanged();
    this.#day = today();
    this.#rows.clear();
  }

  #row({ domain, version, operation, object }: UsageCount, now: number): Row {
    const about = {
      ...{ domain, version, operation },
      ...{ object: object?.name ?? '', kind: object?.kind ?? 'operation', store: object?.store ?? '' },
    };
    const name = Object.values(about).join('\0');
    const key = this.#rows.has(name) || this.#rows.size < MAX_ROWS ? name : OTHERS;
    let row = this.#rows.get(key);
    if (row === undefined) {
      const kept = key === OTHERS ? { ...about, version: OTHERS, operation: OTHERS, object: OTHERS } : about;
      row = Object.assign(new Latency(), { about: kept, firstAt: now, lastAt: now, isChanged: true });
      this.#rows.set(key, row);
    }
    row.lastAt = now;
    row.isChanged = true;
    return row;
  }

  #domain(name: string): Latency {
    const known = this.#domains.get(name) ?? new Latency();
    this.#domains.set(name, known);
    return known;
  }

  #view(row: Row): UsageRow {
    const { about, calls, failures, firstAt, lastAt } = row;
    return { day: this.#day, ...about, calls, failures, p95Ms: row.quantile(0.95), firstAt, lastAt };
  }
}

function sampleOf(domain: string, latency: Latency): DomainSample {
  const [p50Ms = 0, p95Ms = 0, p99Ms = 0] = [0.5, 0.95, 0.99].map((share) => latency.quantile(share));
  return { domain, calls: latency.calls, failures: latency.failures, p50Ms, p95Ms, p99Ms };
}

function today(): number {
  return Math.floor(Date.now() / DAY_MS);
}

function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
