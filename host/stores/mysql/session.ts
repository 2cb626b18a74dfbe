import { type BedsError, isBedsError } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import {
  type Answer,
  type DriverCommand,
  type DriverConnection,
  type DriverFields,
  type DriverHeader,
  type DriverResult,
  type DriverRow,
  isJsonField,
  packetTooLarge,
  query,
  type ServerProfile,
  SQL_MODE,
} from './driver.js';
import { resultBudget } from '../result-budget.js';

/** `together`: it writes, and waits for no lock. */
export type SessionMode = 'read' | 'write' | 'together';

/** Whether a statement was carried out, or undone by an error. */
export type StatementEnd = 'done' | 'undone';

export interface Executed {
  readonly result: DriverResult;
  readonly fields: DriverFields;
}

// Bits of the OK packet: https://mariadb.com/kb/en/ok_packet/#server-status-flag
const IN_TRANSACTION = 1;
const STATE_CHANGED = 1 << 14;

const fromDriver = new WeakSet<object>();

/** Whether a session threw it, and not the code of a template that ran in between. */
export function isDriverError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && fromDriver.has(error);
}

/** Is there as long as the transaction that it was made in. */
const GUARD = 'beds_transaction';
const NO_SUCH_SAVEPOINT = 1305;
/** https://mariadb.com/kb/en/e1196/ */
const NOT_ROLLED_BACK = 1196;
/**
 * By this lock the DBA's procedure `beds_stop` knows the connections of an account: while a routine runs, they are its definer's.
 */
const OWN_LOCK = "GET_LOCK(LEFT(CONCAT('beds:', CONNECTION_ID(), ':', SUBSTRING_INDEX(USER(), '@', 1)), 64), 0)";
/** What a server does not say was left behind: locks, and what LAST_INSERT_ID() gives. n.b. all locks but one, which is taken again. */
export const TIDY = `DO LAST_INSERT_ID(0), RELEASE_ALL_LOCKS(), ${OWN_LOCK}`;
/** How a block ends that is a transaction of its own. */
export const COMMIT_AT_END = `COMMIT; ${TIDY}; END`;

/** n.b. MySQL counts both under one name. */
const CREATE_TABLE = ['Com_create_table', 'Com_create_temporary_table'];
const WRITES = [
  'insert',
  'insert_select',
  'replace',
  'replace_select',
  'update',
  'update_multi',
  'delete',
  'delete_multi',
].map((kind) => `Com_${kind}`);
const COUNTED = `SHOW SESSION STATUS WHERE Variable_name IN (${['Com_commit', ...CREATE_TABLE, ...WRITES].map((name) => `'${name}'`).join(', ')})`;

/** Statements by what they do. */
export interface Counted {
  readonly commits: number;
  readonly tables: number;
  readonly writes: number;
}

function transactionEnded(): BedsError {
  return storeErrors.make('BEDS_STORE_TRANSACTION_ENDED');
}

/** n.b. texts that are the same so far are sorted as equal, and compared as different. */
const MAX_SORT_BYTES = 16_384;

/** What a server may have otherwise for all sessions, and a borrower must not meet: writes that are not kept, rows that are cut off. */
const ALWAYS = [
  // n.b. MySQL gives a session that is reset the server's own, not what the driver has asked for; so does an `init_connect`.
  'character_set_client=utf8mb4',
  'character_set_results=utf8mb4',
  'collation_connection=utf8mb4_general_ci',
  SQL_MODE,
  `time_zone='+00:00'`,
  // n.b. an error is told from what a routine says by its text.
  `lc_messages='en_US'`,
  'autocommit=1',
  'completion_type=0',
  'sql_auto_is_null=0',
  'sql_select_limit=18446744073709551615',
  // n.b. both are meant for those who type statements: a routine may change rows without naming their key, and a deadline bounds a join.
  'sql_safe_updates=0',
  'sql_big_selects=1',
  // n.b. switched off for an import and forgotten, they let in what the tables forbid.
  'foreign_key_checks=1',
  'unique_checks=1',
  // n.b. what is longer is cut off, and MySQL does so from 1 KB on.
  'group_concat_max_len=CAST(GREATEST(@@GLOBAL.group_concat_max_len,1048576) AS UNSIGNED)',
  `max_sort_length=${String(MAX_SORT_BYTES)}`,
  `@beds=${OWN_LOCK}`,
] as const;

