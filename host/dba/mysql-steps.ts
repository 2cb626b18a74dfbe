import type { Connection, RowDataPacket } from 'mysql2/promise';
import { dbaErrors } from '../errors/dba.js';
import type { ApplyChange, ChangeStep, KeptStep } from './change-domain.js';

/** Steps of a change as MySQL and MariaDB keep them and carry them out. */

export type Run =
  /** Statements, one message each. */
  | { readonly kind: 'sql'; readonly sql: readonly string[] }
  /** Rows, in batches, in the order of their key. */
  | {
      readonly kind: 'fill';
      readonly table: string;
      readonly key: readonly string[];
      readonly column: string;
      /** Over the row, whose alias is `target`. */
      readonly value: string;
      readonly isDone?: string;
    };

const BATCH_ROWS = 1_000;
/** A statement that waits for a table holds up everybody behind it: it waits briefly, and tries again. */
const WAIT_SECONDS = 3;
const MOST_TRIES = 20;
const PAUSE_MS = 500;
/** Lock wait timeout, deadlock. */
const AGAIN = [1205, 1213];
/**
 * What a statement is told that has been carried out already: it is there, or gone. Taken for done only where a process ended in the
 * middle of it. https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
 */
const DONE_BEFORE = [1050, 1051, 1060, 1061, 1091, 1304, 1305, 1359, 1360, 1826, 3821, 3822];

export const STEP_TABLE = `CREATE TABLE IF NOT EXISTS beds_change_step (
  domain VARCHAR(64) NOT NULL,
  step_no INT NOT NULL,
  step LONGTEXT NOT NULL,
  state ENUM('open', 'running', 'done') NOT NULL DEFAULT 'open',
  position TEXT NULL COMMENT 'Key of the last row of a batch, as JSON',
  rows_done BIGINT NOT NULL DEFAULT 0,
  started_at TIMESTAMP NULL,
  ended_at TIMESTAMP NULL,
  PRIMARY KEY (domain, step_no)
) CHARACTER SET utf8mb4`;

export async function readSteps(connection: Connection, domain: string): Promise<readonly KeptStep<Run>[]> {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT step_no, step, state, position, rows_done FROM beds_change_step WHERE domain = ? ORDER BY step_no',
    [domain],
  );
  return rows.map((row) => ({
    number: Number(row['step_no']),
    step: JSON.parse(String(row['step'])) as ChangeStep<Run>,
    state: row['state'] as KeptStep<Run>['state'],
    position: row['position'] as string | null,
    rows: Number(row['rows_done']),
  }));
}

export async function writeSteps(
  connection: Connection,
  domain: string,
  steps: readonly ChangeStep<Run>[],
): Promise<void> {
  await connection.query('DELETE FROM beds_change_step WHERE domain = ?', [domain]);
  for (const [index, step] of steps.entries())
    await connection.query('INSERT INTO beds_change_step (domain, step_no, step) VALUES (?, ?, ?)', [
      ...[domain, index + 1, JSON.stringify(step)],
    ]);
}

interface Performing {
  readonly domain: string;
  readonly onProgress: ApplyChange['onProgress'];
}

/** Throws what the server says, or BEDS_DBA_CHANGE_WAITS. */
export async function performStep(
  connection: Connection,
  kept: KeptStep<Run>,
  { domain, onProgress }: Performing,
): Promise<void> {
  const { number, step } = kept;
  await connection.query(`SET SESSION lock_wait_timeout = ${WAIT_SECONDS}, innodb_lock_wait_timeout = ${WAIT_SECONDS}`);
  try {
    if (step.run.kind === 'sql') await runStatements(connection, step.run.sql, kept.state === 'running');
    else await fillRows(connection, { run: step.run, kept, domain, onProgress });
  } catch (cause) {
    await connection.query('UNLOCK TABLES').catch(() => undefined);
    if (!isAgain(cause)) throw cause;
    throw dbaErrors.make('BEDS_DBA_CHANGE_WAITS', `Step ${number}, ${step.words}: others hold the table.`, { cause });
  }
}

async function runStatements(
  connection: Connection,
  statements: readonly string[],
  isAgainAfterKill: boolean,
): Promise<void> {
  for (const sql of statements) {
    try {
      await patiently(() => connection.query(sql));
    } catch (error) {
      const { errno = 0 } = error as { readonly errno?: number };
      if (!isAgainAfterKill || !DONE_BEFORE.includes(errno)) throw error;
    }
  }
}

interface Filling {
  readonly run: Extract<Run, { kind: 'fill' }>;
  readonly kept: KeptStep<Run>;
  readonly domain: string;
  readonly onProgress: ApplyChange['onProgress'];
}

/** n.b. where a batch ends is written in its own transaction, so that none is done twice and none is left out. */
async function fillRows(connection: Connection, { run, kept, domain, onProgress }: Filling): Promise<void> {
  const { table, key, column, value, isDone } = run;
  const id = (name: string): string => connection.escapeId(name);
  const keys = key.map((name) => `target.${id(name)}`);
  let position = kept.position === null ? undefined : (JSON.parse(kept.position) as readonly (string | number)[]);
  let rows = kept.rows;
  await connection.query('SET @beds_filling = 1');
  try {
    for (;;) {
      const after =
        position === undefined
          ? 'TRUE'
          : beyond(
              keys,
              position.map((each) => connection.escape(each)),
              '>',
            );
      const [found] = await connection.query<RowDataPacket[]>(
        `SELECT ${keys.join(', ')} FROM ${id(table)} AS target WHERE ${after} ORDER BY ${keys.join(', ')} LIMIT ${BATCH_ROWS}`,
      );
      const last = found.at(-1);
      if (last === undefined) return;
      const end = key.map((name) => last[name] as string | number);
      const upTo = beyond(
        keys,
        end.map((each) => connection.escape(each)),
        '<',
      );
      const open = isDone === undefined ? '' : ` AND (${isDone}) IS NOT TRUE`;
      rows += found.length;
      const batch = [JSON.stringify(end), rows, domain, kept.number];
      await patiently(async () => {
        await connection.beginTransaction();
        try {
          await connection.query(
            `UPDATE ${id(table)} AS target SET target.${id(column)} = ${value} WHERE ${after} AND ${upTo}${open}`,
          );
          await connection.query(
            'UPDATE beds_change_step SET position = ?, rows_done = ? WHERE domain = ? AND step_no = ?',
            batch,
          );
          await connection.commit();
        } catch (error) {
          await connection.rollback();
          throw error;
        }
      });
      position = end;
      onProgress({ type: 'rows', done: rows, words: kept.step.words });
    }
  } finally {
    await connection.query('SET @beds_filling = NULL').catch(() => undefined);
  }
}

/** n.b. written so that the first column of a key is a range of its index. */
function beyond(columns: readonly string[], values: readonly string[], sign: '<' | '>'): string {
  const [column = '', ...rest] = columns;
  const [value = '', ...others] = values;
  if (rest.length === 0) return `${column} ${sign === '>' ? '>' : '<='} ${value}`;
  return `(${column} ${sign}= ${value} AND (${column} ${sign} ${value} OR ${beyond(rest, others, sign)}))`;
}

function isAgain(error: unknown): boolean {
  return AGAIN.includes((error as { readonly errno?: number }).errno ?? 0);
}

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isAgain(error) || attempt >= MOST_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
