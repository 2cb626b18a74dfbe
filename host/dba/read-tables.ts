import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import type { MysqlColumn, MysqlTable, MysqlTables } from '#sdk/generate';
import { dbaErrors } from '../errors/dba.js';

const CONNECT_TIMEOUT_MS = 10_000;

type CatalogueRow = Readonly<Record<string, string | number | null>>;
type Ask = (sql: string, values: (string | string[])[]) => Promise<readonly CatalogueRow[]>;

const TABLES = `SELECT TABLE_NAME AS name, TABLE_COMMENT AS comment FROM information_schema.TABLES
WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME`;
const COLUMNS = `SELECT TABLE_NAME AS holder, COLUMN_NAME AS name, COLUMN_TYPE AS type, DATA_TYPE AS base,
  CHARACTER_MAXIMUM_LENGTH AS characters, NUMERIC_PRECISION AS digits, NUMERIC_SCALE AS scale, COLLATION_NAME AS collation,
  IS_NULLABLE AS optional, COLUMN_DEFAULT AS given, EXTRA AS extra, GENERATION_EXPRESSION AS computed, COLUMN_COMMENT AS comment
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (?) ORDER BY TABLE_NAME, ORDINAL_POSITION`;
const INDEXES = `SELECT TABLE_NAME AS holder, INDEX_NAME AS name, NON_UNIQUE AS plain, COLUMN_NAME AS part, SUB_PART AS beginning
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (?) ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`;
const REFERENCES = `SELECT k.TABLE_NAME AS holder, k.CONSTRAINT_NAME AS name, k.COLUMN_NAME AS part,
  k.REFERENCED_TABLE_NAME AS target, k.REFERENCED_COLUMN_NAME AS target_part, k.REFERENCED_TABLE_SCHEMA AS target_schema,
  r.DELETE_RULE AS on_delete
FROM information_schema.KEY_COLUMN_USAGE k
JOIN information_schema.REFERENTIAL_CONSTRAINTS r
  ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME
WHERE k.TABLE_SCHEMA = ? AND k.TABLE_NAME IN (?) ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION`;
const CHECKS_OF_MARIADB = `SELECT TABLE_NAME AS holder, CONSTRAINT_NAME AS name, CHECK_CLAUSE AS clause
FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME IN (?) ORDER BY TABLE_NAME, CONSTRAINT_NAME`;
const CHECKS_OF_MYSQL = `SELECT t.TABLE_NAME AS holder, c.CONSTRAINT_NAME AS name, c.CHECK_CLAUSE AS clause
FROM information_schema.CHECK_CONSTRAINTS c
JOIN information_schema.TABLE_CONSTRAINTS t
  ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME AND t.CONSTRAINT_TYPE = 'CHECK'
WHERE c.CONSTRAINT_SCHEMA = ? AND t.TABLE_NAME IN (?) AND t.ENFORCED = 'YES' ORDER BY t.TABLE_NAME, c.CONSTRAINT_NAME`;
const TRIGGERS = `SELECT TRIGGER_NAME AS name, CONCAT_WS(' ', ACTION_TIMING, EVENT_MANIPULATION, 'ON', EVENT_OBJECT_TABLE) AS words
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? AND EVENT_OBJECT_TABLE IN (?) ORDER BY TRIGGER_NAME`;
const VIEWS = `SELECT TABLE_NAME AS name, VIEW_DEFINITION AS body FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME`;
const ROUTINES = `SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS kind, ROUTINE_DEFINITION AS body
FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? ORDER BY ROUTINE_NAME`;
const PARAMETERS = `SELECT SPECIFIC_NAME AS holder, ROUTINE_TYPE AS kind, PARAMETER_MODE AS mode, PARAMETER_NAME AS name, DTD_IDENTIFIER AS type
FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = ? ORDER BY SPECIFIC_NAME, ORDINAL_POSITION`;

/**
 * What a database says of some of its tables, and what else has to do with them. In a transaction that the server lets write nothing.
 * A name that is no table is not among them. Throws BEDS_DBA_SERVER_UNAVAILABLE.
 */
export async function readTables(adminUrl: string, wanted: readonly string[]): Promise<MysqlTables> {
  const connection = await connect(adminUrl);
  try {
    await connection.query('START TRANSACTION READ ONLY');
    return await read(connection, { database: decodeURIComponent(new URL(adminUrl).pathname.slice(1)), wanted });
  } finally {
    await connection.end();
  }
}

async function connect(adminUrl: string): Promise<Connection> {
  try {
    const uri = adminUrl.replace(/^mariadb:/, 'mysql:');
    return await createConnection({ uri, connectTimeout: CONNECT_TIMEOUT_MS });
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE', undefined, { cause });
  }
}

