import {
  type CheckedColumn,
  type CheckedField,
  type CheckedRecord,
  type CheckedSpecification,
  type Comparison,
  type Formula,
  type Hop,
  type OrderItem,
  partsOf,
  type Type,
  type Unit,
} from '../spec/index.js';
import { blanked, fit, literal, quote } from './mysql-words.js';
import type { Refusals } from './refusals.js';

/** A row that formulas know by a name, and how its fields are written. */
export type RowRef =
  /** A table in a FROM. `isRaw`: as it is stored, whatever has expired. */
  | { readonly kind: 'alias'; readonly alias: string; readonly record: CheckedRecord; readonly isRaw: boolean }
  /** Variables of a routine, one for each field, and `<row>__is_there`. */
  | { readonly kind: 'variables'; readonly name: string; readonly record: CheckedRecord }
  /** A row that is not stored yet: what its fields will be. */
  | { readonly kind: 'values'; readonly values: ReadonlyMap<string, string>; readonly record: CheckedRecord };

/** Further tables of one FROM, for the references that its formulas follow. */
export class Joins {
  readonly lines: string[] = [];
  readonly known = new Map<string, string>();
}

/** Where a formula stands. */
export interface Place {
  readonly path: string;
  readonly row: (name: string) => RowRef | undefined;
  /** The row that is `this` for a set that stands here. */
  readonly own?: RowRef | undefined;
  readonly now: string;
  /** Whether sets read what others have committed since, and lock it: in actions, which decide by them. */
  readonly isLocking: boolean;
  readonly aliases: Set<string>;
  /** Whether it is known who asks: in procedures. Elsewhere records that depend on it cannot be read. */
  readonly knowsCaller?: boolean;
  /** Inside of a row_access or of a set with `all`, which look at all that is stored. */
  readonly isUnfiltered?: boolean;
  readonly joins?: Joins;
  /** What stands for a field that no row here has: of an outer query what the inner one gives along. */
  readonly field?: (formula: Formula & { readonly node: 'field' }) => string;
  /** What stands for a variable: of a query its columns. */
  readonly variable?: (name: string) => string | undefined;
}

export function nowhere(path: string, now = 'v_now'): Place {
  return { path, row: () => undefined, now, isLocking: false, knowsCaller: now === 'v_now', aliases: new Set() };
}

type Of<Name extends Formula['node']> = Extract<Formula, { readonly node: Name }>;

const COMPARISONS: Readonly<Record<Comparison, string>> = {
  ...{ '=': '=', '!=': '<>', '<': '<', '<=': '<=', '>': '>', '>=': '>=' },
};
const INTERVALS: Readonly<Record<Unit, readonly [factor: number, unit: string, micros: number]>> = {
  us: [1, 'MICROSECOND', 1],
  ms: [1000, 'MICROSECOND', 1000],
  s: [1, 'SECOND', 1_000_000],
  min: [1, 'MINUTE', 60_000_000],
  hours: [1, 'HOUR', 3_600_000_000],
  days: [1, 'DAY', 86_400_000_000],
  weeks: [7, 'DAY', 604_800_000_000],
  months: [1, 'MONTH', 0],
  years: [12, 'MONTH', 0],
};

const FUNCTIONS: Readonly<Record<string, (args: readonly string[]) => string>> = {
  coalesce: (args) => `COALESCE(${args.join(', ')})`,
  least: (args) => `LEAST(${args.join(', ')})`,
  greatest: (args) => `GREATEST(${args.join(', ')})`,
  round: ([value = '', digits = '0']) => `ROUND(${value}, ${digits})`,
  floor: ([value = '']) => `FLOOR(${value})`,
  ceil: ([value = '']) => `CEILING(${value})`,
  abs: ([value = '']) => `ABS(${value})`,
  pow: ([base = '', exponent = '']) => `CAST(POW(${base}, ${exponent}) AS SIGNED)`,
  len: ([value = '']) => `CHAR_LENGTH(${value})`,
  lower: ([value = '']) => `LOWER(${value})`,
  upper: ([value = '']) => `UPPER(${value})`,
  trim: ([value = '']) => `TRIM(${value})`,
  concat: (args) => `CONCAT(${args.join(', ')})`,
  substring: ([value = '', from = '', length = '']) => `SUBSTRING(${value}, ${fromStart(from)}, ${length})`,
  digit: ([value = '', place = '']) =>
    `(NULLIF(LOCATE(NULLIF(SUBSTRING(${value}, ${fromStart(place)}, 1), ''), '0123456789'), 0) - 1)`,
  contains: ([value = '', part = '']) => `(LOCATE(LOWER(${part}), LOWER(${value})) > 0)`,
  starts_with: ([value = '', part = '']) => `(LOCATE(LOWER(${part}), LOWER(${value})) = 1)`,
  sha256: ([value = '']) => `SHA2(${value}, 256)`,
  bucket: ([value = '', count = '']) => `(CONV(LEFT(SHA2(${value}, 256), 12), 16, 10) MOD ${count})`,
};
/** n.b. SUBSTRING counts from the end where the place is below zero. */
function fromStart(place: string): string {
  return /^[1-9]\d*$/.test(place) ? place : `GREATEST(${place}, 0)`;
}

/** Of days. Those of moments are taken in the zone. */
const OF_DAYS: Readonly<Record<string, (day: string) => string>> = {
  year: (day) => `YEAR(${day})`,
  month: (day) => `MONTH(${day})`,
  day: (day) => `DAYOFMONTH(${day})`,
  weekday: (day) => `(WEEKDAY(${day}) + 1)`,
  month_of: (day) => `CONCAT(YEAR(${day}), '-', LPAD(MONTH(${day}), 2, '0'))`,
};
const TRUNCATED: Readonly<Record<string, (day: string) => string>> = {
  week: (day) => `(${day} - INTERVAL WEEKDAY(${day}) DAY)`,
  month: (day) => `(${day} - INTERVAL DAYOFMONTH(${day}) - 1 DAY)`,
  quarter: (day) => `(MAKEDATE(YEAR(${day}), 1) + INTERVAL QUARTER(${day}) - 1 QUARTER)`,
  halfyear: (day) => `(MAKEDATE(YEAR(${day}), 1) + INTERVAL IF(MONTH(${day}) < 7, 0, 6) MONTH)`,
  year: (day) => `MAKEDATE(YEAR(${day}), 1)`,
};
const BETWEEN: Readonly<Record<string, number>> = { seconds: 1_000_000, minutes: 60_000_000, hours: 3_600_000_000 };

