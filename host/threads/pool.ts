import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '#sdk/time';
import type { Config } from '../config/schema.js';
import type { PoisonNotice } from '../request/poison-tracker.js';
import { threadErrors } from '../errors/thread.js';
import type { BrokerPlan } from '../roles.js';
import type { GenerationSource } from '../template/contract.js';
import { KILLED_PROCESS, ThreadHandle, type ThreadHandleOptions } from './handle.js';
import type { ThreadCommand } from './protocol.js';

/** Another thread that does not answer within it is itself in trouble. */
const SUSPICION_TIMEOUT_MS = 500;
const POLL_MS = 25;
const ENDED_IN_SETUP = 'setup() ended its thread, or blocked it until it was ended.';
/** What a stop waits for RabbitMQ to confirm that nothing more comes; a thread may be busy meanwhile. */
const INTAKE_MS = 4_000;
/** Between a process that ended and the next, as it may end each of them at once. */
const APART_BACKOFF = { minMs: 100, maxMs: 30_000 } as const;
/** What is only called by others that are kept apart waits no longer for their process. */
const CALLED_TIMEOUT_MS = 5_000;

export interface ThreadPoolOptions {
  readonly config: Config;
  readonly node: string;
  /** The brokers of this node's roles. */
  readonly brokers: readonly BrokerPlan[];
  readonly onMessage: (thread: ThreadHandle, message: Parameters<ThreadHandleOptions['onMessage']>[0]) => void;
  /** Brings a thread that has just become ready up to what the others serve. It takes part in commands only afterwards. */
  readonly onJoin: (thread: ThreadHandle, group: string) => Promise<void>;
  /** A thread ended that was not asked to; `generation` is the code it entered last. */
  readonly onLost: (loss: ThreadEnd) => void;
  /** A thread was no longer needed, and ended. */
  readonly onReleased?: (thread: string) => void;
  /** Threads end faster than restarting helps. */
  readonly onGiveUp: (error: Error) => void;
  /** Where threads write down whose code runs; absent: nowhere. */
  readonly trailDirectory?: string;
}

export interface ThreadEnd {
  readonly thread: string;
  readonly group: string;
  readonly reason: string;
  /** The code it entered last. */
  readonly generation: number;
  /** A process of its own was killed; `sole`: one domain and its callers were all that it served. */
  readonly killed?: 'sole' | 'shared';
}

export interface Member {
  readonly group: string;
  readonly handle: ThreadHandle;
}

interface OwnMember extends Member {
  joined: boolean;
  /** It is no longer needed. */
  released?: boolean;
}