async function read(
  connection: Connection,
  { database, wanted }: { readonly database: string; readonly wanted: readonly string[] },
): Promise<MysqlTables> {
  const ask: Ask = async (sql, values) => (await connection.query<(RowDataPacket & CatalogueRow)[]>(sql, values))[0];
  const [{ version } = { version: '' }] = await ask('SELECT VERSION() AS version', []);
  const isMariadb = /mariadb/i.test(text(version));
  const all = await ask(TABLES, [database]);
  const known = all.map(({ name }) => text(name));
  const names = wanted.filter((name) => known.includes(name));
  if (names.length === 0) return { tables: [], beside: [], known };
  const of: (string | string[])[] = [database, names];
  const columns = grouped(await ask(COLUMNS, of));
  const indexes = grouped(await ask(INDEXES, of));
  const references = grouped(await ask(REFERENCES, of));
  const checks = grouped(await ask(isMariadb ? CHECKS_OF_MARIADB : CHECKS_OF_MYSQL, of));
  const tables = names.map((name): MysqlTable => {
    const keys = byName(indexes.get(name) ?? []);
    return {
      name,
      comment: text(all.find((table) => table['name'] === name)?.['comment']),
      columns: (columns.get(name) ?? []).map((row) => columnOf(row, isMariadb)),
      primary: (keys.get('PRIMARY') ?? []).map(({ part }) => text(part)),
      indexes: [...keys].flatMap(([key, parts]) =>
        key === 'PRIMARY'
          ? []
          : [{ name: key, isUnique: Number(parts[0]?.['plain']) === 0, columns: parts.map(indexedColumn) }],
      ),
      references: [...byName(references.get(name) ?? [])].map(([key, parts]) => referenceOf(key, parts, database)),
      checks: (checks.get(name) ?? []).map((row) => ({
        name: text(row['name']),
        clause: expression(text(row['clause']), isMariadb),
      })),
    };
  });
  return { tables, known, beside: await readBeside(ask, { database, names }) };
}

function text(value: string | number | null | undefined): string {
  return value === null || value === undefined ? '' : String(value);
}

function count(value: string | number | null | undefined): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}

/** n.b. MySQL shows expressions with the quotation marks of their texts escaped once more. */
function expression(shown: string, isMariadb: boolean): string {
  return isMariadb ? shown : shown.replaceAll(/\\(.)/gs, '$1');
}

function grouped(rows: readonly CatalogueRow[], by = 'holder'): ReadonlyMap<string, readonly CatalogueRow[]> {
  const groups = new Map<string, CatalogueRow[]>();
  for (const row of rows) {
    const name = text(row[by]);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [row]);
    else group.push(row);
  }
  return groups;
}

const byName = (rows: readonly CatalogueRow[]): ReadonlyMap<string, readonly CatalogueRow[]> => grouped(rows, 'name');

function columnOf(row: CatalogueRow, isMariadb: boolean): MysqlColumn {
  const computed = expression(text(row['computed']), isMariadb);
  return {
    name: text(row['name']),
    type: text(row['type']),
    base: text(row['base']).toLowerCase(),
    characters: count(row['characters']),
    precision: count(row['digits']),
    scale: count(row['scale']),
    collation: row['collation'] === null ? undefined : text(row['collation']),
    isOptional: row['optional'] === 'YES',
    default: computed === '' ? defaultOf(row, isMariadb) : undefined,
    extra: text(row['extra']),
    generated: computed === '' ? undefined : computed,
    comment: text(row['comment']),
  };
}

/** n.b. MariaDB shows a default as an expression, MySQL a text as it is. */
function defaultOf({ given, extra }: CatalogueRow, isMariadb: boolean): MysqlColumn['default'] {
  if (given === null || given === undefined || (isMariadb && given === 'NULL')) return undefined;
  const isExpression = isMariadb || /DEFAULT_GENERATED/i.test(text(extra));
  return { text: isExpression ? expression(text(given), isMariadb) : text(given), isExpression };
}

function indexedColumn({ part, beginning }: CatalogueRow): string | undefined {
  return part === null || beginning !== null ? undefined : text(part);
}

function referenceOf(name: string, parts: readonly CatalogueRow[], database: string): MysqlTable['references'][number] {
  const [first = {}] = parts;
  const schema = text(first['target_schema']);
  const target = text(first['target']);
  return {
    name,
    columns: parts.map(({ part }) => text(part)),
    table: schema === database ? target : `${schema}.${target}`,
    to: parts.map((row) => text(row['target_part'])),
    onDelete: text(first['on_delete']),
  };
}

/** n.b. whose text the account may not see counts as one that has to do with them. */
async function readBeside(
  ask: Ask,
  { database, names }: { readonly database: string; readonly names: string[] },
): Promise<readonly string[]> {
  const words = new RegExp(
    `(?<![\\w$])(?:${names.map((name) => name.replaceAll(/[^\w]/g, '\\$&')).join('|')})(?![\\w$])`,
    'i',
  );
  const isAbout = ({ body }: CatalogueRow): boolean => body === null || words.test(text(body));
  const triggers = await ask(TRIGGERS, [database, names]);
  const views = (await ask(VIEWS, [database])).filter(isAbout);
  const routines = (await ask(ROUTINES, [database])).filter(isAbout);
  const parameters = await ask(PARAMETERS, [database]);
  const signature = ({ name, kind }: CatalogueRow): string => {
    const own = parameters.filter((row) => row['holder'] === name && row['kind'] === kind);
    const args = own
      .filter((row) => row['name'] !== null)
      .map((row) => [row['mode'], row['name'], row['type']].join(' ').trim());
    const result = own.find((row) => row['name'] === null);
    return `${text(kind)} ${text(name)} (${args.join(', ')})${result === undefined ? '' : ` RETURNS ${text(result['type'])}`}`;
  };
  return [
    ...triggers.map((row) => `TRIGGER ${text(row['name'])} ${text(row['words'])}`),
    ...views.map(({ name }) => `VIEW ${text(name)}`),
    ...routines.map(signature),
  ];
}