export const CALLER = { id: 'p_caller_id', roles: 'p_caller_roles' } as const;

/** Functions of a domain's own. */
export type Helper =
  | 'local'
  | 'moment'
  | 'random_code'
  | 'tenant'
  | 'months'
  | 'workdays'
  | 'slug'
  | 'match'
  | 'json_text'
  | 'km'
  | 'instant';

/** Writes formulas as MySQL and MariaDB read them. What they have no equal for is refused by name. */
export class MysqlFormulas {
  readonly specification: CheckedSpecification;
  readonly prefix: string;
  /** Functions of the domain's own that formulas call. */
  readonly used = new Set<Helper>();
  /** Fields of rows in variables that formulas have read, one after the other: the others need not be fetched. */
  readonly fetched: string[] = [];
  readonly #refusals: Refusals;

  constructor(specification: CheckedSpecification, refusals: Refusals) {
    this.specification = specification;
    this.prefix = specification.domain.replaceAll('-', '_');
    this.#refusals = refusals;
  }

  /** Says that it is not made, and goes on, so that all that is not made is said. */
  refuse({ path }: Pick<Place, 'path'>, construct: string): string {
    this.#refusals.add(path, construct);
    return 'NULL';
  }

  record(name: string): CheckedRecord {
    const found = this.specification.records.find((record) => record.name === name);
    // n.b. the checker has resolved every name.
    if (found === undefined) throw new TypeError(`no record ${name}`);
    return found;
  }

  name(...parts: readonly string[]): string {
    return fit([this.prefix, ...parts].join('_'));
  }

  get revision(): number {
    return this.specification.source.revision ?? 1;
  }

  /** Whether a record has a bound that is "not before now". */
  get hasClockBounds(): boolean {
    return this.specification.records.some(({ fields }) => fields.some(({ min }) => looksAtClock(min)));
  }

  /**
   * What callers and routines use: views, procedures, functions. From the second revision of a document on they carry its number, so
   * that those of the version before are there beside them, unchanged, for as long as it is used.
   */
  callable(name: string): string {
    const { revision } = this;
    return fit(revision === 1 ? name : `${name}_v${revision}`);
  }

  fieldOf(record: CheckedRecord, name: string): CheckedField {
    const found = record.fields.find((field) => field.name === name);
    if (found === undefined) throw new TypeError(`no field ${name} in ${record.name}`);
    return found;
  }

  /** An alias that is not taken in this statement. */
  alias(name: string, { aliases }: Pick<Place, 'aliases'>): string {
    let alias = name;
    for (let number = 2; aliases.has(alias); number += 1) alias = `${name}_${number}`;
    aliases.add(alias);
    return quote(alias);
  }

  /** A value that is 0 or 1, never NULL. */
  truth(formula: Formula, place: Place): string {
    const text = this.write(formula, place);
    return formula.nullable || mayBeNull(formula) ? `(${unwrapped(text)}) IS TRUE` : text;
  }

  /** A condition of IF, WHERE or WHEN, where NULL counts as false. */
  condition(formula: Formula, place: Place): string {
    return unwrapped(this.write(formula, place));
  }

  /** True where the formula is not: false and NULL. */
  negation(formula: Formula, place: Place): string {
    return `(${this.condition(formula, place)}) IS NOT TRUE`;
  }

  /** As a value that is stored, answered or compared. */
  value(formula: Formula, place: Place): string {
    const isTest = ['compare', 'and', 'or', 'not', 'in'].includes(formula.node);
    return isTest ? this.truth(formula, place) : this.write(formula, place);
  }

  write(formula: Formula, place: Place): string {
    switch (formula.node) {
      case 'literal':
        return this.#literal(formula.value, formula.type);
      case 'span':
        return String(formula.amount * INTERVALS[formula.in][2]);
      case 'argument':
        return `p_${formula.name}`;
      case 'argument_column':
        return this.refuse(place, 'a column of a list argument by itself');
      case 'given':
        return `(p_${formula.name} IS NOT NULL)`;
      case 'caller':
        return formula.what === 'user' ? CALLER.id : this.tenant;
      case 'has_role':
        return `(JSON_CONTAINS(${CALLER.roles}, JSON_QUOTE(${literal(formula.role)})) IS TRUE)`;
      case 'now':
        return place.now;
      case 'today':
        return `DATE(${this.#local(place.now)})`;
      case 'field':
        return this.#field(formula, place);
      case 'row':
        return this.#keyOf(formula.row, place);
      case 'variable':
        return place.variable?.(formula.name) ?? `v_${formula.name}`;
      case 'item_column':
        return `${formula.item}__${formula.column}`;
      case 'position':
        return `position_${formula.item}`;
      case 'not':
        return `(${this.negation(formula.of, place)})`;
      case 'negate':
        return `(-${this.write(formula.of, place)})`;
      case 'and':
      case 'or':
        return `(${formula.of.map((part) => this.write(part, place)).join(` ${formula.node.toUpperCase()} `)})`;
      case 'compare':
        return this.#compare(formula, place);
      case 'is_null':
        return this.#isNull(formula, place);
      case 'in':
        return this.#in(formula, place);
      case 'arithmetic':
        return this.#arithmetic(formula, place);
      case 'call':
        return this.#call(formula, place);
      case 'set':
        return this.#set(formula, place);
      case 'list_total':
        return this.#listTotal(formula, place);
      case 'total':
        return this.#total(formula, place);
      case 'window':
        return this.#window(formula, place);
      case 'answer_value':
        return `v_${formula.answer}_${formula.name}`;
    }
  }

  /** `ORDER BY` items. */
  order(items: readonly OrderItem[], place: Place): readonly string[] {
    return items.map(({ by, direction }) => `${this.orderable(by, place)}${direction === 'desc' ? ' DESC' : ''}`);
  }

  /** n.b. an enum is ordered as its values are written: a column of MySQL is, a text of one is not. */
  orderable(formula: Formula, place: Place): string {
    const text = this.write(formula, place);
    if (formula.type.kind !== 'enum') return text;
    return `FIELD(${text}, ${formula.type.values.map(literal).join(', ')})`;
  }

