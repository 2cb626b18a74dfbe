import { type Specification, withCapital } from '../spec/index.js';
import type { FieldSpec, RecordSpec } from '../spec/index.js';
import {
  type Draft,
  type ImportedDomain,
  ImportNotes,
  MOST_CHARACTERS,
  MOST_FIELDS,
  type Mutable,
  nameFor,
  oneLine,
  reasonOf,
  repairImported,
  TAKEN,
  Unsaid,
} from './imported-domain.js';
import {
  type ColumnField,
  isAllowed,
  isTrue,
  isUnseen,
  parseSql,
  refuseUnseen,
  type SqlExpression,
  textLiteral,
  unquotedText,
  valueOf,
} from './mysql-expressions.js';

/** A specification of tables that are there already. What the language has no word for is listed, never approximated. */

export interface MysqlColumn {
  readonly name: string;
  /** `int(10) unsigned`, `enum('a','b')` */
  readonly type: string;
  /** `int`, `enum` */
  readonly base: string;
  readonly characters: number | undefined;
  readonly precision: number | undefined;
  readonly scale: number | undefined;
  readonly collation: string | undefined;
  readonly isOptional: boolean;
  /** A text as it is, or an expression. */
  readonly default: { readonly text: string; readonly isExpression: boolean } | undefined;
  readonly extra: string;
  /** How the server computes it. */
  readonly generated: string | undefined;
  readonly comment: string;
}

export interface MysqlTable {
  readonly name: string;
  readonly comment: string;
  readonly columns: readonly MysqlColumn[];
  readonly primary: readonly string[];
  /** `columns`: undefined for an expression or the beginning of a column. */
  readonly indexes: readonly {
    readonly name: string;
    readonly isUnique: boolean;
    readonly columns: readonly (string | undefined)[];
  }[];
  readonly references: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly table: string;
    readonly to: readonly string[];
    readonly onDelete: string;
  }[];
  readonly checks: readonly { readonly name: string; readonly clause: string }[];
}

export interface MysqlTables {
  readonly tables: readonly MysqlTable[];
  /** Triggers, views and routines that have to do with these tables, each in words. */
  readonly beside: readonly string[];
  /** Names of all tables of the database. */
  readonly known: readonly string[];
}

const MOST_RULES = 40;
/** One may be added for a key. */
const MOST_UNIQUE = 19;
export interface ImportRequest {
  readonly domain: string;
  readonly store: string;
  readonly tables: MysqlTables;
}

/** Throws a TypeError where the tables make no specification: its message says why. */
export function specificationOfTables(request: ImportRequest): ImportedDomain {
  return new Importer(request).import();
}

class Importer {
  readonly #request: ImportRequest;
  readonly #names = new Map<string, string>();
  readonly #fields = new Map<string, ReadonlyMap<string, string>>();
  readonly #notes = new ImportNotes();

  constructor(request: ImportRequest) {
    this.#request = request;
    const prefix = `${request.domain.replaceAll('-', '_')}_`;
    for (const { name } of request.tables.tables) {
      const own = name.startsWith(prefix) && name.length > prefix.length ? name.slice(prefix.length) : name;
      this.#names.set(name, nameFor(own, [...TAKEN, ...this.#names.values()]));
    }
    for (const table of request.tables.tables) this.#fields.set(table.name, this.#fieldNames(table));
  }

