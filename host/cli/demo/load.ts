import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError, type JsonObject } from '@beds/sdk';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import type { BedsClient } from '@beds/sdk/client';

export type RequestKind = 'read' | 'write' | 'profile';

export interface Latency {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Counts what a load got back. */
class Tally {
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

export interface LoadOptions {
  /** Where reads look: codes of countries. */
  readonly countries: readonly string[];
  /** Requests under way at once. */
  readonly inFlight: number;
  readonly signal: AbortSignal;
}

type Ask = Pick<RequestEnvelope, 'domain' | 'op' | 'query' | 'payload' | 'key'>;

/** Of this many lanes one writes. */
const WRITER_EVERY = 4;
const PROFILE_PAUSE_MS = 250;

/** Reads and writes without a pause until it is ended. Each lane has one request under way. */
export class MixedLoad {
  readonly tally = new Tally();
  readonly #client: BedsClient;
  readonly #options: LoadOptions;
  readonly #startedAt = performance.now();
  readonly #lanes: readonly Promise<void>[];
  #isEnding = false;
  #elapsedMs = 0;

  constructor(client: BedsClient, options: LoadOptions) {
    this.#client = client;
    this.#options = options;
    this.#lanes = Array.from({ length: options.inFlight }, (_, lane) => this.#run(lane));
  }

  get elapsedMs(): number {
    return this.#elapsedMs === 0 ? performance.now() - this.#startedAt : this.#elapsedMs;
  }

  /** Lets every lane finish what it has begun. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await Promise.all(this.#lanes);
    this.#elapsedMs = performance.now() - this.#startedAt;
  }

  async #run(lane: number): Promise<void> {
    for (let turn = lane; !this.#isEnding && !this.#options.signal.aborted; turn += 1) {
      if (lane === 0) await this.#askProfile(turn);
      else if (lane % WRITER_EVERY === 0) await this.#write(turn);
      else await this.#ask('read', this.#read(turn));
    }
  }

  /** A city comes, grows and goes: whatever happens on the way, as many cities are there in the end as before. */
  async #write(turn: number): Promise<void> {
    const city = { name: `Demo ${randomUUID().slice(0, 8)}`, country: this.#country(turn), latitude: 0, longitude: 0 };
    const created = await this.#ask('write', { domain: 'cities', op: 'create', payload: city });
    if (created?.ok !== true) return;
    const key = Number((created.data as JsonObject)['id']);
    await this.#ask('write', { domain: 'cities', op: 'update', key, payload: { population: turn } });
    await this.#ask('write', { domain: 'cities', op: 'delete', key });
  }

  #read(turn: number): Ask {
    const country = this.#country(turn);
    switch (turn % 5) {
      case 0:
        return { domain: 'cities', op: 'totals', payload: { country } };
      case 1:
        return { domain: 'countries', op: 'fetch', key: country };
      case 2:
        return { domain: 'cities', op: 'count', payload: { country } };
      default: {
        const order = [
          { column: 'population', direction: 'desc' } as const,
          { column: 'id', direction: 'desc' } as const,
        ];
        return { domain: 'cities', op: 'fetch', query: { where: { country }, order, limit: 10 } };
      }
    }
  }

  /** A few in a second: each is the work of a hundred other requests. */
  async #askProfile(turn: number): Promise<void> {
    await this.#ask('profile', { domain: 'countries', op: 'profile', payload: { code: this.#country(turn) } });
    await delay(PROFILE_PAUSE_MS);
  }

  #country(turn: number): string {
    const { countries } = this.#options;
    // A prime step: neighbours in the list are not asked one after the other.
    return countries[(turn * 37) % countries.length] ?? 'DE';
  }

  async #ask(kind: RequestKind, ask: Ask): Promise<ReplyEnvelope | undefined> {
    const { tally } = this;
    const startedAt = performance.now();
    tally.begin();
    try {
      const reply = await this.#client.request({ v: 1, id: randomUUID(), ...ask });
      tally.answer(kind, reply, performance.now() - startedAt);
      return reply;
    } catch (error) {
      tally.fail(isBedsError(error) ? error.code : String(error));
      return undefined;
    }
  }
}
