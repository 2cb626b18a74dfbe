import type { ChannelModel, connect } from 'amqplib';
import { backoffMs, settlesWithin, sleep, withTimeout } from '../time.js';
import { connectionErrors } from './connection-errors.js';
import { coalesceWrites, type WriteCoalescer } from './write-coalescer.js';

/**
 * - `connecting`: a connection attempt is under way
 * - `setting-up`: connected; channels and consumers are being made
 * - `up`: in service
 * - `waiting`: lost or refused; the next attempt is scheduled
 * - `closed`: closed by us, for good
 */
export type ConnectionState = 'connecting' | 'setting-up' | 'up' | 'waiting' | 'closed';

/** What has become of a connection. */
export interface ConnectionChange {
  readonly connection: string;
  /** `blocked`: RabbitMQ takes nothing from who publishes until `unblocked`. https://www.rabbitmq.com/docs/alarms */
  readonly state: ConnectionState | 'blocked' | 'unblocked';
  /** Wait before the next attempt, in state `waiting`. */
  readonly waitMs?: number;
  /** Why it is not up, in state `waiting`. */
  readonly error?: unknown;
}

export interface ConnectionOptions {
  /** `amqp:` or `amqps:`; a heartbeat that it names comes before `heartbeatSeconds`. */
  readonly url: string;
  /** Shown by RabbitMQ and in the log. */
  readonly name: string;
  /** Longest time of one attempt to connect, and of one set-up. */
  readonly connectTimeoutMs: number;
  readonly heartbeatSeconds: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
}

/** How a connection is made, and its listeners. None of these may throw; `connect` may reject. */
export interface ConnectionHooks {
  /** That of amqplib. */
  readonly connect: typeof connect;
  readonly onChange: (change: ConnectionChange) => void;
  /** RabbitMQ and the socket take messages again. */
  readonly onFlow?: () => void;
}

/**
 * Makes everything that lives on a new connection. A rejection closes it; the next attempt follows. `lose` gives it up at any time,
 * for what RabbitMQ tells of one channel only.
 */
export type ConnectionSetup = (model: ChannelModel, lose: (reason?: unknown) => void) => Promise<unknown>;

/** The end of one connection. */
interface Loss {
  /** Resolves with the reason when it is lost. */
  readonly lost: Promise<unknown>;
  readonly lose: (reason?: unknown) => void;
}

/** Longest wait for RabbitMQ to agree that a connection that is given up ends. */
const END_TIMEOUT_MS = 2_000;

/**
 * One AMQP connection that comes back by itself. amqplib's own `recovery` is not used: a connection that is lost during
 * its setup crashes the process or is never replaced.
 */