  import(): ImportedDomain {
    const { domain, store, tables } = this.#request;
    const records = tables.tables.map((table) => this.#record(table));
    for (const words of tables.beside)
      this.#notes.leaveOut(
        words,
        'the language keeps nothing that is written by hand: it stays where it is, beside the domain',
      );
    // The first record is named by one value: callers fetch it by its key alone.
    const isSingle = ({ key, part_of: parent }: Draft): boolean =>
      parent === undefined && (typeof key === 'string' || key.length === 1);
    const [first] = records;
    const main = records.find(isSingle);
    if (main === undefined && first !== undefined) this.#numbered(first, 'its key has several columns');
    const ordered = main === undefined ? records : [main, ...records.filter((record) => record !== main)];
    const specification: Mutable<Specification> = {
      beds: 1,
      domain,
      description: `What the tables ${oneLine(tables.tables.map(({ name }) => name).join(', '), 440)} hold.`,
      store,
      zone: 'UTC',
      records: ordered,
      assumptions: [
        'Imported from tables that stay as they are: the domain has tables of its own beside them, and no row is copied.',
        'Every record may be created, updated and deleted: what the tables hold does not say who may do what.',
      ],
      questions: [],
    };
    repairImported(specification, ordered, this.#notes);
    return { specification, ...this.#notes.all };
  }

  #table(name: string): MysqlTable | undefined {
    return this.#request.tables.tables.find((table) => table.name === name);
  }

  #fieldNames(table: MysqlTable): ReadonlyMap<string, string> {
    const names = new Map<string, string>();
    const made = this.#madeKey(table) === undefined ? undefined : table.primary[0];
    const taken = made === undefined ? TAKEN : [...TAKEN, 'id'];
    for (const { name } of table.columns)
      names.set(name, name === made ? 'id' : nameFor(name, [...taken, ...names.values()]));
    return names;
  }