/** The same, of what only MariaDB has: what is forbidden, and what rows there were at another time. */
const ALWAYS_ON_MARIADB = ['check_constraint_checks=1', 'system_versioning_asof=DEFAULT'] as const;

/** n.b. servers say nothing of `SELECT … INTO @name`. */
const LEFT_VARIABLES = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.USER_VARIABLES WHERE VARIABLE_NAME <> 'beds'";

/** One connection and what we know of its state in the server. */
export class Session {
  readonly connection: DriverConnection;
  readonly profile: ServerProfile;
  /** What it is prepared for. */
  mode: SessionMode | undefined;
  /** The server's own bound on its statements. */
  limitMs: number | undefined;
  /** Whether the next borrower must not get it as it is. */
  isDirty = false;
  /** Between our own START TRANSACTION and COMMIT: there the server's flag says nothing of what a routine left behind. */
  #isInTransaction = false;
  /** Whether nobody else may end that transaction. */
  #isGuarded = false;
  /** COMMITs of ours since it was reset. */
  #commits = 0;
  /** Statements since it was reset. */
  uses = 0;
  /** Whether a call may have left what no server tells of. */
  isUntidy = false;
  isAlive = true;
  /** What the last statement had brought before it failed. */
  result: DriverCommand | undefined;
  /** Whether it leads to a server that turned out to be the wrong one. */
  isOutdated = false;
  readonly meter: ResultMeter;
  readonly #maxPacketBytes: number;
  readonly #role: unknown;
  #reject: ((error: Error) => void) | undefined;
  #isDrained = false;
  /** Why the last result was not taken; undefined: it was. */
  refusal: BedsError | undefined;
  #end: StatementEnd | undefined;
  #onEnd: ((end: StatementEnd | undefined) => void) | undefined;
  /** Settles when the server has done with what its borrower gave up, and may be told nothing more of it; undefined: nobody has. */
  abandoned: Promise<unknown> | undefined;
  #onIdle: (() => void) | undefined;
  readonly #pending = new Set<(error: Error) => void>();
  lastUsedAt = Date.now();

  constructor(connection: DriverConnection, profile: ServerProfile, bounds: SessionBounds) {
    this.connection = connection;
    this.profile = profile;
    this.#maxPacketBytes = bounds.maxPacketBytes;
    this.#role = bounds.role;
    this.meter = new ResultMeter(bounds, (error) => this.#refuse(error));
    connection.stream.on('data', (chunk) => this.meter.arrived(chunk.length));
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
    if (this.mode === undefined) settings.push(...ALWAYS);
    if (this.mode === undefined && this.profile.isMariaDb) settings.push(...ALWAYS_ON_MARIADB);
    if (this.mode === undefined && tracksState) settings.push('session_track_state_change=1');
    if (readOnlyVariable !== undefined) settings.push(`${readOnlyVariable}=${mode === 'read' ? 1 : 0}`);
    if (limitVariable !== undefined) settings.push(`${limitVariable.name}=${limitMs / limitVariable.unitMs}`);
    // n.b. set by the statement itself, the server would say of each that it left something behind.
    if (mode === 'together') settings.push('innodb_lock_wait_timeout=0');
    else if (this.mode === 'together') settings.push('innodb_lock_wait_timeout=DEFAULT');
    if (settings.length > 0) await this.text(`SET SESSION ${settings.join(', ')}`);
    this.mode = mode;
    this.limitMs = limitMs;
  }

  /**
   * Runs a prepared statement, or without `values` a text. Any error leaves the session dirty: a transaction may be open. A result that is too large ends the
   * connection; one that `isDrained` is read to its end instead, unkept, so that `howItEnded` can be told.
   */
  execute(sql: string, values: readonly unknown[] | undefined, isDrained = false): Promise<Executed> {
    this.uses += 1;
    this.#isDrained = isDrained;
    return this.#answer((resolve, reject) => {
      // n.b. the server ends the connection of what is larger, mostly before it has said so: then nobody knows what was done.
      if (isLargerThan(this.#maxPacketBytes, sql, values)) {
        reject(packetTooLarge(this.#maxPacketBytes));
        return;
      }
      this.#reject = reject;
      const done: Answer = (error, result, fields) => {
        const problem = this.meter.ended();
        if (this.refusal !== undefined) {
          this.#ended(error === null ? 'done' : 'undone');
        } else if (error !== null) {
          reject(error);
        } else if (problem !== undefined) {
          this.refusal = problem;
          this.#ended('done');
          reject(problem);
        } else {
          this.result = undefined;
          if (sql.endsWith(COMMIT_AT_END)) this.#commits += 1;
          const status = this.#noteState(
            result,
            this.#isInTransaction ? STATE_CHANGED : STATE_CHANGED | IN_TRANSACTION,
          );
          if (this.#isGuarded && status !== undefined && (status & IN_TRANSACTION) === 0) reject(transactionEnded());
          else resolve({ result, fields });
        }
      };
      this.result =
        values === undefined ? this.connection.query(sql, done) : this.connection.execute(sql, values, done);
      this.meter.begin(this.result);
    });
  }

  /** The same for a text that begins a transaction, and leaves it open for `commit`. */
  executeOpening(sql: string, values: readonly unknown[]): Promise<Executed> {
    this.#isInTransaction = true;
    return this.execute(sql, values);
  }

  /** How a statement ended in the server whose result was refused; undefined where that is not known within `graceMs`. */
  async howItEnded(graceMs: number): Promise<StatementEnd | undefined> {
    if (this.#end !== undefined || !this.isAlive) return this.#end;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), graceMs);
      this.#onEnd = (end) => {
        clearTimeout(timer);
        resolve(end);
      };
    });
  }