export class SupervisedConnection {
  readonly #options: ConnectionOptions;
  readonly #hooks: ConnectionHooks;
  readonly #setup: ConnectionSetup;
  readonly #stop = new AbortController();
  #state: ConnectionState = 'waiting';
  #model: ChannelModel | undefined;
  #writes: WriteCoalescer | undefined;
  #isBlocked = false;
  #lastError: unknown;
  readonly #waiters: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectionOptions, hooks: ConnectionHooks, setup: ConnectionSetup) {
    this.#options = options;
    this.#hooks = hooks;
    this.#setup = setup;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get name(): string {
    return this.#options.name;
  }

  /** RabbitMQ takes nothing from who publishes. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /** What was written and is not yet in the hands of the kernel. */
  get waitingBytes(): number {
    return this.#writes?.waitingBytes ?? 0;
  }

  /** Begins to connect; returns at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when the connection is up; rejects with BEDS_AMQP_UNAVAILABLE after `timeoutMs`, or when it is closed. */
  async ready(timeoutMs: number): Promise<void> {
    if (this.#state === 'up') return;
    if (this.#state === 'closed') throw this.#unavailable('The connection was closed.');
    const up = new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    await withTimeout(up, timeoutMs, () => this.#unavailable());
  }

  /** Closes in order, at most `timeoutMs`; a second call joins the first. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#stop.abort();
    // An attempt that is under way ends by its own timeout, and what came of it is thrown away.
    await settlesWithin(Promise.all([this.#discard(timeoutMs), this.#running]), timeoutMs);
    this.#transition({ state: 'closed' });
    for (const { reject } of this.#waiters.splice(0)) reject(this.#unavailable('The connection was closed.'));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const range = { minMs: this.#options.reconnectMinMs, maxMs: this.#options.reconnectMaxMs };
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      if (await this.#serve()) attempt = 0;
      if (signal.aborted) break;
      const waitMs = backoffMs(attempt, range);
      this.#transition({ state: 'waiting', waitMs, error: this.#lastError });
      await this.#discard(END_TIMEOUT_MS);
      await sleep(waitMs, signal);
    }
    await this.#discard(END_TIMEOUT_MS);
  }

  /** Connects, sets up, serves until the connection is lost. Never rejects. Returns whether it was ever up. */
  async #serve(): Promise<boolean> {
    const { signal } = this.#stop;
    this.#transition({ state: 'connecting' });
    try {
      const model = await this.#connect();
      this.#model = model;
      const { lost, lose } = this.#watch(model);
      if (signal.aborted) return false;
      this.#transition({ state: 'setting-up' });
      await this.#setUp(model, { lost, lose });
      if (signal.aborted) return false;
      this.#transition({ state: 'up' });
      for (const { resolve } of this.#waiters.splice(0)) resolve();
      this.#lastError = await lost;
      return true;
    } catch (error) {
      this.#lastError = error;
      return false;
    }
  }

  #connect(): Promise<ChannelModel> {
    const { url, name, connectTimeoutMs, heartbeatSeconds } = this.#options;
    const target = new URL(url);
    if (!target.searchParams.has('heartbeat')) target.searchParams.set('heartbeat', String(heartbeatSeconds));
    // noDelay: without it Nagle's algorithm and delayed acknowledgements make every request take 40 ms.
    const attempt = this.#hooks.connect(target.href, {
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: name },
    });
    // n.b. amqplib's `timeout` is one of idleness, so a peer that trickles bytes needs this bound as well.
    return withTimeout(attempt, connectTimeoutMs, () => {
      attempt.then((late) => endConnection(late, END_TIMEOUT_MS)).catch(() => undefined);
      return this.#unavailable('RabbitMQ did not answer in time.');
    });
  }

  /** Must be called in the turn in which the model appeared: an 'error' without listener ends the process. */
  #watch(model: ChannelModel): Loss {
    const { name } = this.#options;
    let lose: (reason?: unknown) => void = () => undefined;
    const lost = new Promise<unknown>((resolve) => (lose = resolve));
    model.on('error', lose);
    model.on('close', lose);
    this.#isBlocked = false;
    model.on('blocked', () => {
      this.#isBlocked = true;
      this.#hooks.onChange({ connection: name, state: 'blocked' });
    });
    model.on('unblocked', () => {
      this.#isBlocked = false;
      this.#hooks.onChange({ connection: name, state: 'unblocked' });
      this.#hooks.onFlow?.();
    });
    this.#writes = coalesceWrites(model);
    this.#writes?.onDrain(() => this.#hooks.onFlow?.());
    return { lost, lose };
  }

  async #setUp(model: ChannelModel, { lost, lose }: Loss): Promise<void> {
    const lostEarly = lost.then((reason) => {
      throw reason instanceof Error ? reason : this.#unavailable('The connection was lost while it was set up.');
    });
    await withTimeout(Promise.race([this.#setup(model, lose), lostEarly]), this.#options.connectTimeoutMs, () =>
      connectionErrors.make('BEDS_AMQP_SETUP_TIMEOUT'),
    );
  }

  async #discard(timeoutMs: number): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    if (model !== undefined) await endConnection(model, timeoutMs);
  }

  #transition(change: Omit<ConnectionChange, 'connection' | 'state'> & { readonly state: ConnectionState }): void {
    if (this.#state === 'closed') return;
    this.#state = change.state;
    this.#hooks.onChange({ connection: this.name, ...change });
  }

  #unavailable(message?: string): Error {
    return connectionErrors.make('BEDS_AMQP_UNAVAILABLE', message, { cause: this.#lastError });
  }
}

/** Closes a connection, at most `timeoutMs`, and lets go of its socket. Never rejects. */
export async function endConnection(model: ChannelModel, timeoutMs: number): Promise<void> {
  // n.b. an 'error' without listener ends the process, and nobody may have watched a connection that came too late.
  model.on('error', () => undefined);
  // n.b. amqplib's `close()` never settles when the socket ends before RabbitMQ has answered it; the event comes.
  const ended = new Promise<void>((resolve) => {
    model.on('close', () => resolve());
  });
  await settlesWithin(Promise.race([model.close(), ended]), timeoutMs);
  // n.b. amqplib has no public way to let go of the socket, and hears of an error of it, but not of a plain end by our side.
  const { stream } = model.connection as unknown as { readonly stream?: { destroy(error: Error): void } };
  stream?.destroy(connectionErrors.make('BEDS_AMQP_UNAVAILABLE', 'The connection was given up.'));
}
