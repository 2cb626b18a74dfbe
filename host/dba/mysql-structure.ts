import { createHash } from 'node:crypto';
import type { Connection, RowDataPacket } from 'mysql2/promise';

/**
 * What a database is made of, in the server's own words: SHOW CREATE TABLE says the same of the same table, so that two of one
 * server are compared as texts, part by part.
 */
export interface Structure {
  readonly tables: Readonly<Record<string, TableStructure>>;
  /** Hashes of what they do, by name. */
  readonly triggers: Readonly<Record<string, string>>;
  readonly routines: Readonly<Record<string, string>>;
  readonly views: Readonly<Record<string, string>>;
}

/** Definitions by name. */
export interface TableStructure {
  readonly columns: Readonly<Record<string, string>>;
  readonly keys: Readonly<Record<string, string>>;
  readonly references: Readonly<Record<string, string>>;
  readonly checks: Readonly<Record<string, string>>;
}

/** Names of the objects of one domain. */
export interface ObjectNames {
  readonly tables: readonly string[];
  readonly routines: readonly string[];
  readonly views: readonly string[];
}

export async function readStructure(
  connection: Connection,
  { database, names }: { readonly database: string; readonly names: ObjectNames },
): Promise<Structure> {
  const rows = async (sql: string, values: string[]): Promise<readonly Record<string, string>[]> =>
    (await connection.query<RowDataPacket[]>(sql, values))[0];
  const tables: Record<string, TableStructure> = {};
  const there = await rows(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE'`,
    [database],
  );
  for (const { name = '' } of there) {
    if (!names.tables.includes(name)) continue;
    const [row = {}] = await rows(
      `SHOW CREATE TABLE ${connection.escapeId(database)}.${connection.escapeId(name)}`,
      [],
    );
    tables[name] = parseTable(row['Create Table'] ?? '');
  }
  const triggers = await rows(
    `SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS holder, CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION, ' ', ACTION_STATEMENT) AS body
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ?`,
    [database],
  );
  const routines = await rows(
    'SELECT ROUTINE_NAME AS name, ROUTINE_DEFINITION AS body FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?',
    [database],
  );
  const views = await rows(
    'SELECT TABLE_NAME AS name, VIEW_DEFINITION AS body FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?',
    [database],
  );
  const hashed = (found: readonly Record<string, string>[], isOwn: (row: Record<string, string>) => boolean) =>
    Object.fromEntries(
      found
        .filter(isOwn)
        .map(({ name = '', body }) => [name, hashOf((body ?? '').replaceAll(`\`${database}\`.`, ''))] as const)
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  return {
    tables,
    triggers: hashed(triggers, ({ holder = '' }) => names.tables.includes(holder)),
    routines: hashed(routines, ({ name = '' }) => names.routines.includes(name)),
    views: hashed(views, ({ name = '' }) => names.views.includes(name)),
  };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** Of what SHOW CREATE TABLE answers: a part is a line. */
function parseTable(text: string): TableStructure {
  const table: { readonly [Part in keyof TableStructure]: Record<string, string> } = {
    ...{ columns: {}, keys: {}, references: {}, checks: {} },
  };
  for (const raw of text.split('\n').slice(1)) {
    if (raw.startsWith(')')) break;
    const line = raw.trim().replace(/,$/, '');
    const [, name = 'PRIMARY'] =
      /^(?:(?:UNIQUE |FULLTEXT |SPATIAL )?KEY |CONSTRAINT )?`((?:[^`]|``)+)`/.exec(line) ?? [];
    if (line.startsWith('`')) table.columns[name] = line.slice(name.length + 3);
    else if (/^CONSTRAINT `[^`]+` FOREIGN KEY/.test(line)) table.references[name] = line;
    else if (line.startsWith('CONSTRAINT ')) table.checks[name] = line;
    else table.keys[name] = line.replace(/ COMMENT '(?:[^'\\]|\\.|'')*'$/, '');
  }
  return table;
}

/** A column as the server writes it, taken apart. */
export interface ColumnParts {
  /** `varchar`, `decimal` */
  readonly base: string;
  /** Numbers of a type, or the words of an enum. */
  readonly size: readonly string[];
  readonly isUnsigned: boolean;
  /** Character set and collation, as far as they are not those of the table. */
  readonly collation: string;
  readonly isRequired: boolean;
  readonly default: string | undefined;
  readonly isGenerated: boolean;
  readonly isNumbered: boolean;
}

const TEXT = `'(?:[^'\\\\]|\\\\.|'')*'`;

