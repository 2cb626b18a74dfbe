import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { dbaErrors } from '../errors/dba.js';
import type { DomainObjects, Granted, ObjectFile, Grantee, StoreAdministrator } from './contract.js';

const CONNECT_TIMEOUT_MS = 10_000;

const APPLIED = `CREATE TABLE IF NOT EXISTS beds_applied (
  file VARCHAR(255) NOT NULL PRIMARY KEY,
  sha256 CHAR(64) NOT NULL,
  applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
)`;
const GRANTED = `SELECT User AS user, Host AS host, Routine_type AS kind, Routine_name AS name FROM mysql.procs_priv
WHERE Db = ? AND Routine_name IN (?) AND FIND_IN_SET('Execute', Proc_priv)`;
const RECORD = 'INSERT INTO beds_applied (file, sha256) VALUES (?, ?) ON DUPLICATE KEY UPDATE sha256 = VALUES(sha256)';

/**
 * Tells the runtime account, which may not read tables, how the server would read a view of this database: for each column its name, the
 * plan of a filter and the plan of an order. It reads no row. n.b. a small table is sorted unless an index has all that is asked for, and
 * MySQL 9 explains in another format by default.
 */
const EXPLAIN = `DROP PROCEDURE IF EXISTS beds_explain;
CREATE PROCEDURE beds_explain (IN view_name VARCHAR(64)) READS SQL DATA SQL SECURITY DEFINER
BEGIN
  DECLARE is_over BOOLEAN DEFAULT FALSE;
  DECLARE name, type VARCHAR(64);
  DECLARE found CURSOR FOR
    SELECT c.COLUMN_NAME, c.DATA_TYPE FROM information_schema.COLUMNS c
    JOIN information_schema.VIEWS v ON v.TABLE_SCHEMA = c.TABLE_SCHEMA AND v.TABLE_NAME = c.TABLE_NAME
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = view_name AND c.DATA_TYPE <> 'vector'
    ORDER BY c.ORDINAL_POSITION;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET is_over = TRUE;
  SET @beds_view = CONCAT('\`', REPLACE(view_name, '\`', '\`\`'), '\`');
  OPEN found;
  every_column: LOOP
    FETCH found INTO name, type;
    IF is_over THEN LEAVE every_column; END IF;
    SELECT name AS beds_column;
    SET @beds_column = CONCAT('\`', REPLACE(name, '\`', '\`\`'), '\`');
    SET @beds_sql = CONCAT('EXPLAIN FORMAT=TRADITIONAL SELECT 1 FROM ', @beds_view, ' WHERE ', @beds_column, ' = ',
      IF(type IN ('date', 'datetime', 'timestamp'), QUOTE('2000-01-01'), QUOTE('1')));
    PREPARE beds_plan FROM @beds_sql; EXECUTE beds_plan; DEALLOCATE PREPARE beds_plan;
    SET @beds_sql = CONCAT('EXPLAIN FORMAT=TRADITIONAL SELECT ', @beds_column, ' FROM ', @beds_view, ' ORDER BY ', @beds_column, ' LIMIT 1');
    PREPARE beds_plan FROM @beds_sql; EXECUTE beds_plan; DEALLOCATE PREPARE beds_plan;
  END LOOP;
  CLOSE found;
END`;

/**
 * Ends what a connection of the runtime account works on. While a routine runs, its connection is its definer's, and the server refuses
 * the account's own KILL; by the lock that each connection of the host has, the account's own are known, and no others are ended.
 */
export const STOP = `DROP PROCEDURE IF EXISTS beds_stop;
CREATE PROCEDURE beds_stop (IN connection BIGINT UNSIGNED) NO SQL SQL SECURITY DEFINER
BEGIN
  DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;
  IF IS_USED_LOCK(LEFT(CONCAT('beds:', connection, ':', SUBSTRING_INDEX(USER(), '@', 1)), 64)) = connection THEN
    KILL QUERY connection;
  END IF;
END`;

/**
 * Tells the runtime account how many variables routines have left in its own session. n.b. MySQL shows variables to nobody but those who
 * may see everybody's; MariaDB shows each session its own.
 */
export const LEFT = `DROP PROCEDURE IF EXISTS beds_left;
CREATE PROCEDURE beds_left () READS SQL DATA SQL SECURITY DEFINER
SELECT COUNT(*) AS variables FROM performance_schema.user_variables_by_thread
WHERE THREAD_ID = PS_CURRENT_THREAD_ID() AND VARIABLE_NAME <> 'beds'`;

