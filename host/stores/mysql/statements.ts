import {
  type RoutineRows,
  isBedsError,
  type Json,
  type JsonObject,
  type Page,
  type Scalar,
  type ValueType,
} from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { GivenParameter, KeyedQuery, NamedObject, NamedValue } from '../contract.js';
import type { Together } from '../deadlines.js';
import { bindValues } from '../inputs.js';
import {
  type Condition,
  cursorOf,
  type Group,
  incomparable,
  isDigits,
  isWord,
  type KeyForm,
  type KeyRead,
  type Predicate,
  type QueryPlan,
  readByKey,
  refuseAll,
  refuseQuery,
} from '../query-plan.js';
import {
  type DriverCommand,
  type DriverField,
  type DriverHeader,
  type DriverRow,
  isJsonField,
  type ServerProfile,
  toStoreError,
} from './driver.js';
import { COMMIT_AT_END, type Executed, TIDY } from './session.js';
import {
  type Binding,
  bindingOf,
  BYTES,
  charactersOf,
  comparableFloat,
  type DriverValue,
  type Form,
  FORMS,
  GEOMETRIES,
  inOrder,
  instantText,
  type Members,
  readGeometry,
  readMembers,
  readVector,
  setOf,
  shortestFloat,
  wordOf,
} from './values.js';

/** Text for the server, with the values for its marks. */
export interface Statement {
  readonly sql: string;
  /** The same as a transaction of its own, for servers that know blocks. */
  readonly block?: string;
  /** The same for a transaction that is open, where that is another text. */
  readonly inside?: string | undefined;
  readonly values: readonly DriverValue[];
  /** Of a procedure that gives parameters back. */
  readonly giving?: Giving;
}

/** How parameters come back: in variables of a block or, where the server knows none, of the session. */
export interface Giving {
  /** Gives values to those of the session's variables that are arguments, too. */
  readonly set: string | undefined;
  /** How many of the statement's values are for them: the first ones. */
  readonly setCount: number;
  /** Reads the session's variables. */
  readonly read: string;
}

const quoted = new WeakMap<{ readonly name: string }, string>();

/** An identifier of the catalogue, for a statement. */
function quote(named: { readonly name: string }): string {
  const known = quoted.get(named);
  if (known !== undefined) return known;
  const text = `\`${named.name.replaceAll('`', '``')}\``;
  quoted.set(named, text);
  return text;
}

/** The object with its database, whatever database the session is in. */
function qualified(object: NamedObject): string {
  const { database } = object.native;
  return typeof database === 'string' ? `${quote({ name: database })}.${quote(object)}` : quote(object);
}

/** A checked value as the driver sends it. */
function toDriver(value: Json, type: ValueType): DriverValue {
  if (type === 'datetime' && value !== null) return instantText(value as string);
  return value as DriverValue;
}

export type Routine = Extract<NamedObject, { args: unknown }>;

/** `CALL` of a procedure or `SELECT` of a function, its arguments checked and in order. */
export function callStatement(routine: Routine, args: JsonObject): Statement {
  const { notSupported } = routine.native;
  if (typeof notSupported === 'string') {
    throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', `${routine.name} cannot be called: ${notSupported}.`);
  }
  const { sql, block, inside, binds, order, giving } = textsOf(routine);
  const values = bindValues(routine.args, args).map((value, index) =>
    value === null ? null : (binds[index]?.(value) ?? (value as DriverValue)),
  );
  if (giving === undefined || order === undefined) return { sql, block, inside, values };
  return { sql, block, inside, values: order.map((index) => values[index] ?? null), giving };
}

interface Texts extends Required<Pick<Statement, 'sql' | 'block' | 'inside'>> {
  /** In the order of the arguments. */
  readonly binds: readonly Binding['bind'][];
  /** Of the values, as the texts need them; undefined: that of the arguments. */
  readonly order?: readonly number[];
  readonly giving?: Giving;
}

const callTexts = new WeakMap<Routine, Texts>();

function textsOf(routine: Routine): Texts {
  const known = callTexts.get(routine);
  if (known !== undefined) return known;
  const { gives } = routine;
  const texts = gives === undefined ? plainTexts(routine) : givingTexts(routine, gives);
  callTexts.set(routine, texts);
  return texts;
}

function plainTexts(routine: Routine): Texts {
  const bindings = routine.args.map(bindingOf);
  const call = `${qualified(routine)}(${bindings.map(({ mark }) => mark).join(', ')})`;
  const value = isShape(routine.native['returned']) ? bytesOf(call) : call;
  const sql = routine.kind === 'function' ? `SELECT ${value} AS value` : `CALL ${call}`;
  const block =
    routine.kind === 'function'
      ? `BEGIN NOT ATOMIC ${sql}; ${TIDY}; END`
      : `BEGIN NOT ATOMIC START TRANSACTION; ${sql}; ${COMMIT_AT_END}`;
  // n.b. of a SELECT no server tells what a function has left behind in the session; of a block it does.
  const inside = routine.kind === 'function' ? `BEGIN NOT ATOMIC ${sql}; END` : undefined;
  return { sql, block, inside, binds: bindings.map(({ bind }) => bind) };
}

/**
 * n.b. prepared, a variable of a session takes what it had before for its type. Every value is exact as text, but a year: '0' is
 * another one than 0.
 */
function sessionMark(mark: string, { nativeType }: NamedValue): string {
  if (mark !== '?') return mark;
  return wordOf(nativeType) === 'year' ? 'CAST(? AS UNSIGNED)' : 'CAST(? AS CHAR CHARACTER SET utf8mb4)';
}

