import type { JsonObject, ValueType } from '@beds/sdk';
import type { GivenParameter, NamedObject, NamedValue } from '../contract.js';
import type { DriverRow } from './driver.js';
import { charactersOf, GEOMETRIES, setOf, wordOf } from './values.js';

/** Objects with other names are not offered: names go into statements, where only these need no thought. */
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** Names that the driver gives no value of: every object of JavaScript has them. */
const OF_OBJECTS = /^__(?:proto|(?:define|lookup)[GS]etter)__$/;

function isName(name: string): boolean {
  return IDENTIFIER.test(name) && !OF_OBJECTS.test(name);
}

/** Runs a catalogue query with values. */
export type ReadCatalogue = (sql: string, values: readonly unknown[]) => Promise<readonly DriverRow[]>;

type Fields = Readonly<Record<string, string | number | null>>;

/**
 * Reads the named objects of one database that the runtime account may see. Base tables are never among them, granted or
 * not. A name that is given to several objects, or that uses what BEDS cannot serve, says so in `native.notSupported`.
 */
export async function readCatalogue(
  read: ReadCatalogue,
  database: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, NamedObject>> {
  const found: NamedObject[] = [];
  // n.b. one after the other: they share a connection.
  for (const wanted of batchesOf(names)) found.push(...(await readSome(read, database, wanted)));
  return unambiguous(found);
}

/** What `beds db apply` makes for the host. */
const OWN = new Set(['beds_explain', 'beds_left', 'beds_stop']);

/** The names of the views and routines of a database that the account may see, without what BEDS has made for itself. */
export async function readNames(read: ReadCatalogue, database: string): Promise<readonly string[]> {
  const rows = await read(NAMES, [database, database]);
  return rows.map(({ name }) => String(name)).filter((name) => IDENTIFIER.test(name) && !OWN.has(name));
}

const NAMES = `SELECT TABLE_NAME AS name FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'VIEW'
  UNION SELECT ROUTINE_NAME FROM INFORMATION_SCHEMA.ROUTINES
  WHERE ROUTINE_SCHEMA = ? AND ROUTINE_TYPE IN ('PROCEDURE', 'FUNCTION') ORDER BY name`;

/** A prepared statement has 65,535 values at most. */
const MOST_NAMES = 1_000;

/** n.b. of two names that differ in case only MariaDB looks for the first, and finds neither where that one is not there. */
function batchesOf(names: readonly string[]): readonly (readonly string[])[] {
  const batches: Map<string, string>[] = [];
  for (const name of new Set(names)) {
    if (!IDENTIFIER.test(name)) continue;
    const key = name.toLowerCase();
    const roomy = batches.find((batch) => batch.size < MOST_NAMES && !batch.has(key));
    if (roomy === undefined) batches.push(new Map([[key, name]]));
    else roomy.set(key, name);
  }
  return batches.map((batch) => [...batch.values()]);
}

async function readSome(
  read: ReadCatalogue,
  database: string,
  wanted: readonly string[],
): Promise<readonly NamedObject[]> {
  const marks = wanted.map(() => '?').join(',');
  const values = [database, ...wanted];
  const views = await read(`${COLUMNS} AND c.TABLE_NAME IN (${marks}) ORDER BY c.ORDINAL_POSITION`, values);
  // In one statement, so that a routine that is replaced meanwhile is not seen with the parameters of another moment.
  const routines = await read(
    `${ROUTINES} AND ROUTINE_NAME IN (${marks}) UNION ALL ${PARAMETERS} AND SPECIFIC_NAME IN (${marks}) ORDER BY position`,
    [...values, ...values],
  );
  const columnsOfViews = groupBy(views as readonly Fields[], 'object');
  const collations = await readCollations(read, database, columnsOfViews);
  const found = [
    ...columnsOfViews.flatMap(([name, columns]) => {
      const sorted = columns.map((column) => ({
        ...column,
        collation: collations.get(`${name} ${column['name']}`) ?? column['collation'] ?? null,
      }));
      return namesOf(name, columns, wanted).map((asked) => readView(database, asked, sorted));
    }),
    ...groupBy(routines as readonly Fields[], 'object').flatMap(([, rows]) => readRoutines(database, rows)),
  ];
  const asked = new Set(wanted);
  return found.filter(({ name }) => asked.has(name));
}

/** n.b. MariaDB compares their texts without padding and sorts them with it: a page would leave out what begins with a tab. */
const BY_BYTES = "'utf8mb4_nopad_bin', 'utf8mb4_0900_bin'";
/**
 * n.b. what ends with a space is sorted after what it is equal to, and hyphens and tabs are sorted elsewhere than they are compared: a page
 * would leave out what lies between.
 */
const BY_CODES = "'cp1250_czech_cs', 'latin7_estonian_cs', 'latin7_general_ci', 'latin7_general_cs'";
const COLUMNS = `SELECT c.TABLE_NAME AS object, c.COLUMN_NAME AS name, c.DATA_TYPE AS dataType,
  c.COLUMN_TYPE AS fullType, c.IS_NULLABLE AS nullable, c.CHARACTER_MAXIMUM_LENGTH AS maxLength,
  c.COLLATION_NAME AS collation, @@lower_case_table_names > 0 AS anyCase,
  VERSION() NOT LIKE '%MariaDB%' AND c.COLLATION_NAME LIKE 'utf8mb4%' AS remembered, VERSION() LIKE '%MariaDB%' AND c.COLLATION_NAME IN (${BY_BYTES}) AS byBytes,
  c.COLLATION_NAME IN (${BY_CODES}) AS byCodes
  FROM INFORMATION_SCHEMA.COLUMNS c JOIN INFORMATION_SCHEMA.TABLES t
    ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME AND t.TABLE_TYPE = 'VIEW'
  WHERE c.TABLE_SCHEMA = ?`;
const ROUTINES = `SELECT SPECIFIC_NAME AS object, ROUTINE_TYPE AS kind, -1 AS position, NULL AS mode, NULL AS name,
  NULL AS dataType, NULL AS fullType, NULL AS maxLength, NULL AS collation, SQL_DATA_ACCESS AS access
  FROM INFORMATION_SCHEMA.ROUTINES WHERE ROUTINE_SCHEMA = ? AND ROUTINE_TYPE IN ('PROCEDURE', 'FUNCTION')`;
const PARAMETERS = `SELECT SPECIFIC_NAME AS object, ROUTINE_TYPE AS kind, ORDINAL_POSITION AS position,
  PARAMETER_MODE AS mode, PARAMETER_NAME AS name, DATA_TYPE AS dataType, DTD_IDENTIFIER AS fullType,
  CHARACTER_MAXIMUM_LENGTH AS maxLength, COLLATION_NAME AS collation, NULL AS access
  FROM INFORMATION_SCHEMA.PARAMETERS WHERE SPECIFIC_SCHEMA = ?`;

/**
 * The collations by which the server sorts texts, by view and column. n.b. MySQL remembers of a view the collation that CAST(… AS CHAR) had
 * for its DBA, and makes one with that of the character set whenever it is read.
 */
async function readCollations(
  read: ReadCatalogue,
  database: string,
  views: readonly (readonly [string, readonly Fields[]])[],
): Promise<ReadonlyMap<string, string>> {
  const texts = views.flatMap(([view, columns]) => {
    const names = columns
      .filter(({ name, remembered }) => remembered === 1 && isName(String(name)))
      .map(({ name }) => String(name));
    return names.length === 0 ? [] : [{ view, names }];
  });
  const collations = new Map<string, string>();
  for (const { view, names } of texts) {
    const shown = names.map((name) => `COLLATION(\`${view}\`.\`${name}\`) AS \`${name}\``).join(', ');
    const sql = `SELECT ${shown} FROM (SELECT 1) AS beds LEFT JOIN \`${database}\`.\`${view}\` ON FALSE`;
    // n.b. one that cannot be read says so to its first reader.
    const [found = {}] = await read(sql, []).catch(() => []);
    for (const name of names) if (typeof found[name] === 'string') collations.set(`${view} ${name}`, found[name]);
  }
  return collations;
}

/**
 * The names by which a view is asked for. n.b. a server on Windows or macOS, or one that is set so, takes them in any case, and may keep
 * them in lower case: a template that runs elsewhere writes them as the DBA did.
 * https://dev.mysql.com/doc/refman/8.4/en/identifier-case-sensitivity.html
 */
function namesOf(name: string, [column]: readonly Fields[], wanted: readonly string[]): readonly string[] {
  if (column?.['anyCase'] !== 1) return [name];
  return wanted.filter((asked) => asked.toLowerCase() === name.toLowerCase());
}

function readView(database: string, name: string, rows: readonly Fields[]): NamedObject {
  const usable = rows.filter((row) => isName(String(row['name'])) && carries(row));
  const columns = usable.map((row): NamedValue => ({
    ...namedValue(typeOf(row)),
    nullable: row['nullable'] === 'YES',
    ...(row['byBytes'] === 1 && { byBytes: true as const }),
    ...(row['byCodes'] === 1 && { byCodes: true as const }),
  }));
  const others = rows
    .filter((row) => !usable.includes(row))
    .map((row) => [String(row['name']), String(row['fullType'])]);
  const uncarried = others.length === 0 ? {} : { uncarried: Object.fromEntries(others) as JsonObject };
  return { kind: 'view', name, columns, native: { database, ...uncarried } };
}

/** Of the rows of one name: a function and a procedure may both have it. */
function readRoutines(database: string, rows: readonly Fields[]): readonly NamedObject[] {
  return rows
    .filter((row) => Number(row['position']) < 0)
    .map((routine) =>
      readRoutine(
        database,
        routine,
        rows.filter((row) => row['kind'] === routine['kind']),
      ),
    );
}

function readRoutine(database: string, routine: Fields, own: readonly Fields[]): NamedObject {
  const name = String(routine['object']);
  const kind = routine['kind'] === 'FUNCTION' ? 'function' : 'procedure';
  // Position 0 is what a function returns.
  const rows = own.filter((row) => Number(row['position']) > 0);
  const returned = own.find((row) => Number(row['position']) === 0);
  const args = rows
    .filter((row) => row['mode'] !== 'OUT')
    .map((row): NamedValue => {
      const value = namedValue(typeOf(row));
      // A routine cannot say that a parameter may be left out; it always takes null.
      return { ...value, nativeType: value.nativeType + characterSet(row), nullable: true };
    });
  const gives = rows.flatMap((row, place) => (row['mode'] === 'IN' ? [] : [givenParameter(row, place)]));
  const returns =
    returned === undefined
      ? {}
      : { returns: valueType(typeOf(returned)) ?? 'string', returned: wordOf(String(returned['dataType'])) };
  const onlyReads = ONLY_READ.has(String(routine['access'])) && { onlyReads: true };
  const native: JsonObject = { database, ...returns, ...onlyReads, ...problem(kind, rows) };
  return { kind, name, args, ...(gives.length > 0 && { gives }), native };
}

/** What a DBA says of a routine that writes no table. n.b. CONTAINS SQL is what is said of one of which nobody says anything. */
const ONLY_READ = new Set(['READS SQL DATA', 'NO SQL']);

/** n.b. its type is that of a variable: the catalogue of MariaDB writes no character set into it. */
function givenParameter(row: Fields, place: number): GivenParameter {
  const { collation, mode } = row;
  const set =
    typeof collation === 'string' ? ` CHARACTER SET ${collation.replace(/_.*/, '')} COLLATE ${collation}` : '';
  const value = namedValue(typeOf(row));
  return { ...value, nativeType: value.nativeType + set, nullable: true, place, isArgument: mode === 'INOUT' };
}

/** n.b. the catalogue of MariaDB writes it into no type. */
function characterSet({ dataType, collation }: Fields): string {
  if (!BOUNDED.has(String(dataType)) || typeof collation !== 'string' || collation.startsWith('utf8mb4')) return '';
  return ` character set ${setOf(collation)}`;
}

function problem(kind: NamedObject['kind'], rows: readonly Fields[]): JsonObject {
  const out = kind === 'function' ? rows.find((row) => row['mode'] !== 'IN') : undefined;
  if (out !== undefined) {
    return {
      notSupported: `its parameter ${out['name']} is ${out['mode']}; only a procedure may give parameters back`,
    };
  }
  const unnamed = rows.find((row) => !isName(String(row['name'])));
  if (unnamed !== undefined)
    return { notSupported: `parameter ${unnamed['position']} has a name that BEDS cannot use` };
  const foreign = rows.find((row) => !carries(row));
  if (foreign === undefined) return {};
  return { notSupported: `its parameter ${foreign['name']} is ${foreign['fullType']}, which BEDS cannot carry` };
}

function carries(row: Fields): boolean {
  return valueType(typeOf(row)) !== undefined;
}

function typeOf(row: Fields): CatalogueType {
  return {
    name: String(row['name']),
    dataType: String(row['dataType']),
    fullType: String(row['fullType']),
    maxLength: row['maxLength'] ?? null,
    collation: row['collation'] === null ? null : String(row['collation']),
  };
}

function unambiguous(found: readonly NamedObject[]): ReadonlyMap<string, NamedObject> {
  const objects = new Map<string, NamedObject>();
  for (const object of found) {
    const other = objects.get(object.name);
    const native = { ...object.native, notSupported: `its name is that of a ${other?.kind} as well; rename one` };
    objects.set(object.name, other === undefined ? object : { ...object, native });
  }
  return objects;
}

function groupBy(rows: readonly Fields[], column: string): readonly (readonly [string, readonly Fields[]])[] {
  const groups = new Map<string, Fields[]>();
  for (const row of rows) {
    const name = String(row[column]);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [row]);
    else group.push(row);
  }
  return [...groups];
}

