import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { NodeStatus } from '../admin/views.js';
import type { Board } from './board.js';
import type { FleetPart, Sample } from './contract.js';
import type { Nodes } from './nodes.js';
import { partsOf, type SeenNode } from './overview.js';
import { type Counts, RequestCounts } from './request-counts.js';

export interface WatchOptions {
  readonly nodes: Pick<Nodes, 'query'>;
  /** What all nodes shall run; undefined: nobody keeps that, or it cannot be asked. Never rejects. */
  readonly fleet: () => Promise<FleetPart | undefined>;
  /** In how many milliseconds 95 % of the requests of each domain were answered lately; empty: nobody measures. Never rejects. */
  readonly latencies: () => Promise<ReadonlyMap<string, number>>;
  /** Further parts of the live state, by their keys. */
  readonly others: () => ReadonlyMap<string, unknown>;
  readonly board: Board;
  readonly signal: AbortSignal;
  /** Something is another than before. */
  readonly onChange: () => void;
  readonly onSample: (sample: Sample) => void;
}

/** While somebody looks, while a version is on trial, and while nobody looks. */
const PERIODS_MS = { watched: 2_000, rollout: 1_000, alone: 10_000 } as const;
const ANSWER_MS = 1_500;
/** So often it is not taken for granted which nodes there are. */
const DISCOVER_EVERY = 5;
const COUNT_EVERY_MS = 5_000;
/** So often, at most, queues are looked at: each costs RabbitMQ a question, and hundreds of domains have hundreds. */
const QUEUES_EVERY_MS = 5_000;
const QUEUES_EACH_MS = 20;
/** What the domains of the role admin keep changes slowly. */
const KEPT_EVERY_MS = 10_000;
/** A node that was silent for so long is forgotten. */
const FORGET_MS = 600_000;
/** Silence of one look may be a busy machine. */
const SILENT_LOOKS = 2;
const MAX_SAMPLES = 720;
const HURRY_MS = 10_000;

interface Known extends SeenNode {
  readonly missed: number;
}