function givingTexts(routine: Routine, gives: readonly GivenParameter[]): Texts {
  const bindings = routine.args.map(bindingOf);
  const places = placesOf(bindings, gives);
  const variables = places.filter(isVariable);
  const call = (variableOf: (variable: Variable) => string): string =>
    `CALL ${qualified(routine)}(${places.map((place) => (isVariable(place) ? variableOf(place) : place.mark)).join(', ')})`;
  // n.b. named as the parameters are: so the server says which one it is that takes no such value.
  const declared = variables.map(
    ({ given, mark }) => `DECLARE ${quote(given)} ${given.nativeType}${mark === '' ? '' : ` DEFAULT ${mark}`}; `,
  );
  const shown = variables.map(({ given }) => `${shownAs(quote(given), given)} AS ${quote(given)}`);
  const set = variables.filter(({ mark }) => mark !== '');
  const marks = set.map(({ given, name, mark }) => `@${name} = ${sessionMark(mark, given)}`);
  const called = `${call(({ given }) => quote(given))}; SELECT ${shown.join(', ')}`;
  const rest = places.filter(({ given }) => given === undefined);
  return {
    sql: call(({ name }) => `@${name}`),
    block: `BEGIN NOT ATOMIC ${declared.join('')}START TRANSACTION; ${called}; ${COMMIT_AT_END}`,
    binds: bindings.map(({ bind }) => bind),
    order: [set, rest].flat().map(({ at }) => at),
    inside: `BEGIN NOT ATOMIC ${declared.join('')}${called}; END`,
    giving: {
      set: set.length === 0 ? undefined : `SET ${marks.join(', ')}`,
      setCount: set.length,
      read: `SELECT ${variables.map(({ given, name }) => `@${name} AS ${quote(given)}`).join(', ')}`,
    },
  };
}

/** A parameter as a CALL has it. */
interface Place {
  /** undefined: it gives nothing back. */
  readonly given: GivenParameter | undefined;
  /** Of the session's variable that gives it back. */
  readonly name: string;
  /** Empty: it takes nothing. */
  readonly mark: string;
  /** Among the arguments, where it is one. */
  readonly at: number;
}

interface Variable extends Place {
  readonly given: GivenParameter;
}

function isVariable(place: Place): place is Variable {
  return place.given !== undefined;
}

function placesOf(bindings: readonly Binding[], gives: readonly GivenParameter[]): readonly Place[] {
  const places: Place[] = [];
  let at = 0;
  while (at < bindings.length || places.length < (gives.at(-1)?.place ?? -1) + 1) {
    const given = gives.find(({ place }) => place === places.length);
    const isArgument = given === undefined || given.isArgument;
    places.push({
      given,
      name: `beds_${String(places.length)}`,
      mark: isArgument ? (bindings[at]?.mark ?? '') : '',
      at,
    });
    if (isArgument) at += 1;
  }
  return places;
}

type View = Extract<NamedObject, { kind: 'view' }>;
type Part = Statement;

const OPERATORS = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;
/** What stands between a value and the column. */
const MIRRORED = { lt: '>', lte: '>=', gt: '<', gte: '<=' } as const;

/** What a plan asks for: the rows of a page, how many there are on all pages, or both. */
export function viewStatements(view: View, plan: QueryPlan): Readonly<Record<'read' | 'count', Statement | undefined>> {
  try {
    return {
      read: plan.limit === 0 ? undefined : readStatement(view, plan),
      count: plan.counts ? countStatement(view, plan) : undefined,
    };
  } catch (error) {
    if (!isBedsError(error)) throw error;
    // The first comparison that the server cannot make was thrown: say all of them.
    throw refuseAll([], plan.conditions, condition);
  }
}

/** The SELECT of one page (and one row more). Identifiers come from the catalogue alone; values are bound. */
function readStatement(view: View, plan: QueryPlan): Statement {
  const { sql, values } = whereOf(plan.after === undefined ? plan.conditions : plan.conditions.concat(plan.after));
  let order = '';
  for (const { column, direction } of plan.order) {
    const way = direction === 'asc' ? 'ASC' : 'DESC';
    order += `${order === '' ? '' : ', '}${sortKey(column)} ${way}`;
    if (isSortedPadded(column)) order += `, CHAR_LENGTH(${quote(column)}) ${way}`;
  }
  // n.b. MySQL 8 refuses a LIMIT that is bound as a DOUBLE, which is how the driver sends numbers.
  const limit = String(plan.limit + 1);
  return { sql: `${selectFrom(view)}${sql} ORDER BY ${order} LIMIT ?`, values: values.concat(limit) };
}

/** How many rows there are on all pages, as `rows`. */
function countStatement(view: View, { conditions }: QueryPlan): Statement {
  const { sql, values } = whereOf(conditions);
  return { sql: `SELECT COUNT(*) AS \`rows\` FROM ${qualified(view)}${sql}`, values };
}

function whereOf(predicates: readonly Predicate[]): Part {
  if (predicates.length === 0) return { sql: '', values: [] };
  const { sql, values } = join(predicates, ' AND ');
  return { sql: ` WHERE ${sql}`, values };
}

function join(predicates: readonly Predicate[], word: ' AND ' | ' OR '): Part {
  let sql = '';
  const values: Statement['values'][number][] = [];
  for (const each of predicates) {
    const part = 'of' in each ? grouped(each) : condition(each);
    sql += sql === '' ? part.sql : word + part.sql;
    for (const value of part.values) values.push(value);
  }
  return { sql, values };
}

function grouped({ op, of }: Group): Part {
  if (of.length === 0) return { sql: op === 'and' ? 'TRUE' : 'FALSE', values: [] };
  const { sql, values } = join(of, op === 'or' ? ' OR ' : ' AND ');
  // n.b. what compares with NULL is neither true nor false for the server; NOT of it would not be true.
  return { sql: op === 'not' ? `(${sql}) IS NOT TRUE` : `(${sql})`, values };
}

const heads = new WeakMap<View, string>();

function selectFrom(view: View): string {
  const known = heads.get(view);
  if (known !== undefined) return known;
  const head = `SELECT ${view.columns.map(shownColumn).join(', ')} FROM ${qualified(view)}`;
  heads.set(view, head);
  return head;
}