  /** The organisation of whoever calls, in a procedure. n.b. users have roles, and that of an organisation begins with `tenant:`. */
  get tenant(): string {
    this.used.add('tenant');
    return 'v_tenant';
  }

  /** Whether a text may be longer than variables are else. */
  get hasLongTexts(): boolean {
    return /"max_length":(?:[1-9]\d{3,}|9\d\d)[,}]/.test(JSON.stringify(this.specification.source));
  }

  /** A call of a function of the domain's own. */
  helper(name: Helper, ...args: readonly string[]): string {
    this.used.add(name);
    return `${this.callable(`_${this.prefix}_${name}`)}(${args.join(', ')})`;
  }

  /** The fields by which a table tells its records apart: organisations that name theirs themselves may use the same names. */
  tableKey(record: CheckedRecord): readonly string[] {
    return record.spec.per_tenant === true && record.keyKind === 'fields' ? ['tenant', ...record.key] : record.key;
  }

  /** That a row is the one with this key. */
  keyIs(record: CheckedRecord, alias: string, value: (name: string) => string): string {
    return this.tableKey(record)
      .map((name) => `${alias}.${quote(name)} = ${value(name)}`)
      .join(' AND ');
  }

  #literal(value: string | number | boolean | null, type: Type): string {
    if (value === null) return 'NULL';
    if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE';
    if (typeof value === 'number' || type.kind === 'decimal' || type.kind === 'integer') return String(value);
    if (type.kind === 'date') return `DATE ${literal(value)}`;
    if (type.kind === 'time') return `TIME ${literal(value)}`;
    if (type.kind === 'timestamp') return `TIMESTAMP ${literal(value.replace('T', ' ').replace('Z', ''))}`;
    return literal(value);
  }

  #local(moment: string): string {
    if (this.specification.source.zone === 'UTC') return moment;
    return this.helper('local', moment);
  }

  /** The day of a date or a moment. */
  #day(formula: Formula | undefined, place: Place): string {
    if (formula === undefined) return 'NULL';
    const text = this.write(formula, place);
    return formula.type.kind === 'timestamp' ? `DATE(${this.#local(text)})` : text;
  }

  /** A field of a row, as readers see it. */
  read(ref: RowRef, field: CheckedField, place: Place): string {
    if (field.computed !== undefined) {
      const inside: Place = { ...place, row: (name) => (name === 'this' ? ref : undefined), own: ref };
      return this.value(field.computed, inside);
    }
    if (ref.kind === 'values') return ref.values.get(field.name) ?? 'NULL';
    if (ref.kind === 'variables') {
      this.fetched.push(`${ref.name}__${field.name}`);
      return `${ref.name}__${field.name}`;
    }
    return ref.isRaw ? `${ref.alias}.${quote(field.name)}` : this.#effective(ref, field, place);
  }

  /** What has expired counts as changed from that moment on, whether or not that was written. */
  #effective(ref: RowRef & { readonly kind: 'alias' }, field: CheckedField, place: Place): string {
    const column = `${ref.alias}.${quote(field.name)}`;
    const changed = ref.record.expires?.set?.find(({ name }) => name === field.name);
    if (changed === undefined) return column;
    const raw = this.#raw(ref, place);
    return `IF(${this.expired(ref, place)}, ${this.value(changed.value, raw)}, ${column})`;
  }

  #raw(ref: RowRef & { readonly kind: 'alias' }, place: Place): Place {
    const own: RowRef = { ...ref, isRaw: true };
    return { ...place, path: `records.${ref.record.name}.expires`, row: () => own, own };
  }

  /** Whether a stored row has expired. */
  expired(ref: RowRef & { readonly kind: 'alias' }, place: Place): string {
    const { expires } = ref.record;
    return expires === undefined ? 'FALSE' : this.#ended([expires.when], ref, place);
  }

  /** That some conditions hold, and that the moment of the end is there. */
  #ended(conditions: readonly Formula[], ref: RowRef & { readonly kind: 'alias' }, place: Place): string {
    const { expires } = ref.record;
    if (expires === undefined) return 'FALSE';
    const raw = this.#raw(ref, place);
    const until = expires.at.type.kind === 'date' ? `DATE(${this.#local(place.now)})` : place.now;
    const parts = conditions.map((condition) => this.write(condition, raw));
    return [...parts, `${this.write(expires.at, raw)} <= ${until}`].join(' AND ');
  }

  #field(formula: Of<'field'>, place: Place): string {
    if (place.field !== undefined) return place.field(formula);
    const start = place.row(formula.row);
    if (start === undefined) return this.refuse(place, `the row ${formula.row} here`);
    const field = this.fieldOf(this.record(formula.record), formula.field);
    return this.#follow(start, formula.path, { field, place });
  }

  /** What lies behind references: a join where there is a FROM to join, else a read of its own. */
  #follow(
    start: RowRef,
    path: readonly Hop[],
    { field, place }: { readonly field: CheckedField; readonly place: Place },
  ): string {
    const [hop, ...more] = path;
    if (hop === undefined) return this.read(start, field, place);
    const to = this.record(hop.to);
    const keyName = to.key[0] ?? 'id';
    const from = this.read(start, this.fieldOf(start.record, hop.field), place);
    const { joins } = place;
    // n.b. what belongs to an organisation leads to what belongs to it.
    const around: Place = start.kind === 'alias' && place.isUnfiltered !== true ? { ...place, own: start } : place;
    if (start.kind === 'alias' && joins !== undefined) {
      let alias = joins.known.get(from);
      if (alias === undefined) {
        alias = this.alias(hop.field, place);
        joins.known.set(from, alias);
        const seen = this.visible({ kind: 'alias', alias, record: to, isRaw: false }, around);
        const also = seen === undefined ? '' : ` AND ${seen}`;
        joins.lines.push(`LEFT JOIN ${this.name(to.name)} AS ${alias} ON ${alias}.${quote(keyName)} = ${from}${also}`);
      }
      return this.#follow({ kind: 'alias', alias, record: to, isRaw: false }, more, { field, place });
    }
    const alias = this.alias(hop.field, place);
    const inner = new Joins();
    const ref: RowRef = { kind: 'alias', alias, record: to, isRaw: false };
    const value = this.#follow(ref, more, { field, place: { ...place, joins: inner } });
    const tables = [`${this.name(to.name)} AS ${alias}`, ...inner.lines].join(' ');
    const seen = this.visible(ref, around);
    const also = seen === undefined ? '' : ` AND ${seen}`;
    return `(SELECT ${value} FROM ${tables} WHERE ${alias}.${quote(keyName)} = ${from}${also})`;
  }

  /** Which rows of a record are there, and whoever asks may see; undefined: all. */
  visible(ref: RowRef & { readonly kind: 'alias' }, place: Place): string | undefined {
    const { spec, rowAccess } = ref.record;
    const parts = [...this.isThere(ref, place)];
    if (spec.per_tenant === true) {
      const tenant = this.#tenantAt(place, ref.record);
      parts.push(`${ref.alias}.${quote('tenant')} = ${tenant}`);
    }
    if (rowAccess !== undefined && place.isUnfiltered !== true) {
      if (place.knowsCaller === true) parts.push(`(${this.access(rowAccess.read, ref, place)})`);
      else this.refuse(place, `what depends on who asks, ${ref.record.name}, in a view or a trigger`);
    }
    return parts.length === 0 ? undefined : parts.join(' AND ');
  }

  /** That a row is neither deleted nor has ended. */
  isThere(ref: RowRef & { readonly kind: 'alias' }, place: Place): readonly string[] {
    const { spec, expires } = ref.record;
    return [
      ...(spec.soft_delete === true ? [`${ref.alias}.${quote('deleted_at')} IS NULL`] : []),
      ...(expires !== undefined && expires.set === undefined ? [`(${this.expired(ref, place)}) IS NOT TRUE`] : []),
    ];
  }

  /** Whose records are seen: the caller's; where nobody calls, those of the organisation of the row that stands here. */
  #tenantAt(place: Place, record: CheckedRecord): string {
    if (place.knowsCaller === true) return this.tenant;
    const { own } = place;
    if (own?.kind === 'alias' && own.record.spec.per_tenant === true) return `${own.alias}.${quote('tenant')}`;
    return this.refuse(place, `what depends on who asks, ${record.name}, in a view or a trigger`);
  }

  /** A formula of row_access, of one row. n.b. without joins: what it follows is read by itself. */
  access(formula: Formula, ref: RowRef, place: Place): string {
    const { joins: _, ...around } = place;
    return this.condition(formula, {
      ...around,
      ...{ path: `records.${ref.record.name}.row_access`, own: ref, isUnfiltered: true },
      row: (name) => (name === 'this' ? ref : undefined),
    });
  }

  #keyOf(row: string, place: Place): string {
    const ref = place.row(row);
    if (ref === undefined) return this.refuse(place, `the row ${row} here`);
    return this.read(ref, this.fieldOf(ref.record, ref.record.key[0] ?? 'id'), place);
  }

  #compare({ op, left, right }: Of<'compare'>, place: Place): string {
    const isOrder = op !== '=' && op !== '!=';
    const expiring = op === '=' ? this.#compareExpiring(left, right, place) : undefined;
    if (expiring !== undefined) return expiring;
    const near = this.#near({ op, left, right }, place);
    const side = (formula: Formula, other: Formula): string => {
      const { type } = formula.type.kind === 'enum' || !isOrder ? formula : other;
      if (isOrder && type.kind === 'enum')
        return `FIELD(${this.write(formula, place)}, ${type.values.map(literal).join(', ')})`;
      return this.value(formula, place);
    };
    const text = `${side(left, right)} ${COMPARISONS[op]} ${side(right, left)}`;
    return near === undefined ? text : `(${near} AND ${text})`;
  }

  /** What is nearer than so many kilometres lies in a band of latitudes, which an index finds. */
  #near({ op, left, right }: Pick<Of<'compare'>, 'op' | 'left' | 'right'>, place: Place): string | undefined {
    const [call, most] = op === '<' || op === '<=' ? [left, right] : [right, left];
    if (op === '=' || op === '!=' || call.node !== 'call' || call.name !== 'km') return undefined;
    const isOwn = (formula: Formula | undefined): boolean => {
      if (formula?.node !== 'field' || formula.path.length > 0 || place.field !== undefined) return false;
      const ref = place.row(formula.row);
      if (ref?.kind !== 'alias' || ref.alias === 'NEW' || ref.alias === 'OLD') return false;
      const field = this.fieldOf(ref.record, formula.field);
      const isKept = ref.isRaw || ref.record.expires?.set?.some(({ name }) => name === field.name) !== true;
      return field.computed === undefined && isKept;
    };
    const [own, other] = isOwn(call.args[0]) ? call.args : call.args.toReversed();
    if (own?.node !== 'field' || !isOwn(own) || other === undefined) return undefined;
    const ref = place.row(own.row);
    if (ref?.kind !== 'alias') return undefined;
    const middle = `JSON_EXTRACT(${this.write(other, place)}, '$.lat')`;
    const degrees = `${this.write(most, place)} / 111.19`;
    return `${ref.alias}.${quote(latitudeOf(own.field))} BETWEEN ${middle} - ${degrees} AND ${middle} + ${degrees}`;
  }

  /** A field that expires, compared with what it does not expire to: so that an index on it can be used. */
  #compareExpiring(left: Formula, right: Formula, place: Place): string | undefined {
    if (left.node !== 'field' || left.path.length > 0) return undefined;
    const ref = place.row(left.row);
    if (ref?.kind !== 'alias' || ref.isRaw) return undefined;
    const changed = ref.record.expires?.set?.find(({ name }) => name === left.field)?.value;
    if (changed?.node !== 'literal') return undefined;
    const isOther = changed.value === null || (right.node === 'literal' && right.value !== changed.value);
    if (!isOther) return undefined;
    const column = `${ref.alias}.${quote(left.field)}`;
    const isIt = `${column} = ${this.value(right, place)}`;
    const rest = this.#expiredWhere(ref, { field: left.field, value: right }, place);
    return rest === undefined ? isIt : `(${isIt} AND (${rest}) IS NOT TRUE)`;
  }

  /** Whether a stored row has expired of which a field is known; undefined: none of these ever does. */
  #expiredWhere(
    ref: RowRef & { readonly kind: 'alias' },
    known: { readonly field: string; readonly value: Formula },
    place: Place,
  ): string | undefined {
    const { expires } = ref.record;
    const { value } = known;
    if (expires === undefined || value.node !== 'literal') return this.expired(ref, place);
    const conditions = expires.when.node === 'and' ? expires.when.of : [expires.when];
    const said = conditions.flatMap((condition) => {
      if (condition.node !== 'compare' || condition.op !== '=') return [];
      const { left, right } = condition;
      const isOwn = left.node === 'field' && left.path.length === 0 && left.field === known.field;
      return isOwn && right.node === 'literal' ? [{ condition, value: right.value }] : [];
    });
    if (said.some((one) => one.value !== value.value)) return undefined;
    const others = conditions.filter((condition) => !said.some((one) => one.condition === condition));
    return this.#ended(others, ref, place);
  }

  #isNull({ of, not }: Of<'is_null'>, place: Place): string {
    if (of.node === 'row') {
      const ref = place.row(of.row);
      if (ref?.kind === 'variables') return not ? `is_there_${ref.name}` : `NOT is_there_${ref.name}`;
      if (ref?.kind !== 'alias') return this.refuse(place, `the row ${of.row} here`);
      return `${ref.alias}.${quote(ref.record.key[0] ?? 'id')} IS ${not ? 'NOT ' : ''}NULL`;
    }
    return `${this.value(of, place)} IS ${not ? 'NOT ' : ''}NULL`;
  }

  #in({ of, list, not }: Of<'in'>, place: Place): string {
    const value = this.write(of, place);
    const text = Array.isArray(list)
      ? `${value} IN (${(list as readonly Formula[]).map((each) => this.write(each, place)).join(', ')})`
      : this.#has(list as Formula, of, place);
    return not ? `((${text}) IS NOT TRUE)` : text;
  }

  /** Whether a list has a value. */
  #has(list: Formula, value: Formula, place: Place): string {
    const text = this.value(value, place);
    if (list.node === 'call' && list.name === 'range') {
      const [from, to] = list.args.map((arg) => this.write(arg, place));
      return `(${text} BETWEEN ${from} AND ${to})`;
    }
    const items = this.#items(list, place);
    return items === undefined ? 'FALSE' : `(${text} IN (SELECT ${items.value} FROM ${items.from}))`;
  }

  /** The items of a list of values, which is kept as JSON, as a table of one column. */
  #items(list: Formula, place: Place): { readonly value: string; readonly from: string } | undefined {
    const of = list.type.kind === 'list' ? list.type.of : list.type;
    const made = jsonItem({ type: this.keyType(of) });
    if (made === undefined) {
      this.refuse(place, `a list of ${of.kind}`);
      return undefined;
    }
    const isColumn = list.node === 'argument_column';
    const alias = this.alias('item', place);
    // n.b. of an action that is called by another one, its list is a variable.
    const json = isColumn ? ((list as { readonly list?: string }).list ?? `p_${list.name}`) : this.write(list, place);
    const path = isColumn ? `$.${list.column}` : '$';
    return {
      value: made.convert(`${alias}.${quote('value')}`),
      from: `JSON_TABLE(COALESCE(${json}, '[]'), '$[*]' COLUMNS (${quote('value')} ${made.read} ${TEXT} PATH '${path}')) AS ${alias}`,
    };
  }

  /** What a reference is kept as. */
  keyType(type: Type): Type {
    if (type.kind !== 'reference') return type;
    const record = this.record(type.record);
    const [name = 'id'] = record.key;
    return this.keyType(this.fieldOf(record, name).type);
  }

  #arithmetic(formula: Of<'arithmetic'>, place: Place): string {
    const { op, left, right } = formula;
    const [a, b] = [left.type.kind, right.type.kind];
    if (a === 'time' || b === 'time') return this.refuse(place, 'arithmetic of times of day');
    if (b === 'span' && a !== 'span' && (op === '+' || op === '-')) return this.#moved(left, { op, by: right }, place);
    if (a === 'span' && b !== 'span' && op === '+') return this.#moved(right, { op, by: left }, place);
    if (formula.type.kind === 'span' && formula.type.calendar)
      return this.refuse(place, 'a length in months that is no part of a date');
    const [first, second] = [this.write(left, place), this.write(right, place)];
    // n.b. a moment minus a moment, in microseconds as every length of time here.
    if (formula.type.kind === 'span' && (a === 'date' || a === 'timestamp'))
      return `TIMESTAMPDIFF(MICROSECOND, ${second}, ${first})`;
    if (op === '/') {
      // Twenty digits more, so that what is rounded afterwards is not rounded twice.
      const dividend = a === 'float' || b === 'float' ? first : `CAST(${unwrapped(first)} AS DECIMAL(60, 20))`;
      return `(${dividend} / ${divisor(right, second)})`;
    }
    if (op === '%') return `(${first} MOD ${divisor(right, second)})`;
    return `(${first} ${op} ${second})`;
  }

  /** A day or a moment, so much later: months first, then the rest. */
  #moved(start: Formula, { op, by }: { readonly op: '+' | '-'; readonly by: Formula }, place: Place): string {
    const text = this.write(start, place);
    const plain = this.#interval(by, place);
    if (plain !== undefined) {
      const moved = `(${text} ${op} ${plain})`;
      return start.type.kind === 'date' && !/ (?:DAY|MONTH)$/.test(plain) ? `DATE${moved}` : moved;
    }
    const [months, micros] = [this.#lengthIn('months', by, place), this.#lengthIn('micros', by, place)];
    const parts = [
      ...(months === '0' ? [] : [`INTERVAL ${months} MONTH`]),
      ...(micros === '0' ? [] : [`INTERVAL ${micros} MICROSECOND`]),
    ];
    const moved = `(${[text, ...parts].join(` ${op} `)})`;
    return start.type.kind === 'date' ? `DATE${moved}` : moved;
  }

  /** `15 min`, or a number of them: `:minutes * 1 min`. */
  #interval(formula: Formula, place: Place): string | undefined {
    if (formula.node === 'span') {
      const [factor, unit] = INTERVALS[formula.in];
      return `INTERVAL ${formula.amount * factor} ${unit}`;
    }
    if (formula.node === 'arithmetic' && formula.op === '*') {
      const [span, number] = [formula.left, formula.right].toSorted((one) => (one.node === 'span' ? -1 : 1));
      if (span?.node === 'span' && number !== undefined) {
        const [factor, unit] = INTERVALS[span.in];
        const times = span.amount * factor;
        return `INTERVAL ${this.write(number, place)}${times === 1 ? '' : ` * ${times}`} ${unit}`;
      }
    }
    if (formula.type.kind === 'span' && formula.type.calendar) return undefined;
    return `INTERVAL ${this.write(formula, place)} MICROSECOND`;
  }

  /** The whole months of a length of time, or the rest of it in microseconds: a number. */
  #lengthIn(part: 'months' | 'micros', formula: Formula, place: Place): string {
    const { type } = formula;
    if (type.kind === 'span' && !type.calendar) return part === 'months' ? '0' : this.write(formula, place);
    const of = (inner: Formula | undefined): string => (inner === undefined ? '0' : this.#lengthIn(part, inner, place));
    switch (formula.node) {
      case 'span': {
        const [factor, , micros] = INTERVALS[formula.in];
        return String(part === 'months' ? formula.amount * factor : formula.amount * micros);
      }
      case 'negate':
        return of(formula.of) === '0' ? '0' : `(-${of(formula.of)})`;
      case 'arithmetic': {
        const { op, left, right } = formula;
        if (op === '*') {
          const [span, number] = left.type.kind === 'span' ? [left, right] : [right, left];
          return of(span) === '0' ? '0' : `(${of(span)} * ${this.write(number, place)})`;
        }
        const [a, b] = [of(left), of(right)];
        if (b === '0') return a;
        return a === '0' && op === '+' ? b : `(${a} ${op} ${b})`;
      }
      case 'call': {
        const [condition, yes, no] = formula.args;
        if (formula.name === 'if' && condition !== undefined)
          return of(yes) === '0' && of(no) === '0'
            ? '0'
            : `IF(${this.condition(condition, place)}, ${of(yes)}, ${of(no)})`;
        return this.refuse(place, `a length in months by ${formula.name}`);
      }
      default:
        return this.refuse(place, 'a length in months that is kept');
    }
  }

  #call(formula: Of<'call'>, place: Place): string {
    const { name, args } = formula;
    const [first, second, third] = args;
    if (name === 'if' && first !== undefined && second !== undefined && third !== undefined)
      return `IF(${this.condition(first, place)}, ${this.value(second, place)}, ${this.value(third, place)})`;
    if (first === undefined) return this.refuse(place, `the function ${name}`);
    const texts = (): readonly string[] => args.map((arg) => this.#argument(arg, { name, place }));
    const plain = FUNCTIONS[name];
    if (plain !== undefined) return plain(texts());
    const ofDays = OF_DAYS[name];
    if (ofDays !== undefined) return ofDays(this.#day(first, place));
    if (name === 'months' || name === 'workdays')
      return this.helper(name, this.#day(first, place), this.#day(second, place));
    if (name === 'slug') return this.helper('slug', this.write(first, place));
    if (name === 'match') {
      const [words = '', ...fields] = texts();
      return `(${this.helper('match', words, fields.length === 1 ? (fields[0] ?? '') : `CONCAT_WS(' ', ${fields.join(', ')})`)} IS TRUE)`;
    }
    if (name === 'km') return this.helper('km', ...texts());
    if (name === 'text' || name === 'number') return this.#inData(name, formula, place);
    if (name === 'days') return `DATEDIFF(${this.#day(second, place)}, ${this.#day(first, place)})`;
    if (name === 'date') return this.#day(first, place);
    if (name === 'trunc' && second?.node === 'literal')
      return TRUNCATED[String(second.value)]?.(this.#day(first, place)) ?? this.refuse(place, 'the function trunc');
    const micros = BETWEEN[name];
    if (micros !== undefined) return `(TIMESTAMPDIFF(MICROSECOND, ${texts().join(', ')}) DIV ${micros})`;
    if (name === 'time') return `CAST(DATE_FORMAT(${this.#local(this.write(first, place))}, '%H:%i:00') AS TIME)`;
    if (name === 'hour' || name === 'minute') {
      const text = this.write(first, place);
      return `${name.toUpperCase()}(${first.type.kind === 'timestamp' ? this.#local(text) : text})`;
    }
    if (name === 'timestamp') {
      this.used.add('local');
      return this.helper('moment', `TIMESTAMP(${texts().join(', ')})`);
    }
    if (name === 'random_code') return this.helper('random_code', ...texts());
    if (name === 'has' && second !== undefined) {
      const found = this.#has(first, second, place);
      return first.nullable ? `IF(${this.write(first, place)} IS NULL, NULL, ${found})` : found;
    }
    return this.refuse(place, `the function ${name}`);
  }

  /** A text or a number out of free data: a word of the path is a name, or a place in a list. */
  #inData(name: 'text' | 'number', { args }: Of<'call'>, place: Place): string {
    const [data, path] = args;
    if (data === undefined || path?.node !== 'literal') return this.refuse(place, `the function ${name}`);
    const words = String(path.value).split('.');
    const named = words.map((word) => `."${word.replaceAll('"', '')}"`).join('');
    const placed = words.map((word) => (/^\d+$/.test(word) ? `[${word}]` : `."${word.replaceAll('"', '')}"`)).join('');
    const text = this.write(data, place);
    const found = [...new Set([named, placed])].map((each) => `JSON_EXTRACT(${text}, ${literal(`$${each}`)})`);
    const value = this.helper('json_text', found.length === 1 ? (found[0] ?? '') : `COALESCE(${found.join(', ')})`);
    if (name === 'text') return value;
    return `CAST(IF(${value} REGEXP '^-?[0-9]+([.][0-9]+)?$', ${value}, NULL) AS DECIMAL(60, 10))`;
  }

  /** n.b. a moment in a text is written as answers show it. */
  #argument(arg: Formula, { name, place }: { readonly name: string; readonly place: Place }): string {
    const text = this.value(arg, place);
    if (name !== 'concat' && name !== 'sha256') return text;
    if (arg.type.kind === 'timestamp') return `CONCAT(LEFT(DATE_FORMAT(${text}, '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')`;
    if (arg.type.kind === 'time') return `TIME_FORMAT(${text}, '%H:%i')`;
    if (arg.type.kind === 'boolean') return `IF(${text}, 'true', 'false')`;
    return arg.type.kind === 'json' ? `CAST(${text} AS CHAR)` : text;
  }

  #set(formula: Of<'set'>, place: Place): string {
    const record = this.record(formula.record);
    const around = formula.all ? { ...place, isUnfiltered: true } : place;
    const { inside, from, where } = this.source(record, { where: formula.where, around });
    const value = formula.value === undefined ? undefined : this.value(formula.value, inside);
    const order = formula.order === undefined ? [] : this.order(formula.order, inside);
    // Without it a set is as old as the first read of the transaction, and what others have written since would be missed.
    const lock = place.isLocking ? ' FOR UPDATE' : '';
    const rest = `FROM ${from()}${where}`;
    const distinct = formula.distinct ? 'DISTINCT ' : '';
    switch (formula.function) {
      case 'exists':
        return `EXISTS (SELECT 1 ${rest}${lock})`;
      case 'count':
        return `(SELECT COUNT(${distinct}${value ?? '*'}) ${rest}${lock})`;
      case 'sum':
        return `(SELECT COALESCE(SUM(${distinct}${value ?? '1'}), 0) ${rest}${lock})`;
      case 'first': {
        const key = record.key.map((name) => this.read(inside.own, this.fieldOf(record, name), inside));
        return `(SELECT ${value ?? '1'} ${rest} ORDER BY ${[...order, ...key].join(', ')} LIMIT 1${lock})`;
      }
      case 'avg':
        return `(SELECT AVG(CAST(${value ?? '1'} AS DECIMAL(60, 20))) ${rest}${lock})`;
      case 'min':
      case 'max':
        return `(SELECT ${extreme(formula.function, value ?? '1', formula.value?.type)} ${rest}${lock})`;
    }
  }

  /** The records of a type that fit, for a set or a step: its place, and its FROM once everything in it is written. */
  source(
    record: CheckedRecord,
    { where, around }: { readonly where: Formula | undefined; readonly around: Place },
  ): { readonly inside: Place & { readonly own: RowRef }; readonly from: () => string; readonly where: string } {
    const alias = this.alias(record.name, around);
    const own = { kind: 'alias', alias, record, isRaw: false } as const;
    const joins = new Joins();
    const inside = {
      ...around,
      row: (name: string) => (name === record.name ? own : name === 'this' ? (around.own ?? own) : around.row(name)),
      ...{ own, joins },
    };
    const seen = this.visible(own, inside);
    const conditions = [
      ...(where === undefined ? [] : [this.condition(where, inside)].filter((text) => text !== 'TRUE')),
      ...(seen === undefined ? [] : [seen]),
    ];
    const [first = '', ...others] = conditions;
    const whole = others.length === 0 ? first : [grouped(first), ...others].join(' AND ');
    return {
      inside,
      from: () => [`${this.name(record.name)} AS ${alias}`, ...joins.lines].join(' '),
      where: whole === '' ? '' : ` WHERE ${whole}`,
    };
  }

  #listTotal(formula: Of<'list_total'>, place: Place): string {
    const { list } = formula;
    if (formula.function === 'count' && list.node !== 'argument_column')
      return `COALESCE(JSON_LENGTH(${this.write(list, place)}), 0)`;
    const items = this.#items(list, place);
    if (items === undefined) return 'NULL';
    const { value, from } = items;
    const { type } = list;
    const of = this.keyType(type.kind === 'list' ? type.of : type);
    const distinct = 'distinct' in formula && formula.distinct === true ? 'DISTINCT ' : '';
    if (formula.function === 'count') return `(SELECT COUNT(${distinct}${value}) FROM ${from})`;
    if (formula.function === 'sum') return `(SELECT COALESCE(SUM(${value}), 0) FROM ${from})`;
    if (formula.function === 'avg') return `(SELECT AVG(CAST(${value} AS DECIMAL(60, 20))) FROM ${from})`;
    return `(SELECT ${extreme(formula.function, value, of)} FROM ${from})`;
  }

  #total(formula: Of<'total'>, place: Place): string {
    const value = formula.value === undefined ? '*' : unwrapped(this.value(formula.value, place));
    const distinct = formula.distinct ? 'DISTINCT ' : '';
    if (formula.function === 'count') return `COUNT(${distinct}${value})`;
    if (formula.function === 'sum') return `COALESCE(SUM(${distinct}${value}), 0)`;
    if (formula.function === 'avg') return `AVG(CAST(${value} AS DECIMAL(60, 20)))`;
    return extreme(formula.function, value, formula.value?.type);
  }

  #window(formula: Of<'window'>, place: Place): string {
    const plain = formula.value === undefined ? '' : unwrapped(this.value(formula.value, place));
    const value = formula.function === 'avg' ? `CAST(${plain} AS DECIMAL(60, 20))` : plain;
    const partition = formula.partition.map((each) => this.write(each, place));
    const order = this.order(formula.order, place);
    const over = [
      ...(partition.length === 0 ? [] : [`PARTITION BY ${partition.join(', ')}`]),
      ...(order.length === 0 ? [] : [`ORDER BY ${order.join(', ')}`]),
      ...(formula.preceding === undefined ? [] : [`ROWS ${formula.preceding} PRECEDING`]),
    ].join(' ');
    const text = `${formula.function.toUpperCase()}(${value === '' && formula.function === 'count' ? '*' : value}) OVER (${over})`;
    return formula.function === 'sum' ? `COALESCE(${text}, 0)` : text;
  }
}