  /** How the database itself gives the key. */
  #madeKey({ columns, primary }: MysqlTable): 'auto' | 'uuid' | undefined {
    const key = columns.find(({ name }) => name === primary[0]);
    if (primary.length !== 1 || key === undefined) return undefined;
    if (/auto_increment/i.test(key.extra)) return 'auto';
    const isRandom = key.default?.isExpression === true && /\buuid\(\)/i.test(key.default.text);
    const isAscii = key.base === 'char' && key.characters === 36 && key.collation?.startsWith('ascii') === true;
    return isRandom || (isAscii && key.name === 'id') ? 'uuid' : undefined;
  }

  /** The reference that a column is: of one column, to the key of an imported table. */
  #referenceOf(table: MysqlTable, column: string): MysqlTable['references'][number] | undefined {
    return table.references.find(({ columns, table: to, to: keys }) => {
      const target = this.#table(to);
      const isKey = target?.primary.length === 1 && target.primary[0] === keys[0];
      return columns.length === 1 && columns[0] === column && isKey;
    });
  }

  /** The table inside of which each row lives: it goes with it, and the column is named for it. */
  #partOf(table: MysqlTable): string | undefined {
    const [first = ''] = table.primary;
    if (table.primary.length < 2) return undefined;
    const reference = this.#referenceOf(table, first);
    if (reference?.onDelete !== 'CASCADE' || reference.table === table.name) return undefined;
    return this.#names.get(reference.table) === first ? first : undefined;
  }

  #record(table: MysqlTable): Draft {
    const name = this.#names.get(table.name) ?? table.name;
    const made = this.#madeKey(table);
    const parent = this.#partOf(table);
    const fields = new Map<string, FieldSpec>();
    const marks = this.#marks(table);
    for (const column of table.columns) {
      if ((made !== undefined && column.name === table.primary[0]) || column.name === parent) continue;
      if (marks.has(column.name)) continue;
      try {
        const field = this.#field(table, column);
        if (fields.size === MOST_FIELDS) throw new Unsaid(`a record has at most ${MOST_FIELDS} fields`);
        fields.set(column.name, field);
      } catch (error) {
        this.#notes.leaveOut(`${table.name}.${column.name}`, reasonOf(error));
      }
    }
    const rules = this.#most(MOST_RULES, this.#rules(table, fields), table);
    const unique = this.#most(MOST_UNIQUE, this.#unique(table, { fields, marks }), table);
    const ownKeys = table.primary.filter((column) => column !== parent);
    const key = made ?? ownKeys.map((column) => fields.get(column)?.name ?? '');
    const record: Draft = {
      name,
      description: oneLine(table.comment) || `A row of ${oneLine(table.name)}`,
      ...(this.#isRenamed(table) ? { was: oneLine(table.name, 64) } : {}),
      key: typeof key === 'string' ? key : [...key],
      ...(parent === undefined ? {} : { part_of: parent }),
      fields: [...fields.values()],
      ...(unique.length === 0 ? {} : { unique }),
      ...(rules.length === 0 ? {} : { rules }),
      operations: ['create', 'update', 'delete'],
    };
    if (typeof key !== 'string' && (key.length === 0 || key.includes('')))
      this.#numbered(record, key.length === 0 ? 'it has no primary key' : 'the language has no word for its key');
    if (made !== undefined && table.primary[0] !== 'id')
      this.#notes.change(`${table.name}.${table.primary[0] ?? ''}`, 'the key that the database gives is called id');
    if (fields.size === 0) throw new TypeError(`Nothing of the table ${table.name} can be said but its key.`);
    const isAllKey = typeof key !== 'string' && record.fields.every((field) => key.includes(field.name));
    if (isAllKey && typeof record.key !== 'string') record.operations = ['create', 'delete'];
    this.#noteIndexes(table);
    return record;
  }

  #most<T>(most: number, all: readonly T[], { name }: MysqlTable): T[] {
    for (const lost of all.slice(most))
      this.#notes.leaveOut(`${name}: ${JSON.stringify(lost)}`, `there are at most ${most}`);
    return all.slice(0, most);
  }

  #isRenamed({ name }: MysqlTable): boolean {
    return ![name, name.slice(this.#request.domain.length + 1)].includes(this.#names.get(name) ?? '');
  }

  /** Gives a record a number for a key. */
  #numbered(record: Draft, why: string): void {
    const { key, part_of: parent } = record;
    const fields = [...(parent === undefined ? [] : [parent]), ...(typeof key === 'string' ? [] : key)];
    this.#notes.change(`the key of ${record.name}`, `${why}: its records are numbered, in a field id`);
    record.key = 'auto';
    if (fields.length === 0 || fields.includes('')) return;
    record.unique = [...(record.unique ?? []), { fields }];
  }

  #noteIndexes({ name, indexes, references }: MysqlTable): void {
    const isOfReference = (columns: readonly (string | undefined)[]): boolean =>
      references.some((reference) => reference.columns.join() === columns.join());
    const plain = indexes.filter(({ isUnique, columns }) => !isUnique && !isOfReference(columns));
    if (plain.length === 0) return;
    const names = plain.map((index) => index.name).join(', ');
    this.#notes.leaveOut(`indexes of ${name}: ${names}`, 'indexes are made from what operations filter and order by');
  }

  #field(table: MysqlTable, column: MysqlColumn): FieldSpec {
    const name = this.#fields.get(table.name)?.get(column.name) ?? column.name;
    const at = `${table.name}.${column.name}`;
    const base = {
      name,
      description: oneLine(column.comment) || `The column ${oneLine(column.name)} of ${oneLine(table.name)}`,
      ...(name === column.name ? {} : { was: oneLine(column.name, 64) }),
      ...(column.isOptional ? { optional: true } : {}),
    };
    const reference = this.#referenceOf(table, column.name);
    this.#noteReferences(table, column.name, reference?.name);
    if (reference !== undefined) {
      const { onDelete } = reference;
      const kept = onDelete === 'CASCADE' ? ({ on_delete: 'cascade' } as const) : {};
      const cleared = onDelete === 'SET NULL' ? ({ on_delete: 'set_null' } as const) : {};
      if (column.default !== undefined) this.#notes.leaveOut(`default of ${at}`, 'a reference has none');
      return {
        ...{ ...base, type: 'reference', references: this.#names.get(reference.table) ?? '' },
        ...{ ...kept, ...cleared },
      };
    }
    const typed = { ...base, ...this.#typeOf(column, { table, at }) } as FieldSpec;
    if (/on update/i.test(column.extra))
      this.#notes.leaveOut(`ON UPDATE of ${at}`, 'a field that each change writes is made by timestamps');
    if (column.generated !== undefined) {
      const computed = valueOf(parseSql(column.generated), this.#fieldOf(table));
      const { min: _, max: __, ...rest } = typed as FieldSpec & { min?: string; max?: string };
      return { ...rest, computed };
    }
    const given = this.#defaultOf(column, typed, at);
    return given === undefined ? typed : { ...typed, default: given };
  }

  #noteReferences({ name, references }: MysqlTable, column: string, kept: string | undefined): void {
    for (const reference of references) {
      if (reference.name === kept || reference.columns[0] !== column) continue;
      const isImported = this.#table(reference.table) !== undefined;
      const reason =
        reference.columns.length > 1
          ? 'a reference is one value, and this one has several columns'
          : isImported
            ? 'a reference names a record by its key of one value'
            : `${reference.table} is not imported: add it to --table`;
      this.#notes.leaveOut(`${name}.${reference.name} to ${reference.table}`, reason);
    }
  }

  #typeOf(column: MysqlColumn, { table, at }: { readonly table: MysqlTable; readonly at: string }): object {
    const { base, type, characters, precision = 10, scale = 0 } = column;
    const isUnsigned = /unsigned/i.test(type);
    const [, size = ''] = /\((\d+)\)/.exec(type) ?? [];
    if (type.startsWith('tinyint(1)') && !isUnsigned) return { type: 'boolean' };
    if (base === 'bit' && size === '1') return { type: 'boolean' };
    const bytes = INTEGERS[base];
    if (bytes !== undefined) {
      if (base === 'bigint' && isUnsigned) this.#notes.change(at, 'numbers from 2^63 on have no place');
      return { type: 'integer', ...integerBounds(bytes, isUnsigned) };
    }
    switch (base) {
      case 'year':
        return { type: 'integer', min: '1901', max: '2155' };
      case 'decimal':
        if (precision > 30 || scale > 10)
          throw new Unsaid('a decimal has at most 30 digits, 10 of them after the point');
        return { type: 'decimal', precision, scale, ...(isUnsigned ? { min: '0' } : {}) };
      case 'float':
      case 'double':
        return { type: 'float', ...(isUnsigned ? { min: '0' } : {}) };
      case 'date':
        return { type: 'date' };
      case 'time':
        this.#notes.change(at, 'a time of day has hours and minutes, and no seconds');
        return { type: 'time' };
      case 'datetime':
      case 'timestamp':
        if (base === 'datetime') this.#notes.change(at, 'what is stored without a zone is read as UTC');
        return { type: 'timestamp' };
      case 'json':
        return { type: 'json' };
      case 'uuid':
        return { type: 'text', max_length: 36 };
      case 'enum':
        return { type: 'enum', values: wordsOf(type) };
      case 'set': {
        const values = wordsOf(type);
        return { type: 'enum', values, max_items: values.length };
      }
      default:
    }
    if (!['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext'].includes(base) || characters === 0)
      throw new Unsaid(`the language has no word for ${oneLine(type, 60)}`);
    if (table.checks.some(({ clause }) => isJson(clause, column.name))) return { type: 'json' };
    const most = characters ?? MOST_CHARACTERS;
    if (most > MOST_CHARACTERS) this.#notes.change(at, `a text has at most ${MOST_CHARACTERS} characters`);
    return { type: 'text', max_length: Math.min(most, MOST_CHARACTERS) };
  }

  #defaultOf({ default: given }: MysqlColumn, field: FieldSpec, at: string): string | undefined {
    if (given === undefined) return undefined;
    const refuse = (): string | undefined => {
      this.#notes.leaveOut(`default of ${at}`, `a ${field.type} has no default of ${oneLine(given.text, 80)}`);
      return undefined;
    };
    const sql = given.isExpression ? parsed(given.text) : ({ node: 'text', value: given.text } as const);
    const isNow = sql?.node === 'call' && /^(?:current_timestamp|now)$/.test(sql.name);
    const isToday = sql?.node === 'call' && /^(?:curdate|current_date)$/.test(sql.name);
    if (isNow && field.type === 'timestamp') return '@now';
    if (isToday && field.type === 'date') return '@today';
    if (sql?.node !== 'text' && sql?.node !== 'number' && sql?.node !== 'truth') return refuse();
    const value = String(sql.value);
    if (isUnseen(value)) return refuse();
    if ('max_items' in field) return refuse();
    switch (field.type) {
      case 'boolean':
        if (/^(?:b'0'|0|false)$/.test(value)) return 'false';
        return /^(?:b'1'|1|true)$/.test(value) ? 'true' : refuse();
      case 'integer':
      case 'decimal':
      case 'float':
        return /^-?\d+(?:\.\d+)?$/.test(value) ? value : refuse();
      case 'text':
      case 'enum':
      case 'date':
      case 'time':
        return textLiteral(value);
      default:
        return refuse();
    }
  }

  #fieldOf(table: MysqlTable, fields?: ReadonlyMap<string, FieldSpec>): (column: string) => ColumnField {
    return (name) => {
      const column = table.columns.find((each) => each.name.toLowerCase() === name.toLowerCase());
      const field = this.#fields.get(table.name)?.get(column?.name ?? '');
      if (column === undefined || field === undefined) throw new Unsaid(`there is no column ${name}`);
      const isKept = fields === undefined || fields.has(column.name);
      if (!isKept && !table.primary.includes(column.name)) throw new Unsaid(`${column.name} is left out itself`);
      const isBoolean = column.type.startsWith('tinyint(1)') || column.type === 'bit(1)';
      return { name: field, isBoolean, isOptional: column.isOptional };
    };
  }

  /** Columns that are there for a unique key alone: NULL for the records that may be the same. */
  #marks(table: MysqlTable): ReadonlyMap<string, SqlExpression> {
    const marks = new Map<string, SqlExpression>();
    for (const { name, generated } of table.columns) {
      if (generated === undefined || !table.indexes.some((index) => index.isUnique && index.columns.includes(name)))
        continue;
      const sql = parsed(generated);
      if (sql?.node !== 'call' || sql.name !== 'if') continue;
      const [condition, then, otherwise] = sql.args;
      const isMark = (then?.node === 'truth' || then?.node === 'number') && otherwise?.node === 'null';
      if (condition !== undefined && isMark) marks.set(name, condition);
    }
    return marks;
  }

  #unique(
    table: MysqlTable,
    found: { readonly fields: ReadonlyMap<string, FieldSpec>; readonly marks: ReadonlyMap<string, SqlExpression> },
  ): NonNullable<RecordSpec['unique']> {
    const fieldOf = this.#fieldOf(table, found.fields);
    const key = table.primary.toSorted().join();
    return table.indexes.flatMap(({ name, isUnique, columns }) => {
      if (!isUnique || columns.toSorted().join() === key) return [];
      try {
        const names: string[] = [];
        const when: string[] = [];
        for (const column of columns) {
          if (column === undefined) throw new Unsaid('it is unique over the beginning of a column, or an expression');
          const mark = found.marks.get(column);
          if (mark !== undefined) when.push(isTrue(mark, fieldOf));
          else names.push(fieldOf(column).name);
        }
        for (const column of columns) {
          if (column === undefined || found.marks.has(column) || !fieldOf(column).isOptional) continue;
          const isThere = `${fieldOf(column).name} is not null`;
          if (!when.includes(isThere)) when.push(isThere);
        }
        if (names.length === 0) throw new Unsaid('it names no field');
        if (table.columns.some((column) => columns.includes(column.name) && isLooseText(column)))
          this.#notes.change(
            `${table.name}.${name}`,
            'texts differ by case and accents here; letter_case makes them the same',
          );
        return [{ fields: names, ...(when.length === 0 ? {} : { when: joined(when) }) }];
      } catch (error) {
        this.#notes.leaveOut(`${table.name}.${name}`, reasonOf(error));
        return [];
      }
    });
  }

  /** The rules of CHECK constraints. Those that are bounds of a field go there. */
  #rules(table: MysqlTable, fields: Map<string, FieldSpec>): NonNullable<RecordSpec['rules']> {
    const fieldOf = this.#fieldOf(table, fields);
    return table.checks.flatMap(({ name, clause }) => {
      try {
        const whole = parseSql(clause);
        const isLoose = table.columns.some(
          (column) => column.base !== 'enum' && isLooseText(column) && clause.includes(`\`${column.name}\``),
        );
        if (isLoose && clause.includes("'"))
          this.#notes.change(`${table.name}.${name}`, 'texts differ by case and accents here');
        const rest = conjuncts(whole).filter((part) => !this.#isBound(part, fields));
        if (rest.length === 0) return [];
        const rule = joined(rest.map((part) => isAllowed(part, fieldOf)));
        return [{ rule, message: messageOf(table, name, rule) }];
      } catch (error) {
        this.#notes.leaveOut(`${table.name}.${name}: CHECK (${clause})`, reasonOf(error));
        return [];
      }
    });
  }

  /** Whether a test is a bound of one field, which then has it. */
  #isBound(sql: SqlExpression, fields: Map<string, FieldSpec>): boolean {
    const bound = boundOf(sql);
    const field = bound === undefined ? undefined : fields.get(bound.column);
    if (bound === undefined || field === undefined || field.computed !== undefined) return false;
    const have = field as unknown as Readonly<Record<string, unknown>>;
    if (bound.kind === 'json') return field.type === 'json';
    const isNumber = ['integer', 'decimal', 'float'].includes(field.type);
    const isText = field.type === 'text' && have['max_items'] === undefined;
    const fits = bound.kind === 'mask' || bound.kind === 'max_length' ? isText : isNumber;
    if (!fits || (bound.kind === 'multiple_of' && field.type === 'float')) return false;
    const before = have[bound.kind];
    const isTighter =
      before === undefined ||
      (bound.kind === 'min' ? Number(bound.value) > Number(before) : Number(bound.value) < Number(before));
    if (bound.kind === 'mask' || bound.kind === 'multiple_of') {
      if (before !== undefined) return false;
    } else if (!isTighter) return true;
    fields.set(bound.column, { ...field, [bound.kind]: bound.value });
    return true;
  }
}