  /** Runs text of our own, without values. */
  async text(sql: string): Promise<void> {
    await this.#answer((resolve, reject) => {
      query(this.connection, sql).then(resolve, reject);
    });
  }

  /** `isGuarded`: it is noticed when a routine ends the transaction, by itself or by what does so, as DDL. */
  async begin(isGuarded = false): Promise<void> {
    if (!isGuarded) await this.text('START TRANSACTION');
    else if (this.profile.blocks) await this.text(`BEGIN NOT ATOMIC START TRANSACTION; SAVEPOINT ${GUARD}; END`);
    else await Promise.all([this.text('START TRANSACTION'), this.text(`SAVEPOINT ${GUARD}`)]);
    this.#isInTransaction = true;
    this.#isGuarded = isGuarded;
  }

  /**
   * n.b. a session that is still in a transaction afterwards is dirty: it would go on with the snapshot of this one. Throws
   * BEDS_STORE_TRANSACTION_ENDED where a guarded one is not the one that began.
   */
  async commit(): Promise<void> {
    const { blocks } = this.profile;
    if (this.#isGuarded && !blocks) await this.#endGuard(`RELEASE SAVEPOINT ${GUARD}`);
    const release = this.#isGuarded ? `RELEASE SAVEPOINT ${GUARD}; ` : '';
    const sql = blocks ? `BEGIN NOT ATOMIC ${release}${COMMIT_AT_END}` : 'COMMIT';
    this.#isInTransaction = false;
    this.#noteState(await this.#endGuard(sql), IN_TRANSACTION);
    this.#isGuarded = false;
    this.#commits += 1;
  }

  async #endGuard(sql: string): Promise<DriverResult> {
    try {
      return await this.#answer<DriverResult>((resolve, reject) => {
        query(this.connection, sql).then(resolve, reject);
      });
    } catch (error) {
      throw this.#isGuarded && (error as { readonly errno?: number }).errno === NO_SUCH_SAVEPOINT
        ? transactionEnded()
        : error;
    }
  }

  /** Whether the guarded transaction is still the one that began. Asks the server; what cannot be asked is taken for it. */
  async isIntact(): Promise<boolean> {
    if (!this.#isGuarded || !this.isAlive || this.isBusy) return true;
    return this.#endGuard(`RELEASE SAVEPOINT ${GUARD}`).then(
      () => true,
      (error: unknown) => !(isBedsError(error) && error.code === 'BEDS_STORE_TRANSACTION_ENDED'),
    );
  }

  /** Whether all of the open transaction is undone. n.b. of a table that knows none the server says that it keeps what was written. */
  async rollBack(): Promise<boolean> {
    if (!this.isAlive || this.isBusy || this.abandoned !== undefined) return true;
    try {
      const { warningStatus = 0 } = (await this.#answer<DriverResult>((resolve, reject) => {
        query(this.connection, 'ROLLBACK').then(resolve, reject);
      })) as DriverHeader;
      if (warningStatus === 0) return true;
      const warnings = await this.#rows('SHOW WARNINGS');
      return warnings.every(({ Code: code }) => code !== NOT_ROLLED_BACK);
    } catch {
      // The connection is gone, and the server rolls back what is open.
      return true;
    }
  }

  /** Whether a routine has sent a COMMIT of its own since the session was reset. n.b. asks the server. */
  async hasCommittedItself(): Promise<boolean> {
    return (await this.counted()).commits > this.#commits;
  }

  /** Statements since the session was reset, those within routines as well: the server counts them. */
  async counted(): Promise<Counted> {
    const rows = await this.#rows(COUNTED);
    const of = (...kinds: readonly string[]): number =>
      rows.reduce((sum, { Variable_name: name, Value: count }) => {
        return kinds.includes(String(name)) ? sum + Number(count) : sum;
      }, 0);
    return { commits: of('Com_commit'), tables: of(...CREATE_TABLE), writes: of(...WRITES) };
  }

  /**
   * Gives back what a server does not say was left behind. Whether there was more than an id: it is dirty then. And whether a routine has
   * sent a COMMIT of its own.
   */
  async tidy(): Promise<{ readonly isLeft: boolean; readonly hasCommitted?: boolean }> {
    const more = this.profile.isMariaDb ? `, (${LEFT_VARIABLES}) AS variables` : '';
    const [found] = await this.#rows(
      `SELECT RELEASE_ALL_LOCKS() AS locks, ${OWN_LOCK} AS own, LAST_INSERT_ID(0) AS id, CURRENT_ROLE() AS role${more}`,
    );
    const variables = this.profile.countsVariables ? await this.#countVariables() : found?.['variables'];
    // n.b. MariaDB and MySQL say nothing of `CREATE TEMPORARY TABLE … AS`.
    const counted = this.mode === 'read' ? undefined : await this.counted();
    const isLeft =
      found?.['role'] !== this.#role ||
      Number(found?.['locks']) > 1 ||
      Number(variables ?? 0) > 0 ||
      Number(counted?.tables) > 0;
    if (isLeft) this.isDirty = true;
    return counted === undefined ? { isLeft } : { isLeft, hasCommitted: counted.commits > this.#commits };
  }

  async #countVariables(): Promise<unknown> {
    try {
      const [rows] = (await this.#rows('CALL beds_left()')) as unknown as readonly (readonly DriverRow[])[];
      return rows?.[0]?.['variables'];
    } catch {
      // n.b. it may be made anew, or be gone: nobody's call fails for that, and the connection is not used again.
      return 1;
    }
  }

  async #rows(sql: string): Promise<readonly DriverRow[]> {
    return this.#answer((resolve, reject) => {
      query(this.connection, sql).then((result) => resolve(result as readonly DriverRow[]), reject);
    });
  }

  /** Whether the server has not answered all that was sent. */
  get isBusy(): boolean {
    return this.#pending.size > 0;
  }

  /** Resolves when the server has answered all that was sent, or the connection is gone. */
  async idle(): Promise<void> {
    if (this.isBusy) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** Its borrower waits no longer: rows are not kept, and nothing more is sent until it is reset. `told`: to stop. */
  abandon(told: Promise<unknown>): void {
    this.isDirty = true;
    this.meter.giveUp();
    this.abandoned = Promise.allSettled([told, this.idle()]);
  }

  /** Rolls back, drops temporary tables, locks, variables and prepared statements: COM_RESET_CONNECTION. */
  async reset(): Promise<void> {
    await this.#sent<void>((resolve, reject) => {
      this.connection.reset((error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    this.abandoned = undefined;
    this.mode = undefined;
    this.limitMs = undefined;
    this.isDirty = false;
    this.isUntidy = false;
    this.result = undefined;
    this.#isInTransaction = false;
    this.#isGuarded = false;
    this.#commits = 0;
    this.uses = 0;
    // n.b. no reset gives a session back the role that it had.
    const [found] = await this.#rows('SELECT CURRENT_ROLE() AS role');
    if (found?.['role'] !== this.#role) this.isOutdated = true;
  }

  destroy(): void {
    this.isAlive = false;
    this.connection.destroy();
    // n.b. mysql2's destroy() only half-closes, which leaves the socket of a frozen server open for ever.
    this.connection.stream.destroy();
    // n.b. mysql2 forgets the callbacks of a destroyed connection.
    for (const reject of this.#pending) reject(storeErrors.make('BEDS_STORE_UNAVAILABLE'));
    this.#onEnd?.(undefined);
  }

  /** n.b. told again where it does not end: then nobody waits for it any longer. */
  #refuse(error: BedsError): void {
    const isTold = this.refusal !== undefined;
    this.refusal ??= error;
    if (!isTold) this.#reject?.(error);
    if (isTold || !this.#isDrained) this.destroy();
  }

  #ended(end: StatementEnd): void {
    this.#end = end;
    this.#onEnd?.(end);
  }

  #answer<T>(send: Sent<T>): Promise<T> {
    return this.abandoned === undefined ? this.#sent(send) : Promise.reject(storeErrors.make('BEDS_STORE_TIMEOUT'));
  }

  #sent<T>(send: Sent<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (error: Error): void => {
        this.#answered(fail);
        this.isDirty = true;
        fromDriver.add(error);
        reject(error);
      };
      this.#pending.add(fail);
      send((value) => {
        this.#answered(fail);
        resolve(value);
      }, fail);
    });
  }

  #answered(fail: (error: Error) => void): void {
    this.#pending.delete(fail);
    if (this.#onIdle === undefined || this.isBusy) return;
    this.#onIdle();
    this.#onIdle = undefined;
  }

  // A plain SELECT ends in rows, whose status mysql2 does not give.
  #noteState(result: DriverResult, dirtyBits: number): number | undefined {
    const last: unknown = Array.isArray(result) ? result.at(-1) : result;
    if (typeof last !== 'object' || last === null || !('serverStatus' in last)) return undefined;
    const { serverStatus } = last as DriverHeader;
    if (!this.profile.tracksState || (serverStatus & dirtyBits) !== 0) this.isDirty = true;
    return serverStatus;
  }
}

