import type { ChannelModel } from 'amqplib';
import { backoffMs, settlesWithin, sleep, withTimeout } from '#sdk/time';
import { amqpErrors } from '../errors/amqp.js';
import { publishConnection } from '../observe/channels.js';
import { connect } from './driver.js';

/**
 * - `connecting`: a connection attempt is under way
 * - `setting-up`: connected; channels and consumers are being made
 * - `up`: in service
 * - `waiting`: lost or refused; the next attempt is scheduled
 * - `closed`: closed by us, for good
 */
export type ConnectionState = 'connecting' | 'setting-up' | 'up' | 'waiting' | 'closed';

export interface ConnectionOptions {
  readonly url: string;
  /** Shown by RabbitMQ and in the log. */
  readonly name: string;
  readonly connectTimeoutMs: number;
  readonly heartbeatSeconds: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
}

/** Makes everything that lives on a new connection. A rejection closes it; the next attempt follows. */
export type ConnectionSetup = (model: ChannelModel) => Promise<unknown>;

/**
 * One AMQP connection that comes back by itself. amqplib's own `recovery` is not used: a connection that is lost during
 * its setup crashes the process or is never replaced.
 */
export class AmqpConnection {
  readonly #options: ConnectionOptions;
  readonly #setup: ConnectionSetup;
  readonly #stop = new AbortController();
  #state: ConnectionState = 'waiting';
  #model: ChannelModel | undefined;
  #lastError: unknown;
  #waiters: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectionOptions, setup: ConnectionSetup) {
    this.#options = options;
    this.#setup = setup;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Begins to connect; returns at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when the connection is up; rejects with BEDS_AMQP_UNAVAILABLE after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    if (this.#state === 'up') return;
    const timer = setTimeout(() => {
      this.#settleWaiters((waiter) => {
        waiter.reject(amqpErrors.make('BEDS_AMQP_UNAVAILABLE', undefined, { cause: this.#lastError }));
      });
    }, timeoutMs);
    await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject })).finally(() => {
      clearTimeout(timer);
    });
  }

  /** Closes in order, at most `timeoutMs`; a second call joins the first. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#stop.abort();
    if (this.#model !== undefined) await closeModel(this.#model, timeoutMs);
    await this.#running;
    this.#transition('closed');
    this.#settleWaiters((waiter) => {
      waiter.reject(amqpErrors.make('BEDS_AMQP_UNAVAILABLE', 'The connection was closed.'));
    });
  }

  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#stop.signal.aborted) {
      const wasUp = await this.#session();
      if (this.#stop.signal.aborted) return;
      attempt = wasUp ? 0 : attempt + 1;
      const waitMs = backoffMs(attempt, { minMs: this.#options.reconnectMinMs, maxMs: this.#options.reconnectMaxMs });
      this.#transition('waiting', waitMs);
      await sleep(waitMs, this.#stop.signal);
    }
  }

  /** Connects, sets up, serves until the connection is lost. Never rejects. Returns whether it was ever up. */
  async #session(): Promise<boolean> {
    this.#lastError = undefined;
    this.#transition('connecting');
    try {
      const model = await this.#connect();
      const lost = this.#watch(model);
      this.#model = model;
      this.#transition('setting-up');
      await this.#runSetup(model, lost);
      if (this.#stop.signal.aborted) await closeModel(model, this.#options.connectTimeoutMs);
      else this.#transition('up');
      await lost;
      return true;
    } catch (error) {
      this.#lastError = error;
      if (this.#model !== undefined) await closeModel(this.#model, this.#options.connectTimeoutMs);
      return false;
    } finally {
      this.#model = undefined;
    }
  }

  async #connect(): Promise<ChannelModel> {
    const { url, name, connectTimeoutMs, heartbeatSeconds } = this.#options;
    const target = new URL(url);
    target.searchParams.set('heartbeat', String(heartbeatSeconds));
    // noDelay: without it Nagle's algorithm and delayed acknowledgements make every request take 40 ms.
    const attempt = connect(target.href, {
      noDelay: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: name },
    });
    // n.b. amqplib's `timeout` is one of idleness, so a peer that trickles bytes needs this bound as well.
    return withTimeout(attempt, connectTimeoutMs, () => {
      attempt.then((late) => closeModel(late, connectTimeoutMs)).catch(() => undefined);
      return amqpErrors.make('BEDS_AMQP_UNAVAILABLE', 'RabbitMQ did not answer in time.');
    });
  }

  /** Must be called in the turn in which the model appeared: an 'error' without listener ends the process. */
  #watch(model: ChannelModel): Promise<void> {
    model.on('error', (error) => {
      this.#lastError = error;
    });
    model.on('blocked', () => {
      publishConnection({ connection: this.name, state: 'blocked' });
    });
    model.on('unblocked', () => {
      publishConnection({ connection: this.name, state: 'unblocked' });
    });
    return new Promise((resolve) => {
      model.on('close', (error?: Error) => {
        this.#lastError ??= error;
        resolve();
      });
    });
  }

  async #runSetup(model: ChannelModel, lost: Promise<void>): Promise<void> {
    const setup = this.#setup(model);
    const lostEarly = lost.then(() => {
      throw amqpErrors.make('BEDS_AMQP_UNAVAILABLE', 'The connection was lost while it was set up.', {
        cause: this.#lastError,
      });
    });
    await withTimeout(Promise.race([setup, lostEarly]), this.#options.connectTimeoutMs, () =>
      amqpErrors.make('BEDS_AMQP_SETUP_TIMEOUT'),
    );
  }

  #transition(state: ConnectionState, waitMs?: number): void {
    if (this.#state === 'closed') return;
    this.#state = state;
    publishConnection({
      connection: this.name,
      state,
      ...(waitMs === undefined ? {} : { waitMs }),
      ...(state === 'waiting' ? { error: this.#lastError } : {}),
    });
    if (state === 'up') {
      this.#settleWaiters((waiter) => {
        waiter.resolve();
      });
    }
  }

  #settleWaiters(settle: (waiter: { resolve: () => void; reject: (error: unknown) => void }) => void): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    waiters.forEach(settle);
  }
}

async function closeModel(model: ChannelModel, timeoutMs: number): Promise<void> {
  if (await settlesWithin(model.close(), timeoutMs)) return;
  // A peer that never answers connection.close: amqplib has no other way to let go of the socket.
  (model.connection as unknown as { stream?: { destroy(): void } }).stream?.destroy();
}