/** MySQL and MariaDB. Throws BEDS_DBA_SERVER_UNAVAILABLE. */
export async function administerMysql(adminUrl: string): Promise<StoreAdministrator> {
  try {
    // n.b. several statements in one text only here, on the DBA's own files: it is what makes DELIMITER unnecessary.
    const uri = adminUrl.replace(/^mariadb:/, 'mysql:');
    const connection = await createConnection({ uri, multipleStatements: true, connectTimeout: CONNECT_TIMEOUT_MS });
    await connection.query(APPLIED);
    return new MysqlAdministrator(connection, decodeURIComponent(new URL(adminUrl).pathname.slice(1)));
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
}

class MysqlAdministrator implements StoreAdministrator {
  readonly #connection: Connection;
  readonly #database: string;

  constructor(connection: Connection, database: string) {
    this.#connection = connection;
    this.#database = database;
  }

  async apply(file: ObjectFile, { force }: { readonly force: boolean }): Promise<'applied' | 'unchanged'> {
    if (/^\s*DELIMITER\b/im.test(file.text)) {
      const message = `${file.name}: DELIMITER is a word of the mysql client; write one routine to a file, without it.`;
      throw dbaErrors.make('BEDS_DBA_FILE_INVALID', message);
    }
    if (!force && (await this.#isApplied(file))) return 'unchanged';
    try {
      await this.#replace(createdObjects(file.text), file.text);
      await this.#connection.query(RECORD, [file.name, file.sha256]);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw dbaErrors.make('BEDS_DBA_APPLY_FAILED', `${file.name}: ${reason}`, { cause });
    }
    return 'applied';
  }

  /**
   * By convention, so that nobody has to keep a list: EXECUTE on every routine and SELECT on every view that the files
   * create, except those whose names begin with `_`. Every time: replacing a routine takes its grants away.
   */
  async grant(domains: readonly DomainObjects[], { user: name, password }: Grantee): Promise<Granted> {
    const created = domains.flatMap(({ files }) => files.flatMap(({ text }) => createdObjects(text)));
    const objects = created.filter(({ name }) => !isInternal(name));
    const [account = name, host = '%'] = name.split('@');
    const user = `${this.#connection.escape(account)}@${this.#connection.escape(host)}`;
    try {
      if (password !== undefined) {
        const secret = this.#connection.escape(password);
        await this.#connection.query(`CREATE USER IF NOT EXISTS ${user} IDENTIFIED BY ${secret}`);
        await this.#connection.query(`ALTER USER ${user} IDENTIFIED BY ${secret}`);
      }
      const own = { beds_explain: EXPLAIN, beds_stop: STOP, ...((await this.#isMariaDb()) ? {} : { beds_left: LEFT }) };
      for (const [routine, text] of Object.entries(own)) {
        await this.#replace([{ kind: 'PROCEDURE', name: routine }], text);
        await this.#connection.query(`GRANT ${this.#right({ kind: 'PROCEDURE', name: routine })} TO ${user}`);
      }
      for (const object of objects) await this.#connection.query(`GRANT ${this.#right(object)} TO ${user}`);
    } catch (cause) {
      throw dbaErrors.make('BEDS_DBA_ACCOUNT_FAILED', reasonWithout(cause, password), { cause });
    }
    const views = objects.filter(({ kind }) => kind === 'VIEW').length;
    const words = `account ${name}: EXECUTE on ${objects.length - views} routines, SELECT on ${views} views, no table`;
    return { account: true, words };
  }

  async close(): Promise<void> {
    await this.#connection.end();
  }

  async #isMariaDb(): Promise<boolean> {
    const [rows] = await this.#connection.query<RowDataPacket[]>('SELECT VERSION() AS version');
    return /mariadb/i.test(String(rows[0]?.['version']));
  }

  /** Dropping a routine takes its grants away: the accounts of other hosts, which serve with the one before, keep theirs. */
  async #replace(objects: readonly CreatedObject[], text: string): Promise<void> {
    const routines = objects.filter(({ kind }) => kind !== 'VIEW');
    const granted = routines.length === 0 ? [] : await this.#grantsOf(routines.map(({ name }) => name));
    await this.#connection.query(text);
    for (const { user, host, ...routine } of granted) {
      if (!routines.some(({ kind, name }) => kind === routine.kind && name === routine.name)) continue;
      const to = `${this.#connection.escape(user)}@${this.#connection.escape(host)}`;
      await this.#connection.query(`GRANT ${this.#right(routine)} TO ${to}`);
    }
  }

  /** n.b. an administrator of one database only may not see who has which. */
  async #grantsOf(routines: readonly string[]): Promise<readonly GrantedRoutine[]> {
    const asked = this.#connection.query<(RowDataPacket & GrantedRoutine)[]>(GRANTED, [this.#database, routines]);
    const [rows] = await asked.catch((): [readonly GrantedRoutine[]] => [[]]);
    return rows;
  }

  #right({ kind, name }: CreatedObject): string {
    const target = `${this.#connection.escapeId(this.#database)}.${this.#connection.escapeId(name)}`;
    return kind === 'VIEW' ? `SELECT ON ${target}` : `EXECUTE ON ${kind} ${target}`;
  }

  async #isApplied({ name, sha256 }: ObjectFile): Promise<boolean> {
    const query = 'SELECT 1 FROM beds_applied WHERE file = ? AND sha256 = ?';
    const [rows] = await this.#connection.query<RowDataPacket[]>(query, [name, sha256]);
    return rows.length > 0;
  }
}

interface GrantedRoutine extends CreatedObject {
  readonly user: string;
  readonly host: string;
}

function reasonWithout(cause: unknown, secret: string | undefined): string {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return secret === undefined ? reason : reason.replaceAll(secret, '***');
}

/** A procedure, function or view that a file creates. */
export interface CreatedObject {
  readonly kind: 'PROCEDURE' | 'FUNCTION' | 'VIEW';
  readonly name: string;
}

/** Comments and texts in quotes: what they say creates nothing. */
const SILENT = /--[ \t][^\n]*|#[^\n]*|\/\*(?!!)[\s\S]*?\*\/|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"/g;
const CREATE =
  /\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:ALGORITHM\s*=\s*\w+|DEFINER\s*=\s*\S+|SQL\s+SECURITY\s+\w+)\s+)*(PROCEDURE|FUNCTION|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?`?([A-Za-z0-9_$]+)`?/gi;

/** Whether a name says that the object is for the DBA's other objects only. */
function isInternal(name: string): boolean {
  return name.startsWith('_');
}

/** The objects that the statements of a file create, in their order. */
export function createdObjects(sql: string): readonly CreatedObject[] {
  const spoken = sql.replaceAll(SILENT, ' ');
  return [...spoken.matchAll(CREATE)].map(([, kind = '', name = '']) => ({
    kind: kind.toUpperCase() as CreatedObject['kind'],
    name,
  }));
}