/** n.b. words of an enum come in the order in which they are written. */
function extreme(kind: 'min' | 'max', value: string, type: Type | undefined): string {
  if (type?.kind !== 'enum') return `${kind.toUpperCase()}(${value})`;
  const words = type.values.map(literal).join(', ');
  return `ELT(${kind.toUpperCase()}(FIELD(${value}, ${words})), ${words})`;
}

/** The column beside a place, by which an index finds what is near. */
export function latitudeOf(field: string): string {
  return fit(`_${field}_lat`);
}

/** n.b. `a OR b` beside AND. */
export function grouped(text: string): string {
  return blanked(text).includes(' OR ') ? `(${text})` : text;
}

/** Parentheses around the whole, which a place that has its own does not need. */
export function unwrapped(text: string): string {
  if (!text.startsWith('(') || !text.endsWith(')')) return text;
  const bare = blanked(text);
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const sign = bare.charAt(at);
    if (sign === '(') depth += 1;
    if (sign === ')') depth -= 1;
    if (depth === 0 && at < text.length - 1) return text;
  }
  const inner = text.slice(1, -1);
  return inner.startsWith('SELECT ') ? text : inner;
}

/** n.b. a comparison of what can be null is said not to be null, because it counts as false; in SQL it is NULL. */
function mayBeNull(formula: Formula): boolean {
  switch (formula.node) {
    case 'compare':
      return formula.left.nullable || formula.right.nullable;
    case 'and':
    case 'or':
      return formula.of.some(mayBeNull);
    case 'in':
      return true;
    case 'call':
      return formula.args.some(({ nullable }) => nullable);
    default:
      return formula.nullable;
  }
}