/** n.b. the driver gives bits as bytes, and reads shapes in a way that does not tell all of them apart. */
function shownColumn(column: NamedValue): string {
  const name = quote(column);
  const shown = shownAs(name, column);
  return shown === name ? name : `${shown} AS ${name}`;
}

function shownAs(expression: string, { nativeType }: NamedValue): string {
  const word = wordOf(nativeType);
  if (word === 'bit') return `${expression} + 0`;
  return GEOMETRIES.has(word) ? bytesOf(expression) : expression;
}

function bytesOf(shape: string): string {
  return `CAST(${shape} AS BINARY)`;
}

/** A collation that sorts as it compares. */
const BY_CODES = 'utf8mb4_bin';

function codesOf(column: NamedValue): string {
  return `CONVERT(${quote(column)} USING utf8mb4)`;
}

/** Whether it matters which comes first, and the collation does not tell. */
function isByCodes({ column, op, isStored }: Condition): boolean {
  return column.byCodes === true && (isStored === true || Object.hasOwn(OPERATORS, op));
}

/** n.b. MySQL sorts the last member of a SET of 64 as a sign. */
function sortKey(column: NamedValue): string {
  if (column.byBytes === true) return bytesOf(quote(column));
  if (column.byCodes === true) return `${codesOf(column)} COLLATE ${BY_CODES}`;
  const members = membersOf(column);
  if (members === undefined) return quote(column);
  const { kind, texts } = members;
  const isOwn = kind === 'set' ? texts.length < 64 : !texts.includes('');
  return isOwn ? quote(column) : placeOf(column, members);
}

/**
 * n.b. MariaDB compares texts of these collations without padding, and sorts them padded with U+0000: those that differ by such characters
 * at their end only are alike to it. What they are not alike in is their length, but where one character is not one weight.
 */
const SORTED_PADDED = /_nopad_(?:ci|bin)$/;
const OF_WEIGHTS = /_(?:unicode|uca\d+|520)_/;

function isSortedPadded({ collation, byBytes }: NamedValue): boolean {
  return collation !== undefined && byBytes !== true && SORTED_PADDED.test(collation) && !OF_WEIGHTS.test(collation);
}

/** The number that the server orders a member by. n.b. what was stored as no member of an ENUM is shown as the member '' is. */
function placeOf(column: NamedValue, { kind, texts }: Members): string {
  const place = `CAST(${quote(column)} AS UNSIGNED)`;
  const empty = kind === 'enum' ? texts.indexOf('') + 1 : 0;
  return empty === 0 ? place : `IF(${place} = 0, ${String(empty)}, ${place})`;
}

/** Throws BEDS_STORE_QUERY_INVALID where the server would compare with another value. */
export function condition(test: Condition): Part {
  const name = isByCodes(test) ? codesOf(test.column) : quote(test.column);
  if (test.op === 'in') return anyOf(name, test, test.value);
  const { column, op } = test;
  if (test.value === null) return op === 'eq' ? isNull(test) : isGiven(test);
  if (op === 'prefix') return like(name, test, `${escapeLike(String(test.value))}%`);
  if (op === 'contains') return like(name, test, `%${escapeLike(String(test.value))}%`);
  const value = comparable(test, test.value);
  const mark = placeholder(test, value);
  const values = [toDriver(value, column.type)];
  // n.b. the mark first: MySQL refuses to compare a column made of two collations with anything, the other way around.
  if (op === 'eq') return { sql: `${mark} = ${name}`, values };
  if (op === 'ne') return { sql: `NOT (${mark} <=> ${name})`, values };
  const members = membersOf(column);
  if (members === undefined) {
    const sql = `${mark} ${MIRRORED[op]} ${name}`;
    if (!mayBeZero(test) || !(op === 'lt' || op === 'lte')) return { sql, values };
    // n.b. the zero date lies before all others.
    return { sql: `(${sql} AND ${name} >= ?)`, values: [...values, FIRST_DAY] };
  }
  // n.b. the server orders ENUM and SET by the numbers of their members, and compares them with text as text.
  return {
    sql: `${placeOf(column, members)} ${OPERATORS[op]} ${STAYS}`,
    values: [numberOf(test, members, value)],
  };
}

/**
 * A number to compare with. n.b. servers move conditions into a view, where the MAX of an ENUM is a text that has no number yet; one with
 * a subquery of its own stays outside.
 */
const STAYS = '(SELECT MAX(CAST(? AS DECIMAL(20,0))) FROM (SELECT 1) AS beds)';

/** Days of zeros only, which are shown as null, lie before it. n.b. it has to be bound: MySQL takes no such literal. */
const FIRST_DAY = '0000-00-01 00:00:00';

function mayBeZero({ column: { type }, isStored }: Condition): boolean {
  return (type === 'date' || type === 'datetime') && isStored !== true;
}

function isNull(test: Condition): Part {
  const name = quote(test.column);
  if (!mayBeZero(test)) return { sql: `${name} IS NULL`, values: [] };
  return { sql: `(${name} IS NULL OR ${name} < ?)`, values: [FIRST_DAY] };
}

function isGiven(test: Condition): Part {
  const name = quote(test.column);
  if (!mayBeZero(test)) return { sql: `${name} IS NOT NULL`, values: [] };
  return { sql: `(${name} IS NOT NULL AND ${name} >= ?)`, values: [FIRST_DAY] };
}

function like(name: string, test: Condition, pattern: string): Part {
  return { sql: `${name} LIKE ${placeholder(test, pattern)} ESCAPE '!'`, values: [pattern] };
}

function anyOf(name: string, test: Condition, list: readonly Scalar[]): Part {
  const { type } = test.column;
  const some = list.filter((value) => value !== null).map((value) => comparable(test, value));
  const none = some.length < list.length ? isNull(test) : undefined;
  if (some.length === 0) return none ?? { sql: 'FALSE', values: [] };
  // Rounded up to a power of two, so that lists of every length share few prepared statements.
  const padded = Array.from({ length: 2 ** Math.ceil(Math.log2(some.length)) }, (_, i) => some[i] ?? some[0] ?? null);
  const marks = padded.map((value) => placeholder(test, value)).join(', ');
  const sql = padded.length === 1 ? `${marks} = ${name}` : `${name} IN (${marks})`;
  const within = { sql, values: padded.map((value) => toDriver(value, type)) };
  if (none === undefined) return within;
  return { sql: `(${within.sql} OR ${none.sql})`, values: within.values.concat(none.values) };
}