const INTEGERS: Readonly<Record<string, number>> = { tinyint: 1, smallint: 2, mediumint: 3, int: 4, bigint: 8 };

function integerBounds(bytes: number, isUnsigned: boolean): { readonly min?: string; readonly max?: string } {
  if (bytes === 8) return isUnsigned ? { min: '0' } : {};
  const whole = 2 ** (8 * bytes);
  return isUnsigned ? { min: '0', max: String(whole - 1) } : { min: String(-whole / 2), max: String(whole / 2 - 1) };
}

function wordsOf(type: string): string[] {
  const values = [...type.matchAll(/'(?:[^'\\]|\\.|'')*'/gs)].map(([quoted]) => unquotedText(quoted));
  for (const value of values) refuseUnseen(value);
  if (values.length > 60 || values.some((value) => value === '' || value.length > 40))
    throw new Unsaid('an enum has at most 60 words, of 1 to 40 characters');
  return values;
}

function parsed(text: string): SqlExpression | undefined {
  try {
    return parseSql(text);
  } catch (error) {
    reasonOf(error);
    return undefined;
  }
}

/** Whether two texts that differ by case, and mostly by accents, are the same there. */
function isLooseText({ collation }: MysqlColumn): boolean {
  return collation?.endsWith('_ci') === true;
}