/** All broker threads of the host, by group; a thread that ends is replaced. */
export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #members = new Set<OwnMember>();
  readonly #restarts: RestartLimit;
  readonly #watchdog: Watchdog;
  readonly #poison = new PoisonMemory();
  /** Threads that the host ended for its own reasons: what ran in them is not to blame. */
  readonly #dismissed = new WeakSet<ThreadHandle>();
  /** Domains that have a process of their own, as their code may end the one that it runs in. */
  readonly cells = new Cells();
  readonly #apartEnds = new Map<string, number>();
  #sequence = 0;
  #stopping = false;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    const { restartIntensity, restartPeriodMs, heartbeatMs, stallTimeoutMs } = options.config.supervisor;
    // One bad request may end every thread at once: what is too much is so for each of them.
    const threads = Object.values(options.config.threads).reduce((sum, { count }) => sum + threadsOf(count), 0);
    this.#restarts = new RestartLimit({ intensity: restartIntensity * threads, periodMs: restartPeriodMs });
    this.#watchdog = new Watchdog({
      intervalMs: heartbeatMs,
      stallTimeoutMs,
      threads: () => [...this.#members].map((member) => member.handle),
      onStall: (thread) => {
        // The others must know before RabbitMQ gives them what the thread had not finished.
        void this.#suspect(thread).then(() => thread.terminate(`no sign of life for ${String(stallTimeoutMs)} ms`));
      },
    });
  }

  /** Threads that serve, with their group. */
  get serving(): readonly Member[] {
    return [...this.#members].filter((member) => member.joined);
  }

  /** Every thread, also one that is starting. */
  get all(): readonly Member[] {
    return [...this.#members];
  }

  /** The group that consumes a domain's queues. */
  groupOf(domain: string): string {
    return this.cells.groupOf(domain) ?? this.#configuredGroup(domain);
  }

  #configuredGroup(domain: string): string {
    const groups = Object.entries(this.#options.config.threads);
    const named = groups.find(([, { domains }]) => domains.includes(domain));
    return (named ?? groups.find(([, { domains }]) => domains.includes('*')))?.[0] ?? 'default';
  }

  /** Names of the threads that serve and have loaded this generation. */
  threadsWith(generation: number): readonly string[] {
    return this.serving.filter(({ handle }) => handle.has(generation)).map(({ handle }) => handle.name);
  }

  /** Starts every thread of every group; rejects when one of them cannot serve. */
  async start(): Promise<void> {
    const starts = Object.entries(this.#options.config.threads).flatMap(([group, { count }]) =>
      Array.from({ length: threadsOf(count) }, () => this.#startMember(group)),
    );
    // What is kept apart keeps nobody from serving.
    const apart = this.cells.groups.map((group) => this.#startMember(group).catch(() => this.#replaceApart(group)));
    await Promise.all([...starts, ...apart]);
  }

  /** The domain is with the others from now on; the process that it had ends when it is done, where it has no other domain. */
  rejoin(domain: string): void {
    const group = this.cells.delete(domain);
    if (group === undefined) return;
    const { supervisor, limits } = this.#options.config;
    for (const member of [...this.#members].filter((each) => each.group === group)) {
      member.released = true;
      member.joined = false;
      void member.handle.stop(Math.max(supervisor.drainTimeoutMs, limits.maxDeadlineMs));
    }
  }

  /**
   * Loads a version on every serving thread that has not loaded it yet. The first code that it runs beside others may block
   * or end its thread: that is one thread, and the others follow. With none at all it waits for one. Rejects with the first
   * error of a thread that goes on, or when a thread ended in the version's own code.
   */
  async prepare(source: GenerationSource, timeoutMs: number): Promise<void> {
    const { domain } = source.manifest;
    await this.#someServing(domain, timeoutMs);
    await this.#prepareServing(source, timeoutMs);
  }

  /**
   * The same for threads that joined meanwhile. n.b. nobody joins while this is waited for: a process of its own that is being
   * replaced loads the version when it joins.
   */
  async prepareJoined(source: GenerationSource, timeoutMs: number): Promise<void> {
    const isApart = this.cells.groupOf(source.manifest.domain) !== undefined;
    await (isApart ? this.#prepareServing(source, timeoutMs) : this.prepare(source, timeoutMs));
  }

  async #prepareServing(source: GenerationSource, timeoutMs: number): Promise<void> {
    const { domain } = source.manifest;
    const [first, ...others] = this.serving.filter(({ group }) => this.cells.serves(group, domain));
    for (const members of [first === undefined ? [] : [first], others]) {
      await this.#all(members, async ({ handle }) => {
        await handle.prepare(source, timeoutMs).catch((error: unknown) => {
          if (handle.state !== 'ended') throw error;
          if (handle.lastEntered === source.id) throw threadErrors.make('BEDS_THREAD_PREPARE_FAILED', ENDED_IN_SETUP);
        });
      });
    }
    const callers = this.serving.filter(
      ({ group }) => this.cells.loads(group, domain) && !this.cells.serves(group, domain),
    );
    await Promise.all(
      callers.map(({ handle }) =>
        handle.prepare(source, Math.min(timeoutMs, CALLED_TIMEOUT_MS)).catch(() => undefined),
      ),
    );
  }

  /**
   * Sends a command to every serving thread (of one group). A thread that ends meanwhile does not count: its replacement
   * joins with what is current then. Rejects with the first error.
   */
  async broadcast(command: ThreadCommand, options: { timeoutMs: number; group?: string }): Promise<void> {
    const targets = this.serving.filter(({ group }) => options.group === undefined || group === options.group);
    await this.#all(targets, async ({ handle }) => {
      await handle.request(command, options.timeoutMs).catch((error: unknown) => {
        if (handle.state !== 'ended') throw error;
      });
    });
  }

  /**
   * Sends a command that must not be undone any more. A thread that does not carry it out is ended: its replacement joins
   * with what is current, so that no thread serves what the others do not. Undefined: it does not concern the thread.
   */
  async commit(commandFor: (member: Member) => ThreadCommand | undefined, timeoutMs: number): Promise<void> {
    await Promise.all(
      this.serving.map(async (member) => {
        const { handle } = member;
        const command = commandFor(member);
        if (command === undefined) return;
        try {
          await handle.request(command, timeoutMs);
        } catch {
          await this.#dismiss(handle, `it did not carry out '${command.kind}'`);
        }
      }),
    );
  }

  /**
   * Lets every thread finish, at most `timeoutMs`. None gives anything back before all have ended their intake: RabbitMQ would hand
   * it to another, and mark as delivered before what is on its way to a consumer that is cancelled.
   */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#watchdog.close();
    const stopAtMs = performance.now() + timeoutMs;
    const intakeMs = Math.min(INTAKE_MS, timeoutMs / 2);
    await Promise.allSettled(this.serving.map(({ handle }) => handle.request({ kind: 'stop-intake' }, intakeMs)));
    const leftMs = Math.max(0, stopAtMs - performance.now());
    await Promise.all([...this.#members].map(({ handle }) => handle.stop(leftMs)));
  }

  async #startMember(group: string): Promise<void> {
    const { config, node, brokers } = this.#options;
    this.#sequence += 1;
    const thread = `${group}-${String(this.#sequence)}`;
    const cell = this.cells.get(group);
    const trail = this.#trailOf(thread);
    const handle: ThreadHandle = new ThreadHandle({
      data: { thread, node, config, brokers, ...(trail === undefined ? {} : { trail }) },
      heapMb: config.threads[this.#heapGroup(group, cell)]?.heapMb ?? 512,
      isApart: cell !== undefined,
      onMessage: (message) => {
        this.#options.onMessage(handle, message);
      },
      onEnding: (ending) => this.#suspect(ending),
      onEnd: (_handle, reason) => {
        this.#onEnd(member, reason);
      },
    });
    const member: OwnMember = { group, handle, joined: false };
    this.#members.add(member);
    try {
      await handle.ready(config.supervisor.startTimeoutMs + 1_000);
      for (const suspicion of this.#poison.current(performance.now())) {
        await handle.request({ kind: 'suspect', ...suspicion }, config.supervisor.startTimeoutMs);
      }
      // What was delivered before is what may have ended a process: there, it runs when nothing like it does.
      if (cell !== undefined) {
        await handle.request({ kind: 'suspect', poisonDigest: 0 }, config.supervisor.startTimeoutMs);
      }
      await this.#options.onJoin(handle, group);
      member.joined = true;
    } catch (error) {
      await this.#dismiss(handle, 'it could not join');
      throw error;
    }
  }

  async #dismiss(handle: ThreadHandle, reason: string): Promise<void> {
    this.#dismissed.add(handle);
    await handle.terminate(reason);
  }

  /** Waits for all of them, also when one rejects. */
  async #all(members: readonly Member[], work: (member: Member) => Promise<void>): Promise<void> {
    const results = await Promise.allSettled(members.map(work));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** What no thread has loaded is not known to load. */
  async #someServing(domain: string, timeoutMs: number): Promise<void> {
    const { startTimeoutMs } = this.#options.config.supervisor;
    // A process that is being replaced takes longer than a thread.
    const isApart = this.cells.groupOf(domain) !== undefined;
    const untilMs = performance.now() + (isApart ? timeoutMs + startTimeoutMs : timeoutMs);
    while (!this.serving.some(({ group }) => this.cells.serves(group, domain))) {
      if (this.#stopping || performance.now() > untilMs) throw threadErrors.make('BEDS_THREAD_LOST');
      await delay(POLL_MS);
    }
  }

  /** Tells the threads that go on of one that did not; resolves when they know, or soon. */
  async #suspect(lost: ThreadHandle): Promise<void> {
    const suspicion: PoisonNotice = { poisonDigest: this.#dismissed.has(lost) ? 0 : this.#poison.attribute(lost) };
    this.#poison.add(suspicion, performance.now());
    const others = [...this.#members].filter(({ handle }) => handle !== lost && handle.state === 'ready');
    await Promise.allSettled(
      others.map(({ handle }) => handle.request({ kind: 'suspect', ...suspicion }, SUSPICION_TIMEOUT_MS)),
    );
  }

  #onEnd(member: OwnMember, reason: string): void {
    this.#members.delete(member);
    const { handle, group } = member;
    const trail = this.#trailOf(handle.name);
    if (member.released === true) this.#options.onReleased?.(handle.name);
    else if (!this.#stopping) this.#onLost(member, reason);
    // n.b. not before: what a process noted is read from it.
    if (trail !== undefined) rmSync(trail, { force: true });
    if (this.#stopping || member.released === true || !member.joined) return;
    if (this.cells.get(group) === undefined) this.#replace(group);
    else this.#replaceApart(group);
  }

  #onLost({ handle, group }: Member, reason: string): void {
    const cell = this.cells.get(group);
    const isKilled = cell !== undefined && KILLED_PROCESS.test(reason);
    const killed = isKilled ? ({ killed: cell.isSole ? 'sole' : 'shared' } as const) : {};
    void this.#suspect(handle);
    this.#options.onLost({ thread: handle.name, group, reason, generation: handle.lastEntered, ...killed });
  }

  /** n.b. a process that ends is no reason to give up: it is there so that only it does. */
  #replaceApart(group: string): void {
    const ends = this.#apartEnds.get(group) ?? 0;
    this.#apartEnds.set(group, ends + 1);
    setTimeout(
      () => {
        if (this.#stopping || this.cells.get(group) === undefined) return;
        this.#startMember(group).catch(() => this.#replaceApart(group));
      },
      backoffMs(ends, APART_BACKOFF),
    ).unref();
  }

  #heapGroup(group: string, cell: Cell | undefined): string {
    const [domain] = cell?.domains ?? [];
    return domain === undefined ? group : this.#configuredGroup(domain);
  }

  #trailOf(thread: string): string | undefined {
    const { trailDirectory } = this.#options;
    return trailDirectory === undefined ? undefined : join(trailDirectory, `${thread.replace(/[^\w.-]/g, '_')}.trail`);
  }

  #replace(group: string): void {
    if (!this.#restarts.allows(performance.now())) {
      this.#options.onGiveUp(threadErrors.make('BEDS_THREAD_RESTARTS_EXCEEDED'));
      return;
    }
    this.#startMember(group).catch(() => {
      if (!this.#stopping) this.#replace(group);
    });
  }
}

