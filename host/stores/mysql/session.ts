import type { BedsError } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import { query } from './driver.js';
import type { DriverConnection, DriverFields, DriverHeader, DriverResult } from './driver.js';
import { ResultMeter } from './result-meter.js';
import type { ResultBounds } from './result-meter.js';
import type { ServerProfile } from './server-profile.js';

export type SessionMode = 'read' | 'write';

/** Whether a statement was carried out, or undone by an error. */
export type StatementEnd = 'done' | 'undone';

export interface Executed {
  readonly result: DriverResult;
  readonly fields: DriverFields;
}

// Bits of the OK packet: https://mariadb.com/kb/en/ok_packet/#server-status-flag
const IN_TRANSACTION = 1;
const STATE_CHANGED = 1 << 14;

// GET_LOCK is the one thing a routine can leave behind that the server does not report.
const MAX_USES_BETWEEN_RESETS = 1_000;

const fromDriver = new WeakSet<object>();

/** Whether a session threw it, and not the code of a template that ran in between. */
export function isDriverError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && fromDriver.has(error);
}

/** n.b. texts that are the same so far are sorted as equal, and compared as different. */
const MAX_SORT_BYTES = 16_384;

/** What a server may have otherwise for all sessions, and a borrower must not meet: writes that are not kept, rows that are cut off. */
const ALWAYS = [
  `time_zone='+00:00'`,
  'autocommit=1',
  'completion_type=0',
  'sql_auto_is_null=0',
  'sql_select_limit=18446744073709551615',
  `max_sort_length=${String(MAX_SORT_BYTES)}`,
] as const;

/** How far the server's bound may lie behind the deadline before it costs a round trip to move it. */
const LIMIT_SLACK = { write: () => 400, read: (timeoutMs: number) => Math.max(400, timeoutMs / 5) } as const;

/** One connection and what we know of its state in the server. */
export class Session {
  readonly connection: DriverConnection;
  readonly profile: ServerProfile;
  #mode: SessionMode | undefined;
  #limitMs: number | undefined;
  #dirty = false;
  /** Between our own START TRANSACTION and COMMIT: there the server's flag says nothing of what a routine left behind. */
  #isInTransaction = false;
  #uses = 0;
  #alive = true;
  readonly #meter: ResultMeter;
  #reject: ((error: Error) => void) | undefined;
  #isDrained = false;
  #refusal: BedsError | undefined;
  #end: StatementEnd | undefined;
  #onEnd: ((end: StatementEnd | undefined) => void) | undefined;
  readonly #pending = new Set<(error: Error) => void>();
  lastUsedAt = Date.now();

  constructor(connection: DriverConnection, profile: ServerProfile, bounds: ResultBounds) {
    this.connection = connection;
    this.profile = profile;
    this.#meter = new ResultMeter(bounds, (error) => this.#refuse(error));
    connection.stream.on('data', (chunk) => this.#meter.arrived(chunk.length));
  }

  get alive(): boolean {
    return this.#alive;
  }

  get mode(): SessionMode | undefined {
    return this.#mode;
  }

  /** Whether the next borrower must not get it as it is. */
  get needsReset(): boolean {
    return this.#dirty || this.#uses >= MAX_USES_BETWEEN_RESETS;
  }

  get used(): boolean {
    return this.#uses > 0;
  }

  /**
   * Makes the session read-only or not and bounds its statements, in one round trip; mostly it is so already. With
   * autocommit on, a session that is READ ONLY runs every single statement in a read-only transaction, so reads need no
   * START TRANSACTION. The bound matters: while a routine runs with its definer's rights the server holds its statement
   * to be the definer's, and refuses the runtime account's KILL.
   */
  async prepare(mode: SessionMode, timeoutMs: number): Promise<void> {
    const { readOnlyVariable, limitVariable, tracksState } = this.profile;
    const limitMs = roundUp(timeoutMs);
    const settings: string[] = [];
    if (this.#mode === undefined) settings.push(...ALWAYS);
    if (this.#mode === undefined && tracksState) settings.push('session_track_state_change=1');
    if (readOnlyVariable !== undefined) settings.push(`${readOnlyVariable}=${mode === 'read' ? 1 : 0}`);
    if (limitVariable !== undefined) settings.push(`${limitVariable.name}=${limitMs / limitVariable.unitMs}`);
    if (settings.length > 0) await this.text(`SET SESSION ${settings.join(', ')}`);
    this.#mode = mode;
    this.#limitMs = limitMs;
  }

  /** Whether `prepare` has nothing to do. */
  isPrepared(mode: SessionMode, timeoutMs: number): boolean {
    if (this.#mode !== mode) return false;
    const limitMs = this.#limitMs ?? 0;
    return limitMs >= timeoutMs && limitMs <= timeoutMs + LIMIT_SLACK[mode](timeoutMs);
  }

  /**
   * Runs a prepared statement. Any error leaves the session dirty: a transaction may be open. A result that is too large ends the
   * connection; one that `isDrained` is read to its end instead, unkept, so that `howItEnded` can be told.
   */
  execute(sql: string, values: readonly unknown[], isDrained = false): Promise<Executed> {
    this.#uses += 1;
    this.#isDrained = isDrained;
    return this.#answer((resolve, reject) => {
      this.#reject = reject;
      const command = this.connection.execute(sql, values, (error, result, fields) => {
        const problem = this.#meter.ended();
        if (this.#refusal !== undefined) {
          this.#ended(error === null ? 'done' : 'undone');
        } else if (error !== null) {
          reject(error);
        } else if (problem !== undefined) {
          this.#refusal = problem;
          this.#ended('done');
          reject(problem);
        } else {
          this.#noteState(result, this.#isInTransaction ? STATE_CHANGED : STATE_CHANGED | IN_TRANSACTION);
          resolve({ result, fields });
        }
      });
      this.#meter.begin(command);
    });
  }

  /** Why the last result was not taken; undefined: it was. */
  get refusal(): BedsError | undefined {
    return this.#refusal;
  }

  /** How a statement ended in the server whose result was refused; undefined where that is not known within `graceMs`. */
  async howItEnded(graceMs: number): Promise<StatementEnd | undefined> {
    if (this.#end !== undefined || !this.#alive) return this.#end;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), graceMs);
      this.#onEnd = (end) => {
        clearTimeout(timer);
        resolve(end);
      };
    });
  }

