import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../../config/schema.js';
import type { Suspicion } from '../../dispatch/suspects.js';
import { threadErrors } from '../../errors/thread.js';
import type { GenerationSource } from '../../generation/contract.js';
import type { ThreadCommand } from '../../thread/protocol.js';
import { RestartLimit } from './restart-limit.js';
import { Suspicions } from './suspicions.js';
import { ThreadHandle, type ThreadHandleOptions } from './thread-handle.js';
import { Watchdog } from './watchdog.js';

/** Another thread that does not answer within it is itself in trouble. */
const SUSPICION_TIMEOUT_MS = 500;
const POLL_MS = 25;
const ENDED_IN_SETUP = 'setup() ended its thread, or blocked it until it was ended.';

export interface ThreadPoolOptions {
  readonly config: Config;
  readonly node: string;
  readonly brokers: readonly string[];
  readonly onMessage: (thread: ThreadHandle, message: Parameters<ThreadHandleOptions['onMessage']>[0]) => void;
  /** Brings a thread that has just become ready up to what the others serve. It takes part in commands only afterwards. */
  readonly onJoin: (thread: ThreadHandle, group: string) => Promise<void>;
  /** A thread ended that was not asked to; `generation` is the code it entered last. */
  readonly onLost: (loss: { thread: string; group: string; reason: string; generation: number }) => void;
  /** Threads end faster than restarting helps. */
  readonly onGiveUp: (error: Error) => void;
}

interface Member {
  readonly group: string;
  readonly handle: ThreadHandle;
  joined: boolean;
}

/** All broker threads of the host, by group; a thread that ends is replaced. */
export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #members = new Set<Member>();
  readonly #restarts: RestartLimit;
  readonly #watchdog: Watchdog;
  readonly #suspicions = new Suspicions();
  /** Threads that the host ended for its own reasons: what ran in them is not to blame. */
  readonly #dismissed = new WeakSet<ThreadHandle>();
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
  get serving(): readonly { readonly group: string; readonly handle: ThreadHandle }[] {
    return [...this.#members].filter((member) => member.joined);
  }

  /** Every thread, also one that is starting. */
  get all(): readonly { readonly group: string; readonly handle: ThreadHandle }[] {
    return [...this.#members];
  }

  /** The group that consumes a domain's queues. */
  groupOf(domain: string): string {
    const groups = Object.entries(this.#options.config.threads);
    const named = groups.find(([, { domains }]) => domains.includes(domain));
    return (named ?? groups.find(([, { domains }]) => domains.includes('*')))?.[0] ?? 'default';
  }

  /** Starts every thread of every group; rejects when one of them cannot serve. */
  async start(): Promise<void> {
    const starts = Object.entries(this.#options.config.threads).flatMap(([group, { count }]) =>
      Array.from({ length: threadsOf(count) }, () => this.#startMember(group)),
    );
    await Promise.all(starts);
  }

  /**
   * Loads a version on every serving thread that has not loaded it yet. The first code that it runs beside others may block
   * or end its thread: that is one thread, and the others follow. With none at all it waits for one. Rejects with the first
   * error of a thread that goes on, or when a thread ended in the version's own code.
   */
  async prepare(source: GenerationSource, timeoutMs: number): Promise<void> {
    await this.#someServing(timeoutMs);
    const [first, ...others] = this.serving.map(({ handle }) => handle);
    for (const handles of [first === undefined ? [] : [first], others]) {
      await this.#all(handles, async (handle) => {
        await handle.prepare(source, timeoutMs).catch((error: unknown) => {
          if (handle.state !== 'ended') throw error;
          if (handle.lastEntered === source.id) throw threadErrors.make('BEDS_THREAD_PREPARE_FAILED', ENDED_IN_SETUP);
        });
      });
    }
  }

  /**
   * Sends a command to every serving thread (of one group). A thread that ends meanwhile does not count: its replacement
   * joins with what is current then. Rejects with the first error.
   */
  async broadcast(command: ThreadCommand, options: { timeoutMs: number; group?: string }): Promise<void> {
    const targets = this.serving.filter(({ group }) => options.group === undefined || group === options.group);
    await this.#all(
      targets.map(({ handle }) => handle),
      async (handle) => {
        await handle.request(command, options.timeoutMs).catch((error: unknown) => {
          if (handle.state !== 'ended') throw error;
        });
      },
    );
  }

  /**
   * Sends a command that must not be undone any more. A thread that does not carry it out is ended: its replacement joins
   * with what is current, so that no thread serves what the others do not.
   */
  async commit(command: ThreadCommand, timeoutMs: number): Promise<void> {
    await Promise.all(
      this.serving.map(async ({ handle }) => {
        try {
          await handle.request(command, timeoutMs);
        } catch {
          await this.#dismiss(handle, `it did not carry out '${command.kind}'`);
        }
      }),
    );
  }

  /** Lets every thread finish, at most `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#watchdog.close();
    await Promise.all([...this.#members].map(({ handle }) => handle.stop(timeoutMs)));
  }

  async #startMember(group: string): Promise<void> {
    const { config, node, brokers } = this.#options;
    this.#sequence += 1;
    const thread = `${group}-${String(this.#sequence)}`;
    const handle: ThreadHandle = new ThreadHandle({
      data: { thread, node, config, brokers },
      heapMb: config.threads[group]?.heapMb ?? 512,
      onMessage: (message) => {
        this.#options.onMessage(handle, message);
      },
      onEnd: (_handle, reason) => {
        this.#onEnd(member, reason);
      },
    });
    const member: Member = { group, handle, joined: false };
    this.#members.add(member);
    try {
      await handle.ready(config.supervisor.startTimeoutMs + 1_000);
      for (const suspicion of this.#suspicions.current(performance.now())) {
        await handle.request({ kind: 'suspect', ...suspicion }, config.supervisor.startTimeoutMs);
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
  async #all(handles: readonly ThreadHandle[], work: (handle: ThreadHandle) => Promise<void>): Promise<void> {
    const results = await Promise.allSettled(handles.map(work));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** What no thread has loaded is not known to load. */
  async #someServing(timeoutMs: number): Promise<void> {
    const untilMs = performance.now() + timeoutMs;
    while (this.serving.length === 0) {
      if (this.#stopping || performance.now() > untilMs) throw threadErrors.make('BEDS_THREAD_LOST');
      await delay(POLL_MS);
    }
  }

  /** Tells the threads that go on of one that did not; resolves when they know, or soon. */
  async #suspect(lost: ThreadHandle): Promise<void> {
    const suspicion: Suspicion = { convicted: this.#dismissed.has(lost) ? 0 : this.#suspicions.convict(lost) };
    this.#suspicions.add(suspicion, performance.now());
    const others = [...this.#members].filter(({ handle }) => handle !== lost && handle.state === 'ready');
    await Promise.allSettled(
      others.map(({ handle }) => handle.request({ kind: 'suspect', ...suspicion }, SUSPICION_TIMEOUT_MS)),
    );
  }

  #onEnd(member: Member, reason: string): void {
    this.#members.delete(member);
    if (this.#stopping) return;
    const { handle, group } = member;
    void this.#suspect(handle);
    this.#options.onLost({ thread: handle.name, group, reason, generation: handle.lastEntered });
    if (!member.joined) return;
    this.#replace(group);
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