function joined(conditions: readonly string[]): string {
  return conditions.map((each) => (conditions.length > 1 && each.includes(' or ') ? `(${each})` : each)).join(' and ');
}

function conjuncts(sql: SqlExpression): readonly SqlExpression[] {
  return sql.node === 'and' ? sql.of.flatMap(conjuncts) : [sql];
}

function isJson(clause: string, column: string): boolean {
  const sql = parsed(clause);
  const [of] = sql?.node === 'call' && sql.name === 'json_valid' ? sql.args : [];
  return of?.node === 'column' && of.name === column;
}

interface FieldBound {
  readonly kind: 'min' | 'max' | 'max_length' | 'mask' | 'multiple_of' | 'json';
  readonly column: string;
  readonly value: string | number;
}

const TURNED: Readonly<Record<string, string>> = { '<=': '>=', '>=': '<=', '<': '>', '>': '<', '=': '=' };

/** The bound that a test of one column is. */
function boundOf(sql: SqlExpression): FieldBound | undefined {
  if (sql.node === 'call') {
    const [of, pattern] = sql.args;
    if (of?.node !== 'column') return undefined;
    if (sql.name === 'json_valid') return { kind: 'json', column: of.name, value: 1 };
    const mask = sql.name === 'regexp_like' && pattern?.node === 'text' ? maskOf(pattern.value) : undefined;
    return mask === undefined ? undefined : { kind: 'mask', column: of.name, value: mask };
  }
  if (sql.node !== 'compare') return undefined;
  const isTurned = sql.left.node === 'number';
  const [left, right] = isTurned ? [sql.right, sql.left] : [sql.left, sql.right];
  const op = isTurned ? TURNED[sql.op] : sql.op;
  if (right.node !== 'number') return undefined;
  if (left.node === 'column' && (op === '>=' || op === '<='))
    return { kind: op === '>=' ? 'min' : 'max', column: left.name, value: right.value };
  if (
    left.node === 'call' &&
    /^char(?:acter)?_length$/.test(left.name) &&
    op === '<=' &&
    /^[1-9]\d*$/.test(right.value)
  ) {
    const [of] = left.args;
    return of?.node === 'column' ? { kind: 'max_length', column: of.name, value: Number(right.value) } : undefined;
  }
  const isMultiple = left.node === 'arithmetic' && left.op === '%' && op === '=' && Number(right.value) === 0;
  if (isMultiple && left.left.node === 'column' && left.right.node === 'number')
    return { kind: 'multiple_of', column: left.left.name, value: left.right.value };
  return undefined;
}