type Sent<T> = (resolve: (value: T) => void, reject: (error: Error) => void) => void;

/** To two digits: what is left of equal deadlines differs by little, and shall not move the bound each time. */
function roundUp(timeoutMs: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(timeoutMs)) - 1);
  return Math.ceil(timeoutMs / step) * step;
}

/** What a parameter of a prepared statement takes besides its bytes, at least: its type and its length. */
const PARAMETER_BYTES = 3;
/** A character of JavaScript in UTF-8, at most. */
const MOST_CHARACTER_BYTES = 3;

/** Whether a server refuses the packet for sure. https://dev.mysql.com/doc/refman/8.4/en/packet-too-large.html */
function isLargerThan(maxBytes: number, sql: string, values: readonly unknown[] | undefined): boolean {
  const parts = values ?? [sql];
  let characters = parts.length * PARAMETER_BYTES;
  for (const part of parts) if (typeof part === 'string' || part instanceof Buffer) characters += part.length;
  if (characters * MOST_CHARACTER_BYTES < maxBytes) return false;
  let bytes = parts.length * PARAMETER_BYTES;
  for (const part of parts) {
    if (typeof part === 'string') bytes += Buffer.byteLength(part);
    else if (part instanceof Buffer) bytes += part.length;
  }
  return bytes >= maxBytes;
}