/** The parts of INFORMATION_SCHEMA.COLUMNS and PARAMETERS that describe a type. */
export interface CatalogueType {
  readonly name: string;
  readonly dataType: string;
  /** As written by the DBA: `int(11) unsigned`. */
  readonly fullType: string;
  readonly maxLength: number | string | null;
  readonly collation: string | null;
}

const TYPES: Readonly<Record<string, ValueType>> = {
  tinyint: 'integer',
  smallint: 'integer',
  mediumint: 'integer',
  int: 'integer',
  bigint: 'integer',
  year: 'integer',
  float: 'number',
  double: 'number',
  decimal: 'decimal',
  date: 'date',
  datetime: 'datetime',
  timestamp: 'datetime',
  json: 'json',
  char: 'string',
  varchar: 'string',
  tinytext: 'string',
  text: 'string',
  mediumtext: 'string',
  longtext: 'string',
  binary: 'binary',
  varbinary: 'binary',
  tinyblob: 'binary',
  blob: 'binary',
  mediumblob: 'binary',
  longblob: 'binary',
  bit: 'integer',
  vector: 'json',
  ...Object.fromEntries([...GEOMETRIES].map((word) => [word, 'json'] as const)),
  enum: 'string',
  set: 'string',
  time: 'string',
  uuid: 'string',
  inet4: 'string',
  inet6: 'string',
};