/**
 * MySQL compares a number with text as floating point: exact types need an exact partner, in which every value fits, since the
 * server takes the nearest where it does not. A column of a view that is an expression has no collation that wins over that
 * of a bound value.
 */
function placeholder(test: Condition, value: Scalar): string {
  const { type, collation } = test.column;
  if (type === 'binary') return BYTES;
  if (type === 'decimal') return `CAST(? AS DECIMAL(65,${String(scaleFor(test, String(value)))}))`;
  // n.b. in a list, MySQL takes a DOUBLE of 0 for the year 2000.
  const isExact = typeof value === 'string' || /^year/i.test(test.column.nativeType);
  if ((type === 'integer' || type === 'bigint') && isExact) return 'CAST(? AS DECIMAL(20,0))';
  if (isByCodes(test)) return `? COLLATE ${BY_CODES}`;
  if (collation === undefined) return '?';
  const { mark, set, known } = textMarkOf(test.column, collation);
  // n.b. they would become question marks, which some row may hold.
  if (known?.test(String(value)) === false)
    throw incomparable(test, `must be compared with text of ${set}, which does not have all of these characters`);
  return mark;
}

interface TextMark {
  readonly mark: string;
  readonly set: string;
  readonly known: RegExp | undefined;
}

const textMarks = new WeakMap<NamedValue, TextMark>();

function textMarkOf(column: NamedValue, collation: string): TextMark {
  const made = textMarks.get(column);
  if (made !== undefined) return made;
  const [set, known] = [setOf(collation), charactersOf(collation)];
  const text = known === undefined ? '?' : `CONVERT(? USING ${set})`;
  const mark: TextMark = { mark: `${text} COLLATE ${collation}`, set, known };
  textMarks.set(column, mark);
  return mark;
}

function escapeLike(text: string): string {
  return text.replace(/[!%_]/g, '!$&');
}

const knownForms = new WeakMap<NamedValue, Form | undefined>();

function formOf(column: NamedValue): Form | undefined {
  if (!knownForms.has(column))
    knownForms.set(column, (FORMS as Readonly<Partial<Record<string, Form>>>)[wordOf(column.nativeType)]);
  return knownForms.get(column);
}

/** Of an instant with six decimals, as many as a server keeps. */
const MOST_INSTANT_CHARACTERS = '2026-01-02T03:04:05.123456Z'.length;
/** No column of years holds one between 0 and 1901, and MariaDB takes those of two digits for others. */
const NO_YEAR = 100;

/** A value as it can be compared with a column. Throws BEDS_STORE_QUERY_INVALID where the server would compare with another. */
function comparable(test: Condition, value: Scalar): Scalar {
  const { column } = test;
  switch (column.type) {
    case 'datetime':
      if (String(value).length > MOST_INSTANT_CHARACTERS)
        throw incomparable(test, 'must be compared with an instant of at most 6 decimals');
      return value;
    case 'number':
      return wordOf(column.nativeType) === 'float' ? comparableFloat(Number(value)) : value;
    case 'integer':
    case 'bigint':
      return Number(value) > 0 && Number(value) < NO_YEAR && /^year/i.test(column.nativeType) ? NO_YEAR : value;
    case 'string': {
      const form = formOf(column);
      if (form !== undefined && !form.fits(String(value)))
        throw incomparable(test, `must be compared with ${form.what}`);
      const members = membersOf(column);
      return members?.kind === 'set' ? (inOrder(String(value), members) ?? value) : value;
    }
    default:
      return value;
  }
}

const MOST_DIGITS = 65;
const MOST_DECIMALS = 30;

/**
 * Decimals to compare a number with: those of the column or, where the value has more, as many as leave room for its whole digits.
 * Throws BEDS_STORE_QUERY_INVALID where it does not fit.
 */
function scaleFor(test: Condition, value: string): number {
  const own = Number(/^decimal\(\d+,(\d+)\)/i.exec(test.column.nativeType)?.[1] ?? 0);
  const [whole = '', padded = ''] = value.replace(/^[+-]?0*/, '').split('.');
  const decimals = padded.replace(/0+$/, '');
  const room = MOST_DIGITS - whole.length;
  if (decimals.length <= own && own <= room) return own;
  const scale = Math.min(Math.max(own, MOST_DECIMALS), room);
  if (decimals.length <= scale) return scale;
  throw incomparable(test, `must be compared with a number of at most ${String(scale)} decimals`);
}

const knownMembers = new WeakMap<NamedValue, Members | undefined>();

/** undefined: a column of another type. */
function membersOf(column: NamedValue): Members | undefined {
  if (!knownMembers.has(column)) knownMembers.set(column, readMembers(column.nativeType));
  return knownMembers.get(column);
}

/**
 * What the server orders a value by: the number of an ENUM's member, from 1, or a bit for each of a SET; of the empty text, 0.
 * Throws BEDS_STORE_QUERY_INVALID for what is no member.
 */
function numberOf(test: Condition, { kind, texts }: Members, value: Scalar): string {
  if (value === '' && (kind === 'set' || !texts.includes(''))) return '0';
  const parts = kind === 'set' ? String(value).split(',') : [String(value)];
  const places = parts.map((part) => texts.indexOf(part));
  if (places.includes(-1)) throw incomparable(test, 'is compared with what is none of its values');
  if (kind === 'enum') return String((places[0] ?? 0) + 1);
  return places.reduce((bits, place) => bits | (1n << BigInt(place)), 0n).toString();
}