function divisor(formula: Formula, text: string): string {
  return formula.node === 'literal' && Number(formula.value) !== 0 ? text : `NULLIF(${unwrapped(text)}, 0)`;
}

/** How values of a type are declared: as a column, as a parameter, and in the template. */
export interface Declared {
  readonly column: string;
  /** Wider than the column where MySQL would round what does not fit in place of refusing it. */
  readonly parameter: string;
  readonly template: string;
}

const TEXT = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

interface Sized {
  readonly type: Type;
  readonly spec?: object | undefined;
}

/** Undefined: this generator has no such type, and refuses what has it. */
export function declared({ type, spec }: Sized, formulas: MysqlFormulas): Declared | undefined {
  const of = (spec ?? {}) as {
    readonly max_length?: number;
    readonly precision?: number;
    readonly max_items?: number;
    readonly computed?: string;
  };
  const same = (column: string, template: string): Declared => ({ column, parameter: column, template });
  switch (type.kind) {
    case 'text': {
      const most = of.max_length ?? 200;
      return same(
        `${most > 16_000 ? 'MEDIUMTEXT' : most > 4000 ? 'TEXT' : `VARCHAR(${most})`} ${TEXT}`,
        // n.b. what a formula gives may be as long as what it is made of.
        spec === undefined || (of.max_length === undefined && of.computed !== undefined)
          ? 't.string()'
          : `t.string({ max: ${most} })`,
      );
    }
    case 'integer':
      return same('BIGINT', 't.int()');
    case 'decimal':
      return {
        column: `DECIMAL(${of.precision ?? 50}, ${type.scale})`,
        parameter: 'DECIMAL(60, 20)',
        template: 't.decimal()',
      };
    case 'float':
      return same('DOUBLE', 't.number()');
    case 'boolean':
      return same('BOOLEAN', 't.boolean()');
    case 'date':
      return same('DATE', 't.date()');
    case 'time':
      return same('TIME', 't.string({ max: 8 })');
    case 'timestamp':
      return same('DATETIME(3)', 't.datetime()');
    case 'enum':
      return {
        column: `ENUM(${type.values.map(literal).join(', ')}) ${TEXT}`,
        parameter: `VARCHAR(40) ${TEXT}`,
        template: `t.enum([${type.values.map((value) => JSON.stringify(value)).join(', ')}])`,
      };
    case 'json':
      return same('JSON', 't.json()');
    case 'point':
      return same('JSON', 't.object({ lat: t.number(), lon: t.number() })');
    case 'list': {
      const item = declared({ type: type.of, spec }, formulas);
      const most = of.max_items === undefined ? '' : `, { max: ${of.max_items} }`;
      return item === undefined ? undefined : same('JSON', `t.list(${item.template}${most})`);
    }
    case 'objects': {
      const items = type.columns.map((column) => objectField(column, formulas));
      if (items.includes(undefined)) return undefined;
      const most = of.max_items === undefined ? '' : `, { max: ${of.max_items} }`;
      return same('JSON', `t.list(t.object({ ${items.join(', ')} })${most})`);
    }
    case 'reference': {
      const record = formulas.record(type.record);
      const name = record.key[0] ?? 'id';
      return declaredField(formulas.fieldOf(record, name), record, formulas);
    }
    default:
      return undefined;
  }
}