/** Bits of the whole numbers that are exact in JavaScript. */
const BITS: Readonly<Record<string, number>> = { tinyint: 8, smallint: 16, mediumint: 24, int: 32 };
// TIME has no type of ours; its text form and the lengths of `enum` say nothing of what may be sent.
const BOUNDED = new Set(['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext']);

/** How a type of the database is spoken of above the adapters; undefined where BEDS cannot carry its values. */
function valueType({ dataType, fullType, collation }: CatalogueType): ValueType | undefined {
  const type = dataType.toLowerCase();
  if (/^(?:tinyint|bit)\(1\)/i.test(fullType)) return 'boolean';
  // MariaDB keeps JSON as LONGTEXT of this collation: https://mariadb.com/kb/en/json-data-type/
  if (type === 'longtext' && collation === 'utf8mb4_bin') return 'json';
  // n.b. MySQL forgets the USING of a view's CHAR(65 USING utf8mb4): it calls a text what it gives as bytes, and compares so.
  if (BOUNDED.has(type) && collation === 'binary') return 'binary';
  return TYPES[type];
}

/** TINYINT(1) and text of that collation are also what they are called; text may hold JSON; whole numbers may grow. */
const ALTERNATIVES: Readonly<Partial<Record<string, readonly ValueType[]>>> = {
  tinyint: ['integer', 'bigint'],
  bit: ['integer', 'bigint'],
  ...Object.fromEntries(['smallint', 'mediumint', 'int', 'bigint'].map((type) => [type, ['bigint']])),
  ...Object.fromEntries(['varchar', 'text', 'mediumtext'].map((type) => [type, ['json']])),
  longtext: ['string', 'json'],
};

