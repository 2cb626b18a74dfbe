import { settlesWithin, withTimeout } from '#sdk/time';
import { isBedsError } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { StoreStatus } from '../contract.js';
import { type Deadline, type LineLimits, WaitingLine } from '../deadlines.js';
import {
  type Connect,
  type DriverConnection,
  profileServer,
  query,
  type ServerProfile,
  toStoreError,
} from './driver.js';
import { type ResultBounds, Session, type SessionMode } from './session.js';

export interface PoolOptions extends LineLimits {
  readonly connector: Connector;
  readonly poolSize: number;
}

const RESET_TIMEOUT_MS = 1_000;
const IDLE_CHECK_MS = 1_000;
// GET_LOCK is the one thing a routine can leave behind that the server does not report.
const MAX_USES_BETWEEN_RESETS = 1_000;

/**
 * Connections of one thread. mysql2's own pool knows no longest wait, keeps waiters that have given up, and resets after
 * every use; this one resets what the server says is dirty before the next borrower gets it (0.22 ms saved a call).
 */
export class Pool {
  readonly #options: PoolOptions;
  readonly #idle: Session[] = [];
  readonly #all = new Set<Session>();
  readonly #line: WaitingLine<Session>;
  readonly #sweeper: NodeJS.Timeout;
  #connecting = 0;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#line = new WaitingLine(options);
    this.#sweeper = setInterval(() => this.#resetIdle(), IDLE_CHECK_MS);
    this.#sweeper.unref();
  }

  get counts(): StoreStatus['connections'] {
    const idle = this.#idle.length;
    return { inUse: this.#all.size - idle, idle, waiting: this.#line.waiters.size, most: this.#options.poolSize };
  }

  /** Opens one connection, unless there is one. */
  async open(): Promise<void> {
    if (this.#closing !== undefined) throw storeErrors.make('BEDS_STORE_CLOSED');
    if (this.#all.size > 0) return;
    this.#connecting += 1;
    try {
      this.#adopt(await this.#options.connector.open());
    } finally {
      this.#connecting -= 1;
    }
  }

  /** A clean session, best one that was last used in this mode; undefined where one has to be waited for. */
  take(mode: SessionMode): Session | undefined {
    if (this.#closing !== undefined) throw storeErrors.make('BEDS_STORE_CLOSED');
    const same = this.#idle.findLastIndex((session) => session.mode === mode);
    if (same >= 0) return this.#idle.splice(same, 1)[0];
    // Opening another keeps both kinds of sessions ready; at the limit a session changes its kind.
    return this.#all.size + this.#connecting < this.#options.poolSize ? undefined : this.#idle.pop();
  }

  /** BEDS_STORE_OVERLOADED, _UNAVAILABLE, _CLOSED or the deadline's reason. */
  wait(deadline: Deadline): Promise<Session> {
    const session = this.#line.wait(deadline, this.#inVain);
    this.#grow();
    return session;
  }

  /** Takes the session back; the caller does not wait for its cleaning. */
  release(session: Session): void {
    if (!session.isAlive || this.#closing !== undefined) {
      this.#drop(session);
      return;
    }
    if (!session.isDirty && session.uses < MAX_USES_BETWEEN_RESETS) {
      this.#hand(session);
      return;
    }
    void this.clean(session).then(
      () => this.#hand(session),
      () => this.#drop(session),
    );
  }

  /** Waits for borrowed sessions, at most `timeoutMs`, then ends all. Later calls join the first. */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  readonly #inVain = (): Error =>
    storeErrors.make(this.#all.size === 0 ? 'BEDS_STORE_UNAVAILABLE' : 'BEDS_STORE_OVERLOADED');

  /** Opens another connection for those who wait, where one is needed and allowed. */
  #grow(): void {
    const { connector, poolSize } = this.#options;
    if (this.#all.size + this.#connecting >= poolSize || this.#connecting >= this.#line.waiters.size) return;
    this.#connecting += 1;
    connector.open().then(
      (session) => {
        this.#connecting -= 1;
        this.#adopt(session);
      },
      (error: unknown) => {
        this.#connecting -= 1;
        // Whoever waits longest is told; the others' attempts are under way, or follow.
        this.#line.refuse(notLetIn(error));
        this.#grow();
      },
    );
  }

  #adopt(session: Session): void {
    if (this.#closing !== undefined) {
      session.destroy();
      return;
    }
    this.#all.add(session);
    const lost = (): void => {
      session.isAlive = false;
      const at = this.#idle.indexOf(session);
      if (at < 0) return;
      this.#idle.splice(at, 1);
      this.#drop(session);
    };
    session.connection.on('error', lost);
    session.connection.on('end', lost);
    this.#hand(session);
  }

  #hand(session: Session): void {
    if (!session.isAlive || this.#closing !== undefined) {
      this.#drop(session);
      return;
    }
    session.lastUsedAt = Date.now();
    if (this.#line.waiters.size === 0 || !this.#line.serve(session)) this.#idle.push(session);
  }

  #drop(session: Session): void {
    session.destroy();
    this.#all.delete(session);
    if (this.#closing === undefined) this.#grow();
    else if (this.#all.size === this.#idle.length) this.#drained?.();
  }

  /** Rolls back and forgets all that the session holds, within a second; else it is gone. */
  clean(session: Session): Promise<void> {
    return withTimeout(session.reset(), RESET_TIMEOUT_MS, () => storeErrors.make('BEDS_STORE_UNAVAILABLE'));
  }

  /** What a routine may have left behind without the server saying so goes as soon as nobody waits for the session. */
  #resetIdle(): void {
    const before = Date.now() - IDLE_CHECK_MS;
    for (const session of this.#idle.filter(({ uses, lastUsedAt }) => uses > 0 && lastUsedAt < before)) {
      this.#idle.splice(this.#idle.indexOf(session), 1);
      session.isDirty = true;
      this.release(session);
    }
  }

  async #close(timeoutMs: number): Promise<void> {
    clearInterval(this.#sweeper);
    this.#line.dismiss(storeErrors.make('BEDS_STORE_CLOSED'));
    if (this.#all.size > this.#idle.length) {
      const drained = new Promise<void>((resolve) => (this.#drained = resolve));
      await settlesWithin(drained, timeoutMs);
    }
    await Promise.all(this.#idle.splice(0).map((session) => end(session)));
    for (const session of this.#all) session.destroy();
    this.#all.clear();
  }
}

/** An account that is not let in says nothing about an object: as long as that lasts the store is away. */
function notLetIn(error: unknown): Error {
  if (isBedsError(error) && error.code === 'BEDS_STORE_UNAVAILABLE') return error;
  const message = 'The database does not let the runtime account in.';
  return storeErrors.make('BEDS_STORE_UNAVAILABLE', message, { cause: error });
}

/** Says goodbye, so that the server does not count an aborted connection; at most RESET_TIMEOUT_MS. */
async function end(session: Session): Promise<void> {
  const goodbye = new Promise<void>((resolve) => {
    session.connection.end(() => resolve());
  });
  await settlesWithin(goodbye, RESET_TIMEOUT_MS);
  session.destroy();
}

type ConnectorConfig = ResultBounds & { readonly connectTimeoutMs: number };

/** Opens sessions, and remembers what the server can do and whether it could be reached. */
export class Connector {
  readonly #connect: Connect;
  readonly #config: ConnectorConfig;
  #profile: ServerProfile | undefined;
  #lastError: string | undefined;

  constructor(connect: Connect, config: ConnectorConfig) {
    this.#connect = connect;
    this.#config = config;
  }

  get profile(): ServerProfile | undefined {
    return this.#profile;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Bounded by `connectTimeoutMs`, the finding out of the server's capabilities included. */
  async open(): Promise<Session> {
    const connection = this.#connect();
    // mysql2 throws what nobody listens to; the session's owner learns of a loss by its own listener.
    connection.on('error', () => undefined);
    try {
      const session = await withTimeout(this.#greet(connection), this.#config.connectTimeoutMs, () =>
        storeErrors.make('BEDS_STORE_UNAVAILABLE'),
      );
      this.#lastError = undefined;
      return session;
    } catch (error) {
      connection.destroy();
      connection.stream.destroy();
      const failure = 'verdict' in (error as object) ? (error as Error & { code: string }) : toStoreError(error);
      this.#lastError = failure.code;
      throw failure;
    }
  }

  async #greet(connection: DriverConnection): Promise<Session> {
    await new Promise<void>((resolve, reject) => {
      connection.once('connect', resolve);
      connection.once('error', reject);
    });
    this.#profile ??= await profileServer(connection);
    return new Session(connection, this.#profile, this.#config);
  }
}

const KILL_TIMEOUT_MS = 2_000;
const IDLE_MS = 10_000;

/**
 * Stops statements in the server. It has a connection of its own, outside the pool, opened when first needed, because
 * the pool may be full of the very statements that are to be stopped. A user may kill its own threads, but not while they
 * run a routine with its definer's rights: those end by the session's own bound.
 */
export class Killer {
  readonly #connect: Connect;
  #connection: DriverConnection | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  /** Resolves when the server has been told, or after 2 s. Never rejects: the client gives up on the statement anyway. */
  async stop(threadId: number): Promise<void> {
    const connection = (this.#connection ??= this.#open());
    clearTimeout(this.#idle);
    // n.b. KILL takes no placeholder; the number is the server's own, from its greeting.
    const told = query(connection, `KILL QUERY ${Math.trunc(threadId)}`);
    if (!(await settlesWithin(told, KILL_TIMEOUT_MS))) this.#forget(connection);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#forget(connection), IDLE_MS);
    this.#idle.unref();
  }

  close(): void {
    clearTimeout(this.#idle);
    if (this.#connection !== undefined) this.#forget(this.#connection);
  }

  #open(): DriverConnection {
    const connection = this.#connect();
    const forget = (): void => this.#forget(connection);
    connection.on('error', forget);
    connection.on('end', forget);
    return connection;
  }

  #forget(connection: DriverConnection): void {
    if (this.#connection === connection) this.#connection = undefined;
    connection.destroy();
    connection.stream.destroy();
  }
}
