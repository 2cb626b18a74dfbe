import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import type { BedsClient } from '@beds/sdk/client';
import type { RowDataPacket } from 'mysql2';
import type { TestHost } from './host.js';
import type { Teardown } from './services.js';

/** One request of a load and what became of it. Instants are milliseconds since 1970. */
export interface Asked {
  readonly op: 'create' | 'fetch' | 'version';
  /** Of a create: names the row. Of a fetch: the row that was asked for. */
  readonly mark: string;
  readonly askedAt: number;
  readonly answeredAt: number;
  readonly reply?: ReplyEnvelope;
  /** Code of the failure; 'untyped' for what is no BEDS error. */
  readonly failure?: string;
}

export interface LoadOptions {
  /** Callers at a time in each of the clients (one batches, one does not). Default 4. */
  readonly callers?: number;
  /** Pause of a caller between two turns. Default 20. */
  readonly pauseMs?: number;
  /** Requests at once in each turn of the client that batches. Default 3. */
  readonly burst?: number;
  readonly deadlineMs?: number;
}

/** A write with one of these codes was certainly not carried out. */
const NOT_DONE = new Set([
  'BEDS_CLIENT_UNAVAILABLE',
  'BEDS_CLIENT_UNROUTABLE',
  'BEDS_REQUEST_UNKNOWN_DOMAIN',
  'BEDS_STORE_UNAVAILABLE',
  'BEDS_STORE_OVERLOADED',
  'BEDS_STORE_CLOSED',
  'BEDS_STORE_TIMEOUT',
]);
const OPERATIONS = ['create', 'fetch', 'version', 'fetch'] as const;

/** A constant load of mixed reads and writes on the `notes` domain, by clients that batch and clients that do not. */
export class Load {
  readonly #host: TestHost;
  readonly #options: Required<LoadOptions>;
  readonly #asked: Asked[] = [];
  readonly #known: string[] = [];
  readonly #callers: Promise<void>[] = [];
  #next = 0;
  #isOver = false;

  private constructor(host: TestHost, options: LoadOptions) {
    this.#host = host;
    this.#options = { callers: 4, pauseMs: 20, burst: 3, deadlineMs: 10_000, ...options };
  }