const MASK_PART = /^(?:(\[0-9\]|\[A-Z\])|\[([^\w\s\]^\\-])\]|\\([\^\\\]])|([B-Zabce-z0-9 _-]))/;

/** The mask that a pattern is: digits, capital letters and signs, one by one. */
function maskOf(pattern: string): string | undefined {
  if (!/^\^.+\$$/s.test(pattern)) return undefined;
  let mask = '';
  for (let rest = pattern.slice(1, -1); rest !== '';) {
    const [whole = '', set, ...signs] = MASK_PART.exec(rest) ?? [];
    if (whole === '') return undefined;
    mask += set === undefined ? signs.join('') : set === '[0-9]' ? 'd' : 'A';
    rest = rest.slice(whole.length);
  }
  return mask;
}

/** What is said where a rule is broken: the name of the constraint where a person gave it one, else the rule. */
function messageOf({ name: table, columns }: MysqlTable, constraint: string, rule: string): string {
  const own = constraint.startsWith(`${table}_`) ? constraint.slice(table.length + 1) : constraint;
  const isMade = /^(?:CONSTRAINT|chk)_?\d+$/i.test(own) || columns.some(({ name }) => name === constraint);
  const words = oneLine(own.replaceAll('_', ' '), 400);
  if (isMade || words === '') return oneLine(`It must be that ${rule}.`);
  return `${withCapital(words)}.`;
}