/** Looks at the nodes for all browsers together: fifty that watch cost as much as one. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #counts = new RequestCounts();
  readonly #nodes = new Map<string, Known>();
  readonly #rates = new Map<string, number>();
  readonly #samples: Sample[] = [];
  #isWatched = false;
  #hasLooked = false;
  #looks = 0;
  #lookedAtMs = 0;
  #countedAtMs = 0;
  #queuesAtMs = 0;
  #keptAtMs = 0;
  #fleet: FleetPart | undefined;
  /** What kept the nodes from being asked the last time. */
  #problem: string | undefined;
  #latencies: ReadonlyMap<string, number> = new Map();
  #hurryUntilMs = 0;
  #wake = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** The last hour, oldest first. */
  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** The names of the nodes that answer. */
  get answering(): readonly string[] {
    return [...this.#nodes].flatMap(([node, { silentSinceMs }]) => (silentSinceMs === undefined ? [node] : []));
  }

  /** The hash of the version that a node serves, as it was seen last. */
  liveHash(node: string, domain: string): string | undefined {
    return this.#nodes.get(node)?.status.domains.find((view) => view.domain === domain)?.live?.hash;
  }

  /** Whether some node that answers serves the domain. */
  isServed(domain: string): boolean {
    return [...this.#nodes.values()].some(
      ({ status, silentSinceMs }) =>
        silentSinceMs === undefined && status.domains.some((view) => view.domain === domain && view.live !== undefined),
    );
  }

  set isWatched(watched: boolean) {
    if (watched && !this.#isWatched) this.#wake.abort();
    this.#isWatched = watched;
  }

  /** Looks at once, unless it has just looked. */
  glance(): void {
    if (Date.now() - this.#lookedAtMs > PERIODS_MS.watched) this.#wake.abort();
  }

  /** Looks at once, and often for some seconds: something is about to change. */
  hurry(): void {
    this.#hurryUntilMs = Date.now() + HURRY_MS;
    this.#wake.abort();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when it looks no more; the signal ends it. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      this.#problem = await this.#look().then(
        () => undefined,
        (error: unknown) => wordsOf(error),
      );
      if (signal.aborted) return;
      this.#publish();
      const ended = AbortSignal.any([signal, this.#wake.signal]);
      await delay(this.#periodMs, undefined, { signal: ended }).catch(() => undefined);
    }
  }

  get #periodMs(): number {
    const { watched, rollout, alone } = PERIODS_MS;
    if (!this.#isWatched) return alone;
    const domains = [...this.#nodes.values()].flatMap(({ status }) => status.domains);
    const isRollout = domains.some(({ canary }) => canary !== undefined) || Date.now() < this.#hurryUntilMs;
    return isRollout ? rollout : watched;
  }

  async #look(): Promise<void> {
    const { nodes } = this.#options;
    this.#looks += 1;
    this.#lookedAtMs = Date.now();
    const known = this.answering.length;
    const expected = known > 0 && this.#looks % DISCOVER_EVERY !== 0 ? { expected: known } : {};
    this.#lookAtKept();
    const isWithQueues = this.#lookedAtMs - this.#queuesAtMs >= this.#queuesPeriodMs;
    const asked = isWithQueues ? {} : { queues: false };
    const answers = await nodes.query('status', asked, { timeoutMs: ANSWER_MS, ...expected });
    const good = answers.flatMap((answer) => (answer.ok ? [answer] : []));
    const [refused] = answers.flatMap((answer) => (answer.ok ? [] : [answer]));
    if (isWithQueues && good.length > 0) this.#queuesAtMs = this.#lookedAtMs;
    for (const { node, result } of good) {
      const status = isWithQueues ? result : withQueuesOf(result, this.#nodes.get(node)?.status);
      this.#nodes.set(node, { status, silentSinceMs: undefined, missed: 0 });
    }
    this.#missOthers(new Set(good.map(({ node }) => node)));
    if (good.length === 0 && refused !== undefined) throw new Refused(`${refused.node}: ${refused.error.message}`);
    await this.#count(good.length);
  }

  get #queuesPeriodMs(): number {
    const queues = [...this.#nodes.values()].reduce((sum, { status }) => sum + status.domains.length, 0);
    return Math.max(QUEUES_EVERY_MS, queues * QUEUES_EACH_MS);
  }

  /** n.b. nobody waits for it: a store that is slow must not hide what the nodes say. */
  #lookAtKept(): void {
    const now = Date.now();
    if (!this.#isWatched || now - this.#keptAtMs < KEPT_EVERY_MS) return;
    this.#keptAtMs = now;
    void this.#options.fleet().then((fleet) => (this.#fleet = fleet));
    void this.#options.latencies().then((latencies) => (this.#latencies = latencies));
  }

  #missOthers(answered: ReadonlySet<string>): void {
    const now = Date.now();
    for (const [node, known] of this.#nodes) {
      if (answered.has(node)) continue;
      const missed = known.missed + 1;
      const silentSinceMs = known.silentSinceMs ?? (missed >= SILENT_LOOKS ? now : undefined);
      const isOver = silentSinceMs !== undefined && now - silentSinceMs > FORGET_MS;
      if (isOver || (silentSinceMs !== undefined && this.#isReplaced(known))) this.#nodes.delete(node);
      else this.#nodes.set(node, { ...known, missed, silentSinceMs });
    }
  }

  /** A node without a name of its own is called after its process: started again, it is another one. */
  #isReplaced({ status: { node, pid, startedAt } }: Known): boolean {
    if (!node.endsWith(`-${String(pid)}`)) return false;
    const machine = node.slice(0, -String(pid).length);
    return [...this.#nodes.values()].some(
      ({ status, missed }) =>
        missed === 0 && status.node === `${machine}${String(status.pid)}` && status.startedAt > startedAt,
    );
  }

  async #count(expected: number): Promise<void> {
    const { nodes, onSample } = this.#options;
    const now = Date.now();
    const sinceMs = now - this.#countedAtMs;
    if (sinceMs < COUNT_EVERY_MS || expected === 0) return;
    const isFirst = this.#countedAtMs === 0;
    this.#countedAtMs = now;
    const answers = await nodes.query('metrics', {}, { timeoutMs: ANSWER_MS, expected });
    const came = answers.flatMap((answer) => (answer.ok ? [...this.#counts.add(answer.node, answer.result.text)] : []));
    if (isFirst) return;
    const perSecond = (count: number): number => round((count * 1_000) / sinceMs);
    this.#rates.clear();
    for (const [domain, { requests }] of came) {
      this.#rates.set(domain, round((this.#rates.get(domain) ?? 0) + (requests * 1_000) / sinceMs));
    }
    const sum = (of: (counts: Counts) => number): number => came.reduce((total, [, counts]) => total + of(counts), 0);
    const sample: Sample = {
      at: now,
      requestsPerSecond: perSecond(sum(({ requests }) => requests)),
      failuresPerSecond: perSecond(sum(({ failures }) => failures)),
    };
    this.#samples.push(sample);
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
    onSample(sample);
  }

  /** Something that no node is asked for is another than before. */
  refresh(): void {
    // n.b. before the first look there is nothing to say of the nodes.
    if (this.#hasLooked) this.#publish();
  }

  #publish(): void {
    this.#hasLooked = true;
    const seen = partsOf({
      nodes: [...this.#nodes.values()].sort((a, b) => (a.status.node < b.status.node ? -1 : 1)),
      problem: this.#problem,
      nowMs: Date.now(),
      countedSinceMs: this.#counts.sinceMs,
      counts: (domain) => this.#counts.of(domain),
      failed: (domain) => this.#counts.failed(domain),
      requestsPerSecond: (domain) => this.#rates.get(domain) ?? 0,
      p95Ms: (domain) => this.#latencies.get(domain),
      fleet: this.#fleet,
    });
    const parts = new Map([...seen, ...this.#options.others()]);
    if (this.#options.board.replace(parts)) this.#options.onChange();
  }
}

/** Queues and callers as they were seen last. */
function withQueuesOf(status: NodeStatus, before: NodeStatus | undefined): NodeStatus {
  const known = new Map(
    before?.domains.map(({ domain, queues, calledBy = [] }) => [domain, { queues, calledBy }] as const),
  );
  return { ...status, domains: status.domains.map((view) => ({ ...view, ...known.get(view.domain) })) };
}

/** What the nodes say where none of them answers the question. */
class Refused extends Error {}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function wordsOf(error: unknown): string {
  return isBedsError(error) || error instanceof Refused ? error.message : 'The nodes could not be asked.';
}