export interface ResultBounds {
  readonly maxResultRows: number;
  readonly maxResultBytes: number;
}

interface SessionBounds extends ResultBounds {
  /** `max_allowed_packet` of the connection: what the server had when it was opened. */
  readonly maxPacketBytes: number;
  /** That the account has from the start, as the server writes it. */
  readonly role: unknown;
}

/** Results below this are not weighed: most are. */
const LEAST_BYTES = 65_536;
/** What an object and each of its properties take besides their text, and what the driver keeps of each result set's columns. */
const OVERHEAD_BYTES = { row: 64, field: 16, set: 128, column: 512 } as const;
/** What the parts of JSON take that have hardly any text: `[[],[]]`. */
const JSON_PART_BYTES = 48;
const [COMMA, BRACKET, BRACE] = [0x2c, 0x5b, 0x7b];

/** Weighs the results of a connection while they arrive: the driver keeps whatever comes. */
class ResultMeter {
  readonly #bounds: ResultBounds;
  readonly #refuse: (error: BedsError) => void;
  #command: DriverCommand | undefined;
  #arrivedBytes = 0;
  #lookAtBytes = Infinity;
  #isRefused = false;
  /** Taken from the thread's budget for this statement. */
  #takenBytes = 0;
  /** The same, and for those before it that nobody has given back. */
  heldBytes = 0;

  /** `refuse` is called when a result is too large, and again each time as much of it has arrived once more. */
  constructor(bounds: ResultBounds, refuse: (error: BedsError) => void) {
    this.#bounds = bounds;
    this.#refuse = refuse;
  }

  begin(command: DriverCommand): void {
    this.#command = command;
    this.#arrivedBytes = 0;
    this.#lookAtBytes = LEAST_BYTES;
    this.#isRefused = false;
  }

