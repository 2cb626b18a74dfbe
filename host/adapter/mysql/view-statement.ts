import type { Scalar } from '@beds/sdk';
import type { NamedObject, NamedValue } from '../contract.js';
import type { Condition, QueryPlan } from '../query-plan.js';
import { toDriver } from './bind.js';
import { membersOf, numberOf } from './members.js';
import { qualified, quote } from './names.js';
import type { Statement } from './statement.js';

type View = Extract<NamedObject, { kind: 'view' }>;
type Part = Statement;

const OPERATORS = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;

/** The SELECT of one page (and one row more). Identifiers come from the catalogue alone; values are bound. */
export function viewStatement(view: View, plan: QueryPlan): Statement {
  const parts = [...plan.conditions.map(condition), ...(plan.after === undefined ? [] : [position(plan.after)])];
  const where = parts.length === 0 ? '' : ` WHERE ${parts.map(({ sql }) => sql).join(' AND ')}`;
  const order = plan.order.map(({ column, direction }) => `${sortKey(column)} ${direction === 'asc' ? 'ASC' : 'DESC'}`);
  return {
    sql: `${selectFrom(view)}${where} ORDER BY ${order.join(', ')} LIMIT ?`,
    // n.b. MySQL 8 refuses a LIMIT that is bound as a DOUBLE, which is how the driver sends numbers.
    values: [...parts.flatMap(({ values }) => values), String(plan.limit + 1)],
  };
}

const heads = new WeakMap<View, string>();

function selectFrom(view: View): string {
  const known = heads.get(view);
  if (known !== undefined) return known;
  const head = `SELECT ${view.columns.map(quote).join(', ')} FROM ${qualified(view)}`;
  heads.set(view, head);
  return head;
}

function position(groups: readonly (readonly Condition[])[]): Part {
  const alternatives = groups.map((group) => all(group.map(condition)));
  if (alternatives.length === 0) return { sql: 'FALSE', values: [] };
  return {
    sql: `(${alternatives.map(({ sql }) => sql).join(' OR ')})`,
    values: alternatives.flatMap(({ values }) => values),
  };
}

function all(parts: readonly Part[]): Part {
  return { sql: `(${parts.map(({ sql }) => sql).join(' AND ')})`, values: parts.flatMap(({ values }) => values) };
}

/** n.b. MySQL sorts the last member of a SET of 64 as a sign. */
function sortKey(column: NamedValue): string {
  const members = membersOf(column);
  const isWide = members?.kind === 'set' && members.texts.length === 64;
  return isWide ? `CAST(${quote(column)} AS UNSIGNED)` : quote(column);
}

function condition(test: Condition): Part {
  const name = quote(test.column);
  if (test.op === 'in') return anyOf(name, test.column, test.value);
  const { column, op, value } = test;
  if (value === null) return { sql: `${name} IS ${op === 'eq' ? '' : 'NOT '}NULL`, values: [] };
  const mark = placeholder(column, value);
  if (op === 'prefix') return { sql: `${name} LIKE ${mark} ESCAPE '!'`, values: [`${escapeLike(String(value))}%`] };
  const values = [toDriver(value, column.type)];
  if (op === 'eq') return { sql: `${name} = ${mark}`, values };
  if (op === 'ne') return { sql: `NOT (${name} <=> ${mark})`, values };
  const members = membersOf(column);
  if (members === undefined) return { sql: `${name} ${OPERATORS[op]} ${mark}`, values };
  // n.b. the server orders ENUM and SET by the numbers of their members, and compares them with text as text.
  return {
    sql: `CAST(${name} AS UNSIGNED) ${OPERATORS[op]} CAST(? AS DECIMAL(20,0))`,
    values: [numberOf(column, members, value)],
  };
}

function anyOf(name: string, column: NamedValue, list: readonly Scalar[]): Part {
  const some = list.filter((value) => value !== null);
  const isNull = some.length < list.length ? [{ sql: `${name} IS NULL`, values: [] }] : [];
  if (some.length === 0) return isNull[0] ?? { sql: 'FALSE', values: [] };
  // Rounded up to a power of two, so that lists of every length share few prepared statements.
  const padded = Array.from({ length: 2 ** Math.ceil(Math.log2(some.length)) }, (_, i) => some[i] ?? some[0] ?? null);
  const marks = padded.map((value) => placeholder(column, value)).join(', ');
  const within = { sql: `${name} IN (${marks})`, values: padded.map((value) => toDriver(value, column.type)) };
  return isNull[0] === undefined ? within : { sql: `(${within.sql} OR ${isNull[0].sql})`, values: within.values };
}

/**
 * MySQL compares a number with text as floating point: exact types need an exact partner, in which every value fits, since the
 * server takes the nearest where it does not. A column of a view that is an expression has no collation that wins over that
 * of a bound value.
 */
function placeholder({ type, nativeType, collation }: NamedValue, value: Scalar): string {
  if (type === 'decimal') return `CAST(? AS DECIMAL(65,${String(scaleFor(nativeType, String(value)))}))`;
  if (type === 'integer' && typeof value === 'string') return 'CAST(? AS DECIMAL(20,0))';
  return collation === undefined ? '?' : `? COLLATE ${collation}`;
}

const MOST_DIGITS = 65;
const MOST_DECIMALS = 30;

/** Decimals to compare with: those of the column or, where the value has more, as many as leave room for its whole digits. */
function scaleFor(nativeType: string, value: string): number {
  const own = Number(/^decimal\(\d+,(\d+)\)/i.exec(nativeType)?.[1] ?? 0);
  const [whole = '', decimals = ''] = value.replace(/^[+-]?0*/, '').split('.');
  if (decimals.length <= own) return own;
  return Math.max(own, Math.min(MOST_DECIMALS, MOST_DIGITS - whole.length));
}

function escapeLike(text: string): string {
  return text.replace(/[!%_]/g, '!$&');
}