  /** Bytes of results that were taken from the thread's budget and are the caller's from now on. */
  handOver(): number {
    return this.#meter.handOver();
  }

  /** Runs text of our own, without values. */
  async text(sql: string): Promise<void> {
    await this.#answer((resolve, reject) => {
      query(this.connection, sql).then(resolve, reject);
    });
  }

  async begin(): Promise<void> {
    await this.text('START TRANSACTION');
    this.#isInTransaction = true;
  }

  /** n.b. a session that is still in a transaction afterwards is dirty: it would go on with the snapshot of this one. */
  async commit(): Promise<void> {
    this.#isInTransaction = false;
    await this.#answer<void>((resolve, reject) => {
      query(this.connection, 'COMMIT').then((result) => {
        this.#noteState(result, IN_TRANSACTION);
        resolve();
      }, reject);
    });
  }

  /** Rolls back, drops temporary tables, locks, variables and prepared statements: COM_RESET_CONNECTION. */
  async reset(): Promise<void> {
    await this.#answer<void>((resolve, reject) => {
      this.connection.reset((error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    this.#mode = undefined;
    this.#limitMs = undefined;
    this.#dirty = false;
    this.#isInTransaction = false;
    this.#uses = 0;
  }

  markDirty(): void {
    this.#dirty = true;
  }

  destroy(): void {
    this.#alive = false;
    this.connection.destroy();
    // n.b. mysql2's destroy() only half-closes, which leaves the socket of a frozen server open for ever.
    this.connection.stream.destroy();
    // n.b. mysql2 forgets the callbacks of a destroyed connection.
    for (const reject of this.#pending) reject(storeErrors.make('BEDS_STORE_UNAVAILABLE'));
    this.#onEnd?.(undefined);
  }

  markLost(): void {
    this.#alive = false;
  }

  /** n.b. told again where it does not end: then nobody waits for it any longer. */
  #refuse(error: BedsError): void {
    const isTold = this.#refusal !== undefined;
    this.#refusal ??= error;
    if (!isTold) this.#reject?.(error);
    if (isTold || !this.#isDrained) this.destroy();
  }

  #ended(end: StatementEnd): void {
    this.#end = end;
    this.#onEnd?.(end);
  }

  #answer<T>(send: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (error: Error): void => {
        this.#pending.delete(fail);
        this.#dirty = true;
        fromDriver.add(error);
        reject(error);
      };
      this.#pending.add(fail);
      send((value) => {
        this.#pending.delete(fail);
        resolve(value);
      }, fail);
    });
  }

  // A plain SELECT ends in rows, whose status mysql2 does not give.
  #noteState(result: DriverResult, dirtyBits: number): void {
    const last: unknown = Array.isArray(result) ? result.at(-1) : result;
    if (typeof last !== 'object' || last === null || !('serverStatus' in last)) return;
    const { serverStatus } = last as DriverHeader;
    if (!this.profile.tracksState || (serverStatus & dirtyBits) !== 0) this.#dirty = true;
  }
}

/** To two digits: what is left of equal deadlines differs by little, and shall not move the bound each time. */
function roundUp(timeoutMs: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(timeoutMs)) - 1);
  return Math.ceil(timeoutMs / step) * step;
}
