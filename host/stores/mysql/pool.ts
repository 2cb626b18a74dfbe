import { settlesWithin, withTimeout } from '#sdk/time';
import { isBedsError } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { StoreStatus } from '../contract.js';
import { type Deadline, type LineLimits, WaitingLine } from '../deadlines.js';
import {
  type Connect,
  type DriverConnection,
  type DriverRow,
  type Endpoint,
  hasNoMoreConnections,
  NOT_LET_IN,
  profileServer,
  query,
  type ServerProfile,
  toStoreError,
} from './driver.js';
import { whyUnreachable } from '../why-unreachable.js';
import { type ResultBounds, Session, type SessionMode } from './session.js';

export interface PoolOptions extends LineLimits {
  readonly connector: Connector;
  /** Stops what a connection works on, in the server. Never rejects. */
  readonly stop: (threadId: number) => Promise<void>;
  readonly poolSize: number;
}

const RESET_TIMEOUT_MS = 1_000;
const IDLE_CHECK_MS = 1_000;
/** How long the pool does not ask for more connections than a server gave it. */
const FULL_MS = 900;
// n.b. a routine may leave behind what the server does not report.
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
  /** Lent to nobody, while the server still works for a borrower that has given up. */
  #abandoned = 0;
  #connecting = 0;
  /** Until then the server gives no more connections than there are. */
  #fullUntilMs = 0;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#line = new WaitingLine(options);
    this.#sweeper = setInterval(() => {
      this.#resetIdle();
      this.#grow();
    }, IDLE_CHECK_MS);
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
      this.#adopt(await this.#options.connector.open(true));
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
    return this.#mayGrow() ? undefined : this.#idle.pop();
  }

  /** BEDS_STORE_OVERLOADED, _UNAVAILABLE, _CLOSED or the deadline's reason. */
  wait(deadline: Deadline): Promise<Session> {
    const session = this.#line.wait(deadline, this.#inVain);
    this.#grow();
    return session;
  }

  /**
   * Takes the session back; the caller does not wait for its cleaning. n.b. one that was given up stays lent until the server has done
   * with it: ended here only, its statement would work on beside those of a connection in its place.
   */
  release(session: Session): void {
    if (!session.isAlive || this.#closing !== undefined) {
      this.#drop(session);
      return;
    }
    if (session.abandoned === undefined) {
      this.#reuse(session);
      return;
    }
    this.#abandoned += 1;
    void session.abandoned.then(() => {
      this.#abandoned -= 1;
      this.#reuse(session);
    });
  }

  #reuse(session: Session): void {
    if (!session.isDirty && session.uses < MAX_USES_BETWEEN_RESETS) {
      this.#hand(session);
      return;
    }
    void this.clean(session).then(
      () => this.#hand(session),
      () => this.#drop(session),
    );
  }

  /** Ends the connections that there are now, the lent ones when they come back: those made from now on may lead to another server. */
  renew(): void {
    for (const session of this.#all) session.isOutdated = true;
    for (const session of this.#idle.splice(0)) this.#drop(session);
  }

  /**
   * Waits for borrowed sessions, at most `timeoutMs`, then ends all, in the server too: a routine does not notice that nobody is there
   * for its answer. Later calls join the first.
   */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  /** Sessions that somebody works with. */
  get #lent(): number {
    return this.#all.size - this.#idle.length - this.#abandoned;
  }

  readonly #inVain = (): Error =>
    storeErrors.make(this.#all.size === 0 ? 'BEDS_STORE_UNAVAILABLE' : 'BEDS_STORE_OVERLOADED');

  #mayGrow(): boolean {
    if (this.#all.size + this.#connecting >= this.#options.poolSize) return false;
    return this.#fullUntilMs === 0 || performance.now() >= this.#fullUntilMs;
  }

  /** Opens another connection for those who wait, where one is needed and allowed. */
  #grow(): void {
    if (!this.#mayGrow() || this.#connecting >= this.#line.waiters.size) return;
    this.#connecting += 1;
    this.#options.connector.open(this.#all.size === 0).then(
      (session) => {
        this.#connecting -= 1;
        this.#adopt(session);
      },
      (error: unknown) => {
        this.#connecting -= 1;
        if (hasNoMoreConnections(error)) {
          // They wait for one of those that there are, or that others give back.
          this.#fullUntilMs = performance.now() + FULL_MS;
          this.#serveIdle();
          return;
        }
        // Whoever waits longest is told; the others' attempts are under way, or follow.
        this.#line.refuse(notLetIn(error));
        this.#grow();
      },
    );
  }

  /** n.b. who came while the pool might grow was not given a session that had last been of the other mode. */
  #serveIdle(): void {
    while (this.#idle.length > 0 && this.#line.waiters.size > 0) this.#hand(this.#idle.pop() as Session);
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
    if (!session.isAlive || session.isOutdated || this.#closing !== undefined) {
      this.#drop(session);
      return;
    }
    session.lastUsedAt = Date.now();
    if (this.#line.waiters.size === 0 || !this.#line.serve(session)) this.#idle.push(session);
  }

  #drop(session: Session): void {
    session.destroy();
    this.#all.delete(session);
    this.#fullUntilMs = 0;
    if (this.#closing === undefined) this.#grow();
    else if (this.#lent === 0) this.#drained?.();
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
    if (this.#lent > 0) {
      const drained = new Promise<void>((resolve) => (this.#drained = resolve));
      await settlesWithin(drained, timeoutMs);
    }
    // n.b. those that were given up as well: whoever was to stop them may not have been heard yet.
    const busy = [...this.#all].filter(({ isBusy }) => isBusy);
    await Promise.all(busy.map((session) => this.#options.stop(session.connection.threadId)));
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

const NO_ANSWER = 'no answer comes within connectTimeoutMs';

/** Of a store's status. */
type Unreachable = Pick<StoreStatus, 'lastError' | 'why'>;

type ConnectorConfig = ResultBounds & { readonly connectTimeoutMs: number };

/** Opens sessions, and remembers what the server can do and whether it could be reached. */
export class Connector {
  readonly #connect: Connect;
  readonly #config: ConnectorConfig;
  #profile: ServerProfile | undefined;
  #lastError: Unreachable | undefined;

  constructor(connect: Connect, config: ConnectorConfig) {
    this.#connect = connect;
    this.#config = config;
  }

  get profile(): ServerProfile | undefined {
    return this.#profile;
  }

  get lastError(): Unreachable | undefined {
    return this.#lastError;
  }

  /** Bounded by `connectTimeoutMs`, the finding out of the server's capabilities included. `isFirst`: there is no other connection. */
  async open(isFirst: boolean): Promise<Session> {
    const connection = this.#connect();
    // mysql2 throws what nobody listens to; the session's owner learns of a loss by its own listener.
    connection.on('error', () => undefined);
    const noAnswer = storeErrors.make('BEDS_STORE_UNAVAILABLE');
    try {
      const session = await withTimeout(this.#greet(connection), this.#config.connectTimeoutMs, () => noAnswer);
      this.#lastError = undefined;
      return session;
    } catch (error) {
      connection.destroy();
      connection.stream.destroy();
      const failure = 'verdict' in (error as object) ? (error as Error & { code: string }) : toStoreError(error);
      if (isFirst || !hasNoMoreConnections(failure)) {
        const why = error === noAnswer ? NO_ANSWER : whyUnreachable(error, NOT_LET_IN);
        this.#lastError = { lastError: failure.code, ...(why === undefined ? {} : { why }) };
      }
      throw failure;
    }
  }

  async #greet(connection: DriverConnection): Promise<Session> {
    await new Promise<void>((resolve, reject) => {
      connection.once('connect', resolve);
      connection.once('error', reject);
    });
    this.#profile ??= await profileServer(connection);
    const [row] = (await query(
      connection,
      'SELECT @@max_allowed_packet AS bytes, CURRENT_ROLE() AS role',
    )) as DriverRow[];
    const { maxResultRows, maxResultBytes } = this.#config;
    return new Session(connection, this.#profile, {
      maxResultRows,
      maxResultBytes,
      maxPacketBytes: Number(row?.['bytes']),
      role: row?.['role'],
    });
  }
}

const KILL_TIMEOUT_MS = 2_000;
const IDLE_MS = 10_000;

const NOT_OWNER = 1095;

/**
 * Stops statements in the server. It has a connection of its own, outside the pool, opened when first needed, because
 * the pool may be full of the very statements that are to be stopped. A user may kill its own threads, but not while they
 * run a routine with its definer's rights: the DBA's procedure `beds_stop`, made by `beds db apply`, ends those. Where it is not there
 * they end by the session's own bound, or by themselves.
 */
export class Killer {
  readonly #endpoint: Endpoint;
  #connection: DriverConnection | undefined;
  #idle: NodeJS.Timeout | undefined;
  /** Whether it has stopped a routine that runs with its definer's rights. */
  stopsRoutines = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** Resolves when the server has been told, or after 2 s. Never rejects: the client gives up on the statement anyway. */
  async stop(threadId: number): Promise<void> {
    const connection = (this.#connection ??= this.#open());
    clearTimeout(this.#idle);
    if (!(await settlesWithin(this.#tell(connection, threadId), KILL_TIMEOUT_MS))) this.#forget(connection);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#forget(connection), IDLE_MS);
    this.#idle.unref();
  }

  async #tell(connection: DriverConnection, threadId: number): Promise<void> {
    // n.b. KILL takes no placeholder; the number is the server's own, from its greeting.
    const id = String(Math.trunc(threadId));
    try {
      await query(connection, `KILL QUERY ${id}`);
    } catch (error) {
      if ((error as { readonly errno?: number }).errno !== NOT_OWNER) throw error;
      await query(connection, `CALL \`${this.#endpoint.database}\`.beds_stop(${id})`);
      this.stopsRoutines = true;
    }
  }

  close(): void {
    clearTimeout(this.#idle);
    if (this.#connection !== undefined) this.#forget(this.#connection);
  }

  #open(): DriverConnection {
    const connection = this.#endpoint.connect();
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