  arrived(bytes: number): void {
    this.#arrivedBytes += bytes;
    if (this.#arrivedBytes >= this.#lookAtBytes) this.#look();
  }

  /** The statement is done. Gives what is wrong with the size of its result, unless that was told before. */
  ended(): BedsError | undefined {
    const command = this.#command;
    this.#command = undefined;
    this.#lookAtBytes = Infinity;
    if (command === undefined || this.#isRefused) return undefined;
    const isSmall = this.#arrivedBytes < LEAST_BYTES;
    const problem = this.#problem(command, isSmall ? 0 : this.#weightOf(command) + jsonWeightOf(command));
    if (problem === undefined) this.#takenBytes = 0;
    else this.#giveBack();
    return problem;
  }

  /** What was taken from the thread's budget since the last time: whoever asks gives it back. */
  handOver(): number {
    const bytes = this.heldBytes;
    this.heldBytes = 0;
    this.#takenBytes = 0;
    return bytes;
  }

  /** Nobody waits for the result any more. */
  giveUp(): void {
    this.#isRefused = true;
    this.#giveBack();
    if (this.#command !== undefined) discard(this.#command);
  }

  #giveBack(): void {
    resultBudget.giveBack(this.#takenBytes);
    this.heldBytes -= this.#takenBytes;
    this.#takenBytes = 0;
  }

  #look(): void {
    this.#lookAtBytes = this.#arrivedBytes + LEAST_BYTES;
    const command = this.#command;
    if (command === undefined) return;
    if (this.#isRefused) {
      discard(command);
      if (this.#arrivedBytes > 2 * this.#bounds.maxResultBytes) this.#refuse(this.#tooLarge());
      return;
    }
    const problem = this.#problem(command, this.#weightOf(command));
    if (problem === undefined) return;
    this.#isRefused = true;
    this.#giveBack();
    discard(command);
    this.#refuse(problem);
  }

  #weightOf(command: DriverCommand): number {
    let bytes = this.#arrivedBytes;
    command._rows.forEach((set, index) => {
      if (!Array.isArray(set)) return;
      const fields = command._fields[index]?.length ?? 0;
      bytes += OVERHEAD_BYTES.set + fields * OVERHEAD_BYTES.column;
      bytes += set.length * (OVERHEAD_BYTES.row + fields * OVERHEAD_BYTES.field);
    });
    return bytes;
  }

  /** Takes from the thread's budget what is needed beyond what was taken for this statement before. */
  #problem(command: DriverCommand, bytes: number): BedsError | undefined {
    const { maxResultBytes, maxResultRows } = this.#bounds;
    if (bytes > maxResultBytes || rowsOf(command) > maxResultRows) return this.#tooLarge();
    const more = bytes - this.#takenBytes;
    if (more <= 0) return undefined;
    if (!resultBudget.take(more)) {
      return storeErrors.make(
        'BEDS_STORE_OVERLOADED',
        'The results that requests hold now leave no room for this one.',
      );
    }
    this.#takenBytes += more;
    this.heldBytes += more;
    return undefined;
  }

  #tooLarge(): BedsError {
    const { maxResultRows, maxResultBytes } = this.#bounds;
    const most = `${maxResultRows.toLocaleString('en')} rows, or ${maxResultBytes.toLocaleString('en')} bytes of memory`;
    return storeErrors.make('BEDS_STORE_RESULT_TOO_LARGE', `The database gave more for one call than ${most}.`);
  }
}

function rowsOf({ _rows: sets }: DriverCommand): number {
  let rows = 0;
  for (const set of sets) if (Array.isArray(set)) rows += set.length;
  return rows;
}

/** n.b. the driver goes on adding to the last one. */
function discard({ _rows: sets }: DriverCommand): void {
  for (const set of sets) if (Array.isArray(set)) set.length = 0;
}

/** What becomes of text when it is parsed. */
function jsonWeightOf({ _rows: sets, _fields: fields }: DriverCommand): number {
  let parts = 0;
  sets.forEach((set, index) => {
    if (!Array.isArray(set)) return;
    for (const { name } of fields[index]?.filter(isJsonField) ?? []) {
      for (const row of set as readonly DriverRow[]) parts += partsOf(row[name]);
    }
  });
  return parts * JSON_PART_BYTES;
}

function partsOf(text: unknown): number {
  if (typeof text !== 'string') return 0;
  let parts = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === BRACKET || code === BRACE) parts += 1;
  }
  return parts;
}