// https://mariadb.com/kb/en/result-set-packets/#field-types
const [DECIMAL, TINY] = [246, 1];
const INSTANTS = new Set([7, 12]);
const DAY = 10;
const FLOAT = 4;
const BIT = 16;
const VECTOR = 242;
const GEOMETRY = 255;
const BINARY_CHARSET = 63;
const BINARY = new Set([16, 249, 250, 251, 252, 253, 254, 255]);
const NO_DATE = '0000-00-00';
/** A session sorts text by 16 KB at least: up to 8 bytes for a character, as the collation weighs it. */
const MAX_SORTED_CHARACTERS = 2_048;

/** Numbers of so many digits, or with such an exponent, may not be exact in JavaScript. */
const BIG = /[\d.]{16}|\d[eE][+-]?\d{3}/;

/** Texts and numbers of JSON. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** A number that JavaScript cannot hold becomes text. */
function quoteBig(token: string): string {
  return token.startsWith('"') || isHeld(token) ? token : `"${token}"`;
}

function isHeld(token: string): boolean {
  const number = Number(token);
  if (/^-?\d+$/.test(token)) return Number.isSafeInteger(number) || String(number) === token;
  const digits = digitsOf(token);
  if (!Number.isFinite(number) || digits === '' || number === 0) return digits === '';
  // n.b. some writers give a double 17 digits, though fewer would name it.
  return digits === digitsOf(String(number)) || digits === digitsOf(number.toPrecision(17));
}

/** The significant ones: none of zero. */
function digitsOf(number: string): string {
  return number.replace(/[eE].*$|[-.]/g, '').replace(/^0+|0+$/g, '');
}

/** The JSON of a column. Throws BEDS_STORE_VALUE_UNFIT where it is none. */
function parseJson(text: string, column: string): Json {
  try {
    return JSON.parse(BIG.test(text) ? text.replace(TOKENS, quoteBig) : text) as Json;
  } catch {
    throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds text that is not JSON.`, {
      field: column,
      hint: `Declare ${column} as t.string() in the template, or have the DBA correct the rows.`,
    });
  }
}

type Convert = (value: unknown, column: string) => Json;

/** n.b. the server keeps a BOOLEAN as TINYINT(1), which takes every small number. */
const asBoolean: Convert = (value, column) => {
  if (value === 0 || value === 1) return value === 1;
  throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds numbers that are neither 0 nor 1.`, {
    field: column,
    hint: `Declare ${column} as t.int() in the template, or have the DBA correct the rows.`,
  });
};
const asFlag: Convert = (value) => (value === 0 || value === 1 ? value === 1 : (value as Json));
// n.b. the driver gives what JavaScript's numbers do not hold as text.
const asInteger: Convert = (value, column) => {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || !WHOLE.test(value)) throw noNumber(column);
  throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds a whole number beyond ±(2^53-1).`, {
    field: column,
    hint: `Declare ${column} as t.bigint() in the template.`,
  });
};
const asBigint: Convert = (value, column) => {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string' && WHOLE.test(value)) return value;
  throw noNumber(column);
};
const WHOLE = /^-?\d+$/;

/** n.b. MySQL says that IF, CASE and COALESCE of a BIT are whole numbers, and gives bytes. */
function noNumber(column: string): Error {
  return storeErrors.make(
    'BEDS_STORE_VALUE_UNFIT',
    `${column} is a whole number to the database, which gives something else.`,
    {
      field: column,
      hint: `Where ${column} is made of bits by IF, CASE or COALESCE, have the DBA add 0 to them.`,
    },
  );
}
// n.b. the zero date is MySQL's way to write no date.
const asDay: Convert = (value) => (String(value).startsWith(NO_DATE) ? null : String(value));
/** n.b. of bytes of which MariaDB says that they are JSON, as what JSON_OBJECT makes of bytes, the driver makes text. */
const asBase64: Convert = (value) =>
  (Buffer.isBuffer(value) ? value : Buffer.from(String(value), 'latin1')).toString('base64');
/** n.b. of what is ZEROFILL, or made of it, MySQL gives the zeros, but not in a UNION. */
const asDecimal: Convert = (value) => String(value).replace(/^0+(?=\d)/, '');
const asJson: Convert = (value, column) => (typeof value === 'string' ? parseJson(value, column) : (value as Json));

const asFloat: Convert = (value) => shortestFloat(value as number);
const asVector: Convert = (value) => readVector(value as Buffer);
const asShape: Convert = (value) => readGeometry(value as Buffer);
const asBits: Convert = (value) => {
  const whole = BigInt(`0x${(value as Buffer).toString('hex')}`);
  return whole > Number.MAX_SAFE_INTEGER ? whole.toString() : Number(whole);
};
// n.b. of the result sets of a procedure the driver gives shapes only as it read them, and of most that is not enough.
const asPoint: Convert = (value, column) => {
  const { x, y } = value as { readonly x?: number; readonly y?: number };
  if (x !== undefined && y !== undefined) return { type: 'Point', coordinates: [x, y] };
  throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds a shape that is no point.`, {
    field: column,
    hint: `Have the DBA give ST_AsGeoJSON(${column}) instead.`,
  });
};

/** `2026-01-02 03:04:05.120000` becomes `2026-01-02T03:04:05.120Z`: milliseconds at least, nothing lost. */
const asInstant: Convert = (value) => {
  const text = String(value);
  return text.startsWith(NO_DATE) ? null : storedInstant(text);
};