/** The named value; a type that BEDS cannot carry is a string here and reported by `unsupported`. */
function namedValue(source: CatalogueType): NamedValue {
  const type = valueType(source) ?? 'string';
  const alternatives = type === 'binary' ? [] : (ALTERNATIVES[source.dataType.toLowerCase()] ?? []);
  const others = alternatives.filter((other) => other !== type);
  const { collation } = source;
  return {
    name: source.name,
    type,
    nativeType: source.fullType,
    ...bounds(source, others[0] === 'integer' || others[0] === 'string' ? others[0] : type),
    ...(others.length > 0 && { alternatives: others }),
    ...(collation !== null && isKnown(collation) && type === 'string' ? { collation } : {}),
  };
}

/** Whether a text can be compared by this collation: none of its characters is lost on the way to it. */
function isKnown(collation: string): boolean {
  return /^utf8mb4(_|$)/.test(collation) || charactersOf(collation) !== undefined;
}

function bounds(source: CatalogueType, type: ValueType): { maxLength?: number; min?: number; max?: number } {
  const dataType = source.dataType.toLowerCase();
  const maxLength = Number(source.maxLength);
  const isBounded = type === 'binary' || (type === 'string' && BOUNDED.has(dataType));
  if (isBounded && maxLength > 0) return { maxLength };
  const bits = BITS[dataType];
  if (type !== 'integer' || bits === undefined) return {};
  return /unsigned/i.test(source.fullType)
    ? { min: 0, max: 2 ** bits - 1 }
    : { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 };
}