export function partsOf(definition: string): ColumnParts {
  const [, base = '', size = ''] = new RegExp(`^(\\w+)(?:\\(((?:${TEXT}|[^)'])*)\\))?`).exec(definition) ?? [];
  const outside = definition.replaceAll(new RegExp(TEXT, 'g'), "''");
  const [, collation = ''] = /(?: CHARACTER SET (\S+)(?: COLLATE \S+)?)/.exec(outside) ?? [];
  const [, given] = new RegExp(` DEFAULT (${TEXT}|\\([^ ]*\\)|\\S+)`).exec(definition) ?? [];
  return {
    base: base.toLowerCase(),
    size: size === '' ? [] : [...size.matchAll(new RegExp(`${TEXT}|[^,]+`, 'g'))].map(([part]) => part),
    isUnsigned: / unsigned\b/.test(outside),
    collation,
    isRequired: / NOT NULL\b/.test(outside),
    default: given === 'NULL' ? undefined : given,
    isGenerated: / (?:GENERATED ALWAYS )?AS \(/.test(outside),
    isNumbered: / AUTO_INCREMENT\b/.test(outside),
  };
}

/** The column where a value may be absent. */
export function optionalColumn(definition: string): string {
  const [head = '', ...rest] = splitOutside(definition, ' NOT NULL');
  return rest.length === 0 ? definition : `${head} NULL${rest.join(' NOT NULL')}`;
}

function splitOutside(text: string, at: string): readonly string[] {
  const masked = text.replaceAll(new RegExp(TEXT, 'g'), (found) => '\0'.repeat(found.length));
  const index = masked.indexOf(at);
  return index === -1 ? [text] : [text.slice(0, index), text.slice(index + at.length)];
}

const INTEGERS = ['tinyint', 'smallint', 'mediumint', 'int', 'bigint'];

/** Whether every value of one fits into the other; undefined where they are of two kinds. */
export function compareTypes(from: ColumnParts, to: ColumnParts): 'same' | 'wider' | 'narrower' | undefined {
  if (from.collation !== to.collation) return undefined;
  const both = [from.base, to.base];
  if (both.every((base) => INTEGERS.includes(base)) && from.isUnsigned === to.isUnsigned) {
    const step = INTEGERS.indexOf(to.base) - INTEGERS.indexOf(from.base);
    // n.b. the number in brackets is how wide MariaDB shows it.
    return step === 0 ? 'same' : step > 0 ? 'wider' : 'narrower';
  }
  if (from.base !== to.base) {
    const texts = ['varchar', 'text', 'mediumtext', 'longtext'];
    const step = texts.indexOf(to.base) - texts.indexOf(from.base);
    return both.every((base) => texts.includes(base)) ? (step > 0 ? 'wider' : 'narrower') : undefined;
  }
  return compareSizes(from, to);
}

function compareSizes(from: ColumnParts, to: ColumnParts): 'same' | 'wider' | 'narrower' {
  if (from.base === 'enum') {
    if (from.size.join() === to.size.join()) return 'same';
    return from.size.every((word) => to.size.includes(word)) ? 'wider' : 'narrower';
  }
  const [was, is] = [from.size.map(Number), to.size.map(Number)];
  if (was.join() === is.join() && from.isUnsigned === to.isUnsigned) return 'same';
  if (from.base === 'decimal') {
    const whole = (is[0] ?? 10) - (is[1] ?? 0) - ((was[0] ?? 10) - (was[1] ?? 0));
    return whole >= 0 && (is[1] ?? 0) >= (was[1] ?? 0) ? 'wider' : 'narrower';
  }
  return (is[0] ?? 0) >= (was[0] ?? 0) ? 'wider' : 'narrower';
}