/** How an item of a list, as JSON has it, is read: wide enough to see what is too long, and what it stands for. */
function jsonItem({
  type,
}: {
  readonly type: Type;
}): { readonly read: string; readonly convert: (value: string) => string } | undefined {
  const same = (value: string): string => value;
  switch (type.kind) {
    case 'text':
      return { read: 'VARCHAR(4000)', convert: same };
    case 'enum':
      return { read: 'VARCHAR(50)', convert: same };
    case 'integer':
      return { read: 'VARCHAR(40)', convert: (value) => `CAST(${value} AS SIGNED)` };
    case 'decimal':
      return { read: 'VARCHAR(60)', convert: (value) => `CAST(${value} AS DECIMAL(60, ${type.scale}))` };
    case 'float':
      return { read: 'VARCHAR(60)', convert: (value) => `(${value} + 0e0)` };
    case 'date':
      return { read: 'VARCHAR(20)', convert: (value) => `CAST(${value} AS DATE)` };
    case 'time':
      return { read: 'VARCHAR(20)', convert: (value) => `CAST(${value} AS TIME)` };
    case 'boolean':
      return { read: 'VARCHAR(10)', convert: (value) => `(${value} IN ('true', '1'))` };
    default:
      return undefined;
  }
}

function objectField(column: CheckedColumn, formulas: MysqlFormulas): string | undefined {
  const made = declared(column, formulas);
  return made === undefined ? undefined : `${column.name}: ${made.template}${column.optional ? '.optional()' : ''}`;
}

export function declaredField(
  field: CheckedField,
  record: CheckedRecord,
  formulas: MysqlFormulas,
): Declared | undefined {
  if (field.origin === 'key' && record.keyKind === 'uuid')
    return {
      column: 'CHAR(36) CHARACTER SET ascii COLLATE ascii_bin',
      parameter: 'CHAR(36)',
      template: 't.string({ max: 36 })',
    };
  return declared(field, formulas);
}

/** As an answer shows a value: a time of day without seconds, a decimal with its digits. */
export function shown(text: string, { type }: { readonly type: Type }): string {
  if (type.kind === 'time') return `TIME_FORMAT(${text}, '%H:%i')`;
  if (type.kind === 'decimal') return `CAST(${unwrapped(text)} AS DECIMAL(60, ${type.scale}))`;
  return type.kind === 'integer' ? `CAST(${unwrapped(text)} AS SIGNED)` : unwrapped(text);
}

export function looksAtClock(formula: Formula | undefined): boolean {
  return formula !== undefined && partsOf(formula).some(({ node }) => node === 'now' || node === 'today');
}