  /** Connects and begins to ask; every caller has had its first answer when this resolves. */
  static async start(teardown: Teardown, host: TestHost, options: LoadOptions = {}): Promise<Load> {
    const load = new Load(host, options);
    teardown.after(() => {
      load.#isOver = true;
    });
    const batching = await host.connectClient({ name: 'batching' });
    const single = await host.connectClient({ name: 'single', batching: false });
    for (let caller = 0; caller < load.#options.callers; caller += 1) {
      load.#callers.push(load.#call(batching, caller, load.#options.burst), load.#call(single, caller, 1));
    }
    await load.more(load.#callers.length);
    return load;
  }

  get asked(): readonly Asked[] {
    return this.#asked;
  }

  get failures(): readonly Asked[] {
    return this.#asked.filter(({ failure }) => failure !== undefined);
  }

  /** How often each code was answered. */
  get codes(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { failure = 'ok' } of this.#asked) counts[failure] = (counts[failure] ?? 0) + 1;
    return counts;
  }

  /** Resolves when `count` more requests were answered with success. */
  async more(count: number, withinMs = 30_000): Promise<void> {
    const untilMs = performance.now() + withinMs;
    const wanted = this.#served() + count;
    while (this.#served() < wanted) {
      assert.ok(performance.now() < untilMs, `not served within ${withinMs} ms: ${JSON.stringify(this.codes)}`);
      await delay(5);
    }
  }

  /** Asks no more; resolves when everything that was asked is answered. */
  async stop(): Promise<readonly Asked[]> {
    this.#isOver = true;
    await Promise.all(this.#callers);
    return this.#asked;
  }

  /** Every acknowledged write is in the table once, every refused one is not, and none is there twice. */
  async assertWrites(): Promise<void> {
    const [rows] = await this.#host.dba.query<RowDataPacket[]>(
      `SELECT mark, COUNT(*) AS count FROM note WHERE mark LIKE 'load-%' GROUP BY mark`,
    );
    const counts = new Map(rows.map((row) => [row['mark'] as string, Number(row['count'])]));
    const creates = this.#asked.filter(({ op }) => op === 'create');
    const wrong = creates.filter(({ mark, failure }) => {
      const count = counts.get(mark) ?? 0;
      if (failure === undefined) return count !== 1;
      return NOT_DONE.has(failure) ? count !== 0 : count > 1;
    });
    const details = wrong.map(({ mark, failure }) => `${mark}: ${failure ?? 'ok'}, ${counts.get(mark) ?? 0} rows`);
    assert.deepEqual(details, []);
    const marks = new Set(creates.map(({ mark }) => mark));
    assert.deepEqual(
      [...counts.keys()].filter((mark) => !marks.has(mark)),
      [],
    );
  }

  /**
   * Every reply names a version that was live at some moment between question and answer. A version becomes live on one
   * thread after the other, so for the length of that flip both count.
   */
  assertVersionsWereLive(): void {
    const flips = this.#host.transitions().filter(({ domain }) => domain === 'notes');
    const active = flips.filter(({ state }) => state === 'active');
    const spans = new Map(
      active.map((flip, index) => {
        const prepared = flips.find(({ state, generation }) => state === 'prepared' && generation === flip.generation);
        const untilAt = active[index + 1]?.time ?? Infinity;
        return [flip.generation, { version: flip.version, fromAt: prepared?.time ?? flip.time, untilAt }] as const;
      }),
    );
    const wrong = this.#asked.filter(({ op, reply, askedAt, answeredAt }) => {
      if (reply?.ok !== true) return false;
      const span = spans.get(reply.by.generation);
      const isNamed = span !== undefined && span.version === reply.by.version;
      const isSelf = op !== 'version' || reply.data === reply.by.version;
      return !isNamed || !isSelf || answeredAt < span.fromAt || askedAt > span.untilAt;
    });
    assert.deepEqual(wrong, []);
  }

  #served(): number {
    return this.#asked.length - this.failures.length;
  }

  async #call(client: BedsClient, offset: number, burst: number): Promise<void> {
    for (let turn = offset; !this.#isOver; turn += 1) {
      const next = OPERATIONS[turn % OPERATIONS.length] ?? 'fetch';
      const op = next === 'fetch' && this.#known.length === 0 ? 'create' : next;
      await Promise.all(Array.from({ length: burst }, () => this.#ask(client, op)));
      // Paces the load.
      await delay(this.#options.pauseMs);
    }
  }

  async #ask(client: BedsClient, op: Asked['op']): Promise<void> {
    this.#next += 1;
    const own = `load-${this.#next}`;
    const mark = op === 'fetch' ? (this.#known[this.#next % this.#known.length] ?? own) : own;
    const asked = { op, mark, askedAt: Date.now() };
    try {
      const reply = await client.request(this.#envelope(op, own, mark));
      const failure = reply.ok ? wrongAnswer(op, mark, reply.data) : reply.error.code;
      this.#asked.push({ ...asked, answeredAt: Date.now(), reply, ...(failure === undefined ? {} : { failure }) });
      if (failure === undefined && op === 'create') this.#known.push(mark);
    } catch (error) {
      const failure = isBedsError(error) ? error.code : 'untyped';
      this.#asked.push({ ...asked, answeredAt: Date.now(), failure });
    }
  }

  #envelope(op: Asked['op'], id: string, mark: string): RequestEnvelope {
    const common = {
      v: 1,
      id,
      domain: 'notes',
      op,
      meta: { client: 'load', deadlineMs: this.#options.deadlineMs },
    } as const;
    if (op === 'create') return { ...common, payload: { text: `text of ${mark}`, mark } };
    return op === 'fetch' ? { ...common, query: { where: { mark } } } : { ...common, payload: {} };
  }
}

/** A fetch must give the one row that an acknowledged write made. */
function wrongAnswer(op: Asked['op'], mark: string, data: unknown): string | undefined {
  if (op !== 'fetch') return undefined;
  const rows = data as readonly Readonly<Record<string, unknown>>[];
  return rows.length === 1 && rows[0]?.['text'] === `text of ${mark}` ? undefined : `wrong: ${JSON.stringify(data)}`;
}

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