function threadsOf(count: number): number {
  return count === 0 ? Math.max(1, availableParallelism() - 1) : count;
}

/** Domains that are served by a process of their own. */
export interface Cell {
  /** Name of its thread group; no group of the configuration has one like it. */
  readonly group: string;
  readonly domains: ReadonlySet<string>;
  /** Domains that the code of these calls; they are served elsewhere, and loaded here as well. */
  readonly needs: ReadonlySet<string>;
  /** Whether all of its domains hang together by their calls: what ends it is one of them. */
  readonly isSole: boolean;
}

/** Which domains are kept apart from the threads of the host, until each is let back. */
export class Cells {
  readonly #cells = new Map<string, Cell>();

  /** Takes the place of what was set before. */
  set(cells: readonly Cell[]): void {
    this.#cells.clear();
    for (const cell of cells) this.#cells.set(cell.group, cell);
  }

  get groups(): readonly string[] {
    return [...this.#cells.keys()];
  }

  get(group: string): Cell | undefined {
    return this.#cells.get(group);
  }

  /** The group that has the domain; undefined: it is with the others. */
  groupOf(domain: string): string | undefined {
    for (const { group, domains } of this.#cells.values()) if (domains.has(domain)) return group;
    return undefined;
  }

  /** Whether members of the group serve the domain. */
  serves(group: string, domain: string): boolean {
    const cell = this.groupOf(domain);
    return cell === undefined ? !this.#cells.has(group) : cell === group;
  }

  /** Whether members of the group run its code: they serve it, or their domains call it. */
  loads(group: string, domain: string): boolean {
    return this.serves(group, domain) || this.#cells.get(group)?.needs.has(domain) === true;
  }

  /** The domain is with the others from now on. Returns its group where that has no other. */
  delete(domain: string): string | undefined {
    const group = this.groupOf(domain);
    const cell = group === undefined ? undefined : this.#cells.get(group);
    if (cell === undefined) return undefined;
    const domains = new Set([...cell.domains].filter((other) => other !== domain));
    this.#cells.set(cell.group, { ...cell, domains });
    if (domains.size > 0) return undefined;
    this.#cells.delete(cell.group);
    return cell.group;
  }
}

/** How long a starting thread still learns of a thread that ended. */
const REMEMBERED_MS = 60_000;
/** Suspects that may be innocent; the newest are remembered. */
const MAX_DOUBTFUL = 1_000;

/** Threads that must have ended under one before it is blamed for what it may not have done. */
const MIN_DOUBTFUL_ENDS = 3;

/** What a thread that ended has left; see `CrashBreadcrumbs`. */
export interface CrashAttribution {
  readonly name: string;
  readonly suspect: number;
  readonly isSuspectLast: boolean;
}

/** What threads that join must know of those that ended; see `PoisonTracker`. */
export class PoisonMemory {
  #entries: { readonly suspicion: PoisonNotice; readonly atMs: number }[] = [];

  /** In which threads a suspect ran while other code was entered last. */
  readonly #doubtful = new Map<number, ReadonlySet<string>>();

  /**
   * The suspect that ended this thread; 0: none. One that ran beside other code, which was entered last, may have been there
   * by accident: while a bad version ends one thread after the other, that happens to an innocent one twice.
   */
  attribute({ name, suspect, isSuspectLast }: CrashAttribution): number {
    if (suspect === 0 || isSuspectLast) return suspect;
    const threads = new Set([...(this.#doubtful.get(suspect) ?? []), name]);
    this.#doubtful.set(suspect, threads);
    const [oldest] = this.#doubtful.keys();
    if (this.#doubtful.size > MAX_DOUBTFUL && oldest !== undefined) this.#doubtful.delete(oldest);
    return threads.size < MIN_DOUBTFUL_ENDS ? 0 : suspect;
  }

  add(suspicion: PoisonNotice, nowMs: number): void {
    this.#entries.push({ suspicion, atMs: nowMs });
    this.#entries = this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS);
  }

  current(nowMs: number): readonly PoisonNotice[] {
    return this.#entries.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).map(({ suspicion }) => suspicion);
  }
}

/**
 * Restart intensity as in Erlang: more than `intensity` restarts within `periodMs` mean that restarting does not help.
 * https://www.erlang.org/doc/system/sup_princ.html#maximum-restart-intensity
 */
export class RestartLimit {
  readonly #intensity: number;
  readonly #periodMs: number;
  #restarts: number[] = [];

  constructor(limit: { readonly intensity: number; readonly periodMs: number }) {
    this.#intensity = limit.intensity;
    this.#periodMs = limit.periodMs;
  }

  /** Counts a restart; false when it is one too many. */
  allows(nowMs: number): boolean {
    this.#restarts = this.#restarts.filter((at) => nowMs - at < this.#periodMs);
    this.#restarts.push(nowMs);
    return this.#restarts.length <= this.#intensity;
  }
}

export interface WatchdogOptions {
  readonly intervalMs: number;
  /** Silence after which a thread counts as stalled. */
  readonly stallTimeoutMs: number;
  readonly threads: () => readonly ThreadHandle[];
  readonly onStall: (thread: ThreadHandle) => void;
}

/** Notices threads whose event loop no longer turns. It runs on the supervisor's thread, where no template code runs. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #seen = new WeakMap<ThreadHandle, { beats: number; silentMs: number }>();
  readonly #timer: NodeJS.Timeout;
  #lastLookMs = performance.now();

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.#look(performance.now());
    }, options.intervalMs);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(nowMs: number): void {
    const { intervalMs, stallTimeoutMs, threads, onStall } = this.#options;
    // Time in which this thread did not run either says nothing: the machine was suspended, or is too busy.
    const passedMs = Math.min(nowMs - this.#lastLookMs, 2 * intervalMs);
    this.#lastLookMs = nowMs;
    for (const thread of threads()) {
      if (thread.state !== 'ready') continue;
      const { beats } = thread;
      const seen = this.#seen.get(thread);
      if (seen?.beats !== beats) {
        this.#seen.set(thread, { beats, silentMs: 0 });
        continue;
      }
      seen.silentMs += passedMs;
      if (seen.silentMs <= stallTimeoutMs) continue;
      this.#seen.delete(thread);
      onStall(thread);
    }
  }
}