function storedInstant(text: string): string {
  const fraction = text.slice(20).replace(/0+$/, '').padEnd(3, '0');
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z`;
}

/** n.b. the driver writes no zeros at the end of what is no text. */
const asTime: Convert = (value) => String(value).replace(/\.0*$|(\.\d*?)0+$/, '$1');

/** JSON above the adapter that is none in the database. */
function shapeConverter(nativeType: string): Convert {
  const word = wordOf(nativeType);
  if (word === 'vector') return asVector;
  return GEOMETRIES.has(word) ? asShape : asJson;
}

/** By the type that the value was declared with; undefined where nobody declared one, as in the result sets of a procedure. */
function converterOf(field: DriverField, type: ValueType | undefined): Convert | undefined {
  const { columnType, characterSet } = field;
  if (type === 'boolean') return asBoolean;
  if (type === 'json') return asJson;
  if (type === 'integer') return asInteger;
  if (type === 'bigint') return asBigint;
  if (type === 'binary') return asBase64;
  if (columnType === undefined) return undefined;
  if (columnType === DECIMAL) return asDecimal;
  if (columnType === FLOAT) return asFloat;
  if (columnType === BIT) return asBits;
  if (columnType === GEOMETRY) return asPoint;
  if (columnType === VECTOR) return asVector;
  if (INSTANTS.has(columnType)) return asInstant;
  if (columnType === DAY) return asDay;
  if (type === undefined && isJsonField(field)) return asJson;
  return characterSet === BINARY_CHARSET && BINARY.has(columnType) ? asBase64 : undefined;
}

function columnConverter(field: DriverField, column: NamedValue | undefined): Convert | undefined {
  return column?.type === 'json' ? shapeConverter(column.nativeType) : converterOf(field, column?.type);
}

/** Changes the driver's rows in place into what templates see: the rows are ours alone. `columns`: in the order of the fields. */
function convertRows(
  rows: readonly DriverRow[],
  fields: readonly DriverField[],
  columns: readonly NamedValue[] = [],
): readonly JsonObject[] {
  for (const [index, field] of fields.entries()) {
    const { name } = field;
    const column = columns[index];
    if (column === undefined && isGivenAgain(fields, index)) continue;
    const convert = column === undefined && isFlag(field, rows) ? asBoolean : columnConverter(field, column);
    if (convert === undefined) continue;
    for (const row of rows) {
      const value = row[name];
      if (value !== null) row[name] = convert(value, name);
    }
  }
  return rows as readonly JsonObject[];
}

/** Whether a later column has the same name, as those of a join may: the driver gives that one's value. */
function isGivenAgain(fields: readonly DriverField[], index: number): boolean {
  for (let later = index + 1; later < fields.length; later += 1)
    if (fields[later]?.name === fields[index]?.name) return true;
  return false;
}

/** A TINYINT(1) that nobody declared is a boolean, unless one of its rows says that it is a number. */
function isFlag({ name, columnType, columnLength }: DriverField, rows: readonly DriverRow[]): boolean {
  if (columnType !== TINY || columnLength !== 1) return false;
  return rows.every(({ [name]: value }) => value === 0 || value === 1 || value === null);
}

/** A column of a row that is not converted yet, for a cursor: what the database orders by, so the zero date stays one. */
function positionOf(row: DriverRow, { name, type }: NamedValue): Scalar {
  const value = (row[name] ?? null) as Scalar;
  if (value === null) return null;
  if (type === 'boolean') return asBoolean(value, name) as Scalar;
  if (type === 'binary') return asBase64(value, name) as Scalar;
  if (type === 'date') return String(value);
  if (type === 'datetime') return storedInstant(String(value));
  if (typeof value === 'string' && value.length > MAX_SORTED_CHARACTERS) {
    throw refuseQuery([{ field: 'query.order', message: `names ${name}, whose texts are too long to go on from` }]);
  }
  return value;
}

/** The rows of a page, and its cursor where more follow. */
export function pageOf(view: View, plan: QueryPlan, { result, fields }: Executed): Page {
  const found = result as DriverRow[];
  // n.b. before the rows are converted: the next page is found by what is stored.
  const isWhole = plan.start === undefined && found.length <= plan.limit;
  const cursor = isWhole ? undefined : cursorOf(plan, found, positionOf);
  if (cursor !== undefined) found.length = plan.limit;
  const rows = convertRows(found, (fields ?? []) as readonly DriverField[], view.columns);
  return cursor === undefined ? { rows } : { rows, cursor };
}

/** All result sets of a CALL; its last answer is a header without rows. `gives`: what the last set is made of. */
export function callResult({ result, fields }: Executed, gives?: readonly GivenParameter[]): RoutineRows {
  if (!Array.isArray(result)) return { rows: [], sets: [], affected: result.affectedRows };
  const parts = result as readonly (DriverHeader | DriverRow[])[];
  const sets: (readonly JsonObject[])[] = [];
  const given = gives === undefined ? -1 : parts.findLastIndex(Array.isArray);
  let affected = 0;
  parts.forEach((part, index) => {
    if (!Array.isArray(part)) affected += part.affectedRows;
    else {
      const own = (fields as readonly (readonly DriverField[])[])[index] ?? [];
      sets.push(gives !== undefined && index === given ? convertGiven(part, own, gives) : convertRows(part, own));
    }
  });
  return { rows: sets[0] ?? [], sets, affected };
}

/** n.b. nothing tells a function that returns JSON from one that returns LONGTEXT where the server's JSON is such a text. */
const asJsonOrText: Convert = (value, column) => {
  try {
    return asJson(value, column);
  } catch {
    return value as Json;
  }
};

/** n.b. what the template declares is read from what is given here; a session's variable has not the type of the parameter. */
function givenConverter(field: DriverField, { type, nativeType }: NamedValue): Convert | undefined {
  switch (type) {
    case 'integer':
      return undefined;
    case 'boolean':
      return asFlag;
    case 'date':
      return asDay;
    case 'datetime':
      return asInstant;
    case 'number':
      return wordOf(nativeType) === 'float' ? asFloat : undefined;
    case 'json': {
      const convert = shapeConverter(nativeType);
      return convert === asJson ? asJsonOrText : convert;
    }
    default:
      return wordOf(nativeType) === 'time' ? asTime : converterOf(field, type);
  }
}

function convertGiven(
  rows: readonly DriverRow[],
  fields: readonly DriverField[],
  gives: readonly GivenParameter[],
): readonly JsonObject[] {
  for (const [index, field] of fields.entries()) {
    const { name } = field;
    const given = gives[index];
    const convert = given === undefined ? undefined : givenConverter(field, given);
    if (convert === undefined) continue;
    for (const row of rows) if (row[name] !== null) row[name] = convert(row[name], name);
  }
  return rows as readonly JsonObject[];
}

/** What a function returned, by the type it declares: the protocol does not tell a boolean function from a number. */
export function functionResult(
  { result, fields }: Executed,
  { native, declared }: Routine,
  { isMariaDb }: Pick<ServerProfile, 'isMariaDb'>,
): RoutineRows {
  // n.b. a block answers with a list of answers, a plain SELECT with its rows alone.
  const isList = Array.isArray(fields?.[0]);
  const found = (isList ? (result as readonly DriverRow[][])[0] : result) as readonly DriverRow[];
  const [field] = (isList ? fields?.[0] : fields) as readonly DriverField[];
  const value = found[0]?.['value'] ?? null;
  const convert = field === undefined ? undefined : returnedBy(field, { value, native, declared, isMariaDb });
  const rows = [{ value: value === null || convert === undefined ? (value as Json) : convert(value, 'value') }];
  return { rows, sets: [rows], affected: 0 };
}

interface Returned extends Pick<ServerProfile, 'isMariaDb'> {
  readonly value: unknown;
  readonly native: Routine['native'];
  readonly declared: ValueType | undefined;
}

function returnedBy(field: DriverField, { value, native, declared, isMariaDb }: Returned): Convert | undefined {
  const returns = native['returns'] as ValueType | undefined;
  const word = native['returned'];
  if (word === 'bit') return asBits;
  if (word === 'vector') return asVector;
  if (isShape(word)) return asShape;
  if (returns === 'boolean' && value !== 0 && value !== 1) return undefined;
  // n.b. the template says whether it is an integer or a bigint, and what it declares is read from what is given here.
  if (returns === 'integer') return undefined;
  if (returns !== 'json' || isJsonField(field)) return converterOf(field, returns);
  if (!isMariaDb || declared === 'string') return undefined;
  return declared === 'json' ? asJson : asJsonOrText;
}

function isShape(word: Json | undefined): boolean {
  return typeof word === 'string' && GEOMETRIES.has(word);
}

interface KeyColumn {
  readonly column: NamedValue;
  readonly takes: 'whole' | 'text' | undefined;
  /** The statements for 1, 2, 4 … keys. */
  readonly texts: Record<KeyForm, (string | undefined)[]>;
}

const keyColumns = new WeakMap<View, KeyColumn>();

function keyColumnOf(view: View, key: string): KeyColumn | undefined {
  const known = keyColumns.get(view);
  if (known?.column.name === key) return known;
  const column = view.columns.find(({ name }) => name === key);
  if (column === undefined) return undefined;
  const { type, nativeType } = column;
  const isWhole = (type === 'integer' || type === 'bigint') && /^(?:tiny|small|medium|big)?int/i.test(nativeType);
  const isText = type === 'string' && /^(?:var)?char\(/i.test(nativeType);
  const takes = isWhole ? 'whole' : isText ? 'text' : undefined;
  const made: KeyColumn = { column, takes, texts: { number: [], digits: [], text: [] } };
  keyColumns.set(view, made);
  return made;
}

function formOfKey({ column, takes }: KeyColumn, value: unknown): KeyForm | undefined {
  if (typeof value === 'number')
    return takes === 'whole' && column.type === 'integer' && Number.isSafeInteger(value) ? 'number' : undefined;
  if (typeof value !== 'string') return undefined;
  if (takes === 'whole') return isDigits(value) ? 'digits' : undefined;
  return takes === 'text' && isWord(value) ? 'text' : undefined;
}

/** undefined: the query asks for something else, or may be wrong. */
export function keyReadOf(
  view: View,
  query: KeyedQuery,
): { readonly form: KeyForm; readonly read: KeyRead } | undefined {
  const column = keyColumnOf(view, query.key);
  const read = column === undefined ? undefined : readByKey(query);
  const form = column === undefined || read === undefined ? undefined : formOfKey(column, read.where[query.key]);
  return form === undefined || read === undefined ? undefined : { form, read };
}

/** The rows of all the keys, and one more. The keys of one form make statements of the same text, rounded up to a power of two. */
export function keysStatement(
  view: View,
  key: string,
  { form, keys }: { readonly form: KeyForm; readonly keys: ReadonlySet<string | number> },
): Statement {
  const known = keyColumnOf(view, key);
  if (known === undefined) throw new TypeError(`The view ${view.name} has no column ${key}.`);
  const size = Math.ceil(Math.log2(keys.size));
  const texts = known.texts[form];
  const sql = (texts[size] ??= keysText(view, known.column, [...keys]));
  const values: DriverValue[] = [...keys];
  while (values.length < 2 ** size) values.push(values[0] ?? null);
  values.push(String(keys.size + 1));
  return { sql, values };
}

function keysText(view: View, column: NamedValue, value: readonly Scalar[]): string {
  return `${selectFrom(view)} WHERE ${condition({ column, at: 'query', op: 'in', value }).sql} LIMIT ?`;
}

/** The rows of a statement of `keysStatement`. */
export function rowsOfKeys(view: View, { result, fields }: Executed): readonly JsonObject[] {
  return convertRows(result as DriverRow[], (fields ?? []) as readonly DriverField[], view.columns);
}

/** Types that a UNION gives as they are. n.b. it has no FLOAT of its own, and no BIT, and rounds a DOUBLE(8,3). */
const UNITED =
  /^(?:(?:tiny|small|medium|big)?int|decimal|double(?!\()|(?:var)?char|(?:tiny|medium|long)?text|json|date|datetime|timestamp|time)\b/i;

const knownUnions = new WeakMap<View, boolean>();

/** Whether several reads of a view can be one UNION. */
export function unites(view: View): boolean {
  let known = knownUnions.get(view);
  if (known === undefined) {
    known = view.columns.every(({ nativeType }) => UNITED.test(nativeType));
    knownUnions.set(view, known);
  }
  return known;
}

/** No column of a view can have this name here. */
const WHOSE = '#';
const SELECT = 'SELECT ';

/** Several reads of the same text. */
export function unionStatement(reads: readonly Statement[]): Statement {
  let sql = '';
  const values: Statement['values'][number][] = [];
  for (const [at, read] of reads.entries()) {
    sql += `${at === 0 ? '' : ' UNION ALL '}(${SELECT}${String(at)} AS \`${WHOSE}\`, ${read.sql.slice(SELECT.length)})`;
    for (const value of read.values) values.push(value);
  }
  return { sql, values };
}

/**
 * What a number may end with that was cut. n.b. servers take CONCAT of a FLOAT(7,3) for shorter than it is with a sign and a point, and a
 * UNION leaves out what is longer than its type.
 */
const CUT_NUMBER = /-\d*$|\d\.(?:\d|$)|^0$/;

const knownLengths = new WeakMap<View, readonly (readonly [name: string, length: number])[]>();

/** Columns of text that has no other bound than its type. */
function lengthsOf(view: View): readonly (readonly [name: string, length: number])[] {
  const known = knownLengths.get(view);
  if (known !== undefined) return known;
  const lengths = view.columns.flatMap(({ name, nativeType }) => {
    const length = /^varchar\((\d+)\)/i.exec(nativeType)?.[1];
    return length === undefined ? [] : [[name, Number(length)] as const];
  });
  knownLengths.set(view, lengths);
  return lengths;
}

function mayBeCut(view: View, rows: readonly DriverRow[]): boolean {
  return lengthsOf(view).some(([name, length]) =>
    rows.some(({ [name]: text }) => typeof text === 'string' && text.length >= length && CUT_NUMBER.test(text)),
  );
}

/** The page of each plan, or what is wrong with it; undefined: it has to be read alone. */
export function pagesOfUnion(view: View, plans: readonly QueryPlan[], { result, fields }: Executed): Together<Page> {
  const own = (fields ?? []).slice(1) as readonly DriverField[];
  const found = plans.map((): DriverRow[] => []);
  for (const row of result as readonly DriverRow[]) {
    const copy: DriverRow = {};
    for (const { name } of own) copy[name] = row[name];
    found[Number(row[WHOSE])]?.push(copy);
  }
  return plans.map((plan, at) => {
    const rows = found[at] ?? [];
    return mayBeCut(view, rows) ? undefined : resultOrError(() => pageOf(view, plan, { result: rows, fields: own }));
  });
}

/** What ends each call of a group: no routine's result begins with a column of this name. */
const ENDED = '#beds';

/** Errors with which the server has undone the whole transaction, and not only what a call did. */
const ALL_UNDONE = 'number IN (1020, 1206, 1213) OR (number = 1205 AND @@innodb_rollback_on_timeout)';

/**
 * Calls of the same text in one transaction, which is left open, in which one that fails is undone by itself. Where a call has ended the
 * transaction there is no savepoint to release.
 */
export function groupStatement(calls: readonly Statement[]): Statement {
  let sql = 'BEGIN NOT ATOMIC START TRANSACTION; ';
  const values: Statement['values'][number][] = [];
  for (const call of calls) {
    sql +=
      'BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN DECLARE number INT; DECLARE state CHAR(5); ' +
      'DECLARE text TEXT CHARACTER SET utf8mb4; ' +
      'GET DIAGNOSTICS CONDITION 1 number = MYSQL_ERRNO, state = RETURNED_SQLSTATE, text = MESSAGE_TEXT; ' +
      `IF ${ALL_UNDONE} THEN RESIGNAL; END IF; ROLLBACK TO SAVEPOINT beds; SELECT number AS \`${ENDED}\`, state AS state, text AS text; END; SAVEPOINT beds; ` +
      `${TIDY}; ${call.sql}; SELECT ROW_COUNT() AS \`${ENDED}\`; ` +
      'RELEASE SAVEPOINT beds; END; ';
    for (const value of call.values) values.push(value);
  }
  return { sql: `${sql}END`, values };
}

/** How many calls of a group had ended when it failed. */
export function callsEnded({ _rows: rows, _fields: fields }: DriverCommand): number {
  return rows.filter((set, at) => Array.isArray(set) && fields[at]?.[0]?.name === ENDED).length;
}

/** Errors that say what is wrong with a call, whenever it is made. */
const OWN_ERRORS = new Set([
  'BEDS_STORE_CONFLICT',
  'BEDS_STORE_FORBIDDEN',
  'BEDS_STORE_INVALID_VALUE',
  'BEDS_STORE_NOT_FOUND',
  'BEDS_STORE_REFUSED',
]);

/** What each call gave, or its error; undefined: it was undone, and has to be made by itself. */
export function resultsOfGroup({ result, fields }: Executed, args: readonly string[]): Together<RoutineRows> {
  const parts = result as readonly (DriverHeader | DriverRow[])[];
  const columns = fields as readonly (readonly DriverField[] | undefined)[];
  const results: (RoutineRows | Error | undefined)[] = [];
  let from = 0;
  parts.forEach((part, index) => {
    if (!Array.isArray(part) || columns[index]?.[0]?.name !== ENDED) return;
    const { [ENDED]: number, state, text } = part[0] ?? {};
    if (state === undefined) {
      const header: DriverHeader = { affectedRows: Math.max(0, Number(number)), serverStatus: 0 };
      const own: Executed = { result: [...parts.slice(from, index), header], fields: columns.slice(from, index) };
      results.push(resultOrError(() => callResult(own)));
    } else {
      const error = toStoreError({ errno: number, sqlState: state, sqlMessage: text }, args);
      results.push(OWN_ERRORS.has(error.code) ? error : undefined);
    }
    from = index + 1;
  });
  return results;
}

function resultOrError<T>(read: () => T): T | Error {
  try {
    return read();
  } catch (error) {
    return error as Error;
  }
}
