import { didYouMean } from '../nearest.js';
import { withArticle } from './article.js';
import type { CheckedArgument, CheckedColumn, Formula, Hop, OrderItem, SetFunction, Type } from './checked.js';
import { common, FUNCTIONS, type FunctionInfo, PARTIAL, SPECIAL_FUNCTIONS } from './functions.js';
import { type CallSyntax, FormulaError, type OrderSyntax, type Syntax } from './parse-formula.js';

/** Gives every name of a formula its meaning, and every part of it its type. */

/** A field, as far as formulas see it. */
export interface FieldShape {
  readonly name: string;
  readonly type: Type;
  readonly nullable: boolean;
  readonly unit?: string;
}

export interface RecordShape {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldShape>;
  /** The only field of the key; undefined where the key has several. */
  readonly key: string | undefined;
}

export interface NamedValueShape {
  readonly type: Type;
  readonly nullable: boolean;
  readonly unit?: string;
}

/** What the names of a formula can mean. */
export interface Scope {
  readonly records: ReadonlyMap<string, RecordShape>;
  /** Rows that have a name here. */
  readonly rows: ReadonlyMap<string, { readonly record: string; readonly nullable: boolean }>;
  /** The row whose fields are written without its name. */
  readonly own?: string;
  readonly args: ReadonlyMap<string, CheckedArgument>;
  readonly variables: ReadonlyMap<string, NamedValueShape>;
  /** Columns of a query that are a field of one of its rows: `ends_at = b.ends_at`. Their names mean that field. */
  readonly shown?: ReadonlyMap<string, Formula>;
  /** Items of loops around it, for position. */
  readonly loops: ReadonlySet<string>;
  /** Sets of stored records. */
  readonly sets: boolean;
  /** Totals of groups, and windows: only in the answer of a query. */
  readonly totals: boolean;
  readonly windows: boolean;
  /** Why a kind of part is not allowed here, for messages. */
  readonly place: string;
}

const TEXT: Type = { kind: 'text' };
const INTEGER: Type = { kind: 'integer' };
const BOOLEAN: Type = { kind: 'boolean' };
const SETS: readonly string[] = ['exists', 'count', 'sum', 'min', 'max', 'avg', 'first'];
const WINDOWS: readonly string[] = ['rank', 'row_number', 'lag', 'lead', 'count', 'sum', 'min', 'max', 'avg'];
const CALLERS: readonly string[] = ['user', 'tenant', 'role', 'now', 'today'];
/** What people write for a function that has another name here. */
const SYNONYMS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{
      ifnull: 'coalesce',
      nvl: 'coalesce',
      iif: 'if',
      length: 'len',
      char_length: 'len',
      substr: 'substring',
      mid: 'substring',
    },
    ...{
      left: 'substring',
      right: 'substring',
      ceiling: 'ceil',
      now: '@now',
      today: '@today',
      current_date: '@today',
      current_timestamp: '@now',
    },
    ...{
      datediff: 'days(from, to)',
      date_diff: 'days(from, to)',
      timestampdiff: 'minutes(from, to)',
      dateadd: 'day + 3 days',
      date_add: 'day + 3 days',
    },
    ...{
      date_trunc: "trunc(day, 'month')",
      dayofweek: 'weekday',
      distance: 'km',
      power: 'pow',
      average: 'avg',
      any: 'exists',
      some: 'exists',
    },
    ...{
      includes: 'has',
      min_of: 'least',
      max_of: 'greatest',
      code: 'random_code',
      uuid: 'random_code',
      to_date: 'date',
      cast: 'round or concat',
    },
  }),
);

interface Place {
  /** Inside round, floor or ceil: a division may stand here. */
  readonly rounded?: boolean;
}

/** What a type is called in messages. */
export function typeName(type: Type): string {
  if (type.kind === 'decimal') return `decimal with ${String(type.scale)} digits after the point`;
  if (type.kind === 'span') return 'a length of time';
  if (type.kind === 'enum') return `one of ${type.values.join(', ')}`;
  if (type.kind === 'reference') return `the key of ${withArticle(type.record)}`;
  if (type.kind === 'row') return withArticle(type.record);
  if (type.kind === 'list') return `a list of ${typeName(type.of)}`;
  if (type.kind === 'objects') return 'a list of objects';
  return type.kind;
}

const isNumber = ({ kind }: Type): boolean => kind === 'integer' || kind === 'decimal' || kind === 'float';
const isMoment = ({ kind }: Type): boolean => kind === 'date' || kind === 'timestamp';

/** Types a formula. Throws FormulaError. */
export function typeFormula(syntax: Syntax, scope: Scope): Formula {
  return new Typer(scope).type(syntax, {});
}

/** Types a formula that must be true or false. Throws FormulaError. */
export function typeCondition(syntax: Syntax, scope: Scope): Formula {
  const typed = typeFormula(syntax, scope);
  if (typed.type.kind === 'boolean') return typed;
  throw new FormulaError(`is ${typeName(typed.type)}, and must be true or false`, { at: 0, example: 'amount > 0' });
}

/** Types a formula whose value goes into something of type `wanted`. Throws FormulaError. */
export function typeValue(syntax: Syntax, scope: Scope, wanted: NamedValueShape): Formula {
  const typer = new Typer(scope);
  return typer.fitted(typer.type(syntax, {}), wanted, syntax.at);
}

export function typeOrder(items: readonly OrderSyntax[], scope: Scope): readonly OrderItem[] {
  return new Typer(scope).order(items);
}

class Typer {
  readonly #scope: Scope;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  order(items: readonly OrderSyntax[]): readonly OrderItem[] {
    return items.map(({ by, direction }) => ({ by: this.#sortable(this.type(by, {}), by.at), direction }));
  }

  type(syntax: Syntax, place: Place): Formula {
    switch (syntax.node) {
      case 'text':
        return { node: 'literal', value: syntax.value, type: TEXT, nullable: false };
      case 'number':
        return literalNumber(syntax.value);
      case 'constant':
        if (syntax.value === null) return { node: 'literal', value: null, type: { kind: 'null' }, nullable: true };
        return { node: 'literal', value: syntax.value, type: BOOLEAN, nullable: false };
      case 'span': {
        const calendar = syntax.in === 'months' || syntax.in === 'years';
        return {
          node: 'span',
          amount: syntax.amount,
          in: syntax.in,
          type: { kind: 'span', calendar },
          nullable: false,
        };
      }
      case 'name':
        return this.#name(syntax.parts, syntax.at);
      case 'argument':
        return this.#argument(syntax);
      case 'caller':
        return this.#caller(syntax.name, syntax.at);
      case 'not':
        return { node: 'not', of: this.#condition(syntax.of), type: BOOLEAN, nullable: false };
      case 'negate':
        return this.#negate(syntax.of, place);
      case 'and':
      case 'or':
        return this.#junction(syntax);
      case 'compare':
        return this.#compare(syntax, place);
      case 'between': {
        const { of, low, high, at } = syntax;
        const left = this.#compare({ node: 'compare', op: '>=', left: of, right: low, at }, place);
        const right = this.#compare({ node: 'compare', op: '<=', left: of, right: high, at }, place);
        return { node: 'and', of: [left, right], type: BOOLEAN, nullable: false };
      }
      case 'is_null':
        return { node: 'is_null', of: this.type(syntax.of, {}), not: syntax.not, type: BOOLEAN, nullable: false };
      case 'in':
        return this.#in(syntax);
      case 'arithmetic':
        return this.#arithmetic(syntax, place);
      case 'call':
        return this.#call(syntax, place);
    }
  }

  /** The formula as a value of the wanted type; a literal becomes one of it. */
  fitted(formula: Formula, wanted: NamedValueShape, at: number): Formula {
    const { type } = formula;
    const to = wanted.type;
    if (type.kind === 'null') {
      if (wanted.nullable) return { ...formula, type: to };
      throw new FormulaError('null, but there must always be a value', { at, example: 'make the field optional' });
    }
    this.#sameUnit(formula, wanted, at);
    if (formula.node === 'literal' && typeof formula.value === 'string' && type.kind === 'text') {
      return this.#literal(formula, to, at);
    }
    // Texts that if and coalesce choose from are values of the wanted type, each of them.
    if (
      formula.node === 'call' &&
      type.kind === 'text' &&
      to.kind !== 'text' &&
      (formula.name === 'if' || formula.name === 'coalesce')
    ) {
      const args = formula.args.map((arg, index) =>
        formula.name === 'if' && index === 0 ? arg : this.fitted(arg, { ...wanted, nullable: true }, at),
      );
      return { ...formula, args, type: to };
    }
    if (type.kind === 'decimal' && to.kind === 'decimal' && type.scale > to.scale) {
      throw new FormulaError(`has ${String(type.scale)} digits after the point where ${String(to.scale)} fit`, {
        at,
        example: `round(…, ${String(to.scale)})`,
      });
    }
    if (type.kind === 'decimal' && to.kind === 'integer') {
      throw new FormulaError('has digits after the point where a whole number is wanted', {
        at,
        example: 'round(…, 0), floor(…), ceil(…)',
      });
    }
    if (this.#fits(type, to)) return formula;
    throw new FormulaError(`is ${typeName(type)}, but ${typeName(to)} is wanted`, {
      at,
      example: conversion(type, to),
    });
  }

  #fits(type: Type, to: Type): boolean {
    if (isNumber(type) && isNumber(to)) return to.kind === 'float' || type.kind !== 'float';
    if (to.kind === 'reference') {
      if (type.kind === 'reference' || type.kind === 'row') return type.record === to.record;
      return this.#fits(type, this.#keyType(to.record));
    }
    if (type.kind === 'reference') return to.kind !== 'json' && this.#fits(this.#keyType(type.record), to);
    if (type.kind === 'row') return this.#fits(this.#keyType(type.record), to);
    if (type.kind === 'enum' && to.kind === 'enum') return type.values.every((value) => to.values.includes(value));
    if (type.kind === 'enum') return to.kind === 'text';
    if (type.kind === 'list' && to.kind === 'list') return this.#fits(type.of, to.of);
    if (type.kind === 'objects' && to.kind === 'objects') return sameColumns(type.columns, to.columns);
    if (type.kind === 'objects' || type.kind === 'object') return to.kind === 'json';
    return type.kind === to.kind;
  }

  #keyType(record: string): Type {
    const shape = this.#scope.records.get(record);
    const type = shape?.key === undefined ? undefined : shape.fields.get(shape.key)?.type;
    if (type?.kind === 'reference' && type.record !== record) return this.#keyType(type.record);
    return type ?? { kind: 'null' };
  }

  #literal(formula: Formula & { readonly node: 'literal' }, to: Type, at: number): Formula {
    const value = String(formula.value);
    if (to.kind === 'enum') {
      if (to.values.includes(value)) return { ...formula, type: to };
      const known = to.values.map((one) => `'${one}'`).join(', ');
      throw new FormulaError(`'${value}' is none of ${known}.${didYouMean(value, to.values)}`, {
        at,
        example: `'${to.values[0] ?? ''}'`,
      });
    }
    if (to.kind === 'reference') return { ...this.#literal(formula, this.#keyType(to.record), at), type: to };
    if (to.kind === 'text') return { ...formula, type: to };
    const form = LITERALS[to.kind];
    if (form?.pattern.test(value) === true && isDay(value, to)) return { ...formula, type: to };
    throw new FormulaError(`the text '${value}' where ${typeName(to)} is wanted`, {
      at,
      example: form?.example ?? conversion(TEXT, to),
    });
  }

  #condition(syntax: Syntax): Formula {
    const typed = this.type(syntax, {});
    if (typed.type.kind === 'boolean') return typed;
    throw new FormulaError(`${typeName(typed.type)} where true or false is wanted`, {
      at: syntax.at,
      example: 'amount > 0 and not closed',
    });
  }

  #junction(syntax: Syntax & { readonly node: 'and' | 'or' }): Formula {
    const parts = [this.#condition(syntax.left), this.#condition(syntax.right)];
    const of = parts.flatMap((part) => (part.node === syntax.node ? part.of : [part]));
    return { node: syntax.node, of, type: BOOLEAN, nullable: false };
  }

  #negate(of: Syntax, place: Place): Formula {
    const typed = this.type(of, place);
    if (isNumber(typed.type) || typed.type.kind === 'span') return { ...typed, node: 'negate', of: typed };
    throw new FormulaError(`minus before ${typeName(typed.type)}`, { at: of.at });
  }

  #compare({ op, left, right, at }: Syntax & { readonly node: 'compare' }, place: Place): Formula {
    const [a, b] = this.#alike(this.type(left, place), this.type(right, place), at);
    if (op !== '=' && op !== '!=') {
      this.#sortable(a, at);
      this.#sortable(b, at);
    }
    this.#comparable(a, at);
    this.#comparable(b, at);
    if (a.node === 'field' && JSON.stringify(a) === JSON.stringify(b)) {
      throw new FormulaError(`compares ${a.field} with itself`, {
        at,
        example: `give the other row another name, or write :${a.field} for the argument`,
      });
    }
    return { node: 'compare', op, left: a, right: b, type: BOOLEAN, nullable: false };
  }

  /** Both sides of a comparison, a literal as the type of the other one. */
  #alike(a: Formula, b: Formula, at: number): readonly [Formula, Formula] {
    if (a.type.kind === 'null' || b.type.kind === 'null') {
      throw new FormulaError('comparing with null is always false', {
        at,
        example: 'returned_at is null, returned_at is not null',
      });
    }
    this.#sameUnit(a, b, at);
    if (isText(b)) return [a, this.#literal(b, a.type, at)];
    if (isText(a)) return [this.#literal(a, b.type, at), b];
    if (isNumber(a.type) && isNumber(b.type)) return [a, b];
    if (this.#fits(a.type, b.type) || this.#fits(b.type, a.type) || bothEnums(a.type, b.type)) return [a, b];
    throw new FormulaError(`compares ${typeName(a.type)} with ${typeName(b.type)}`, {
      at,
      example: conversion(a.type, b.type),
    });
  }

  #sameUnit(a: { readonly unit?: string }, b: { readonly unit?: string }, at: number): void {
    if (a.unit === undefined || b.unit === undefined || a.unit === b.unit) return;
    throw new FormulaError(`${a.unit} and ${b.unit} are two units`, {
      at,
      example: `say one unit for both, or multiply`,
    });
  }

  #sortable(formula: Formula, at: number): Formula {
    if (!['json', 'point', 'list', 'objects', 'object', 'row', 'null'].includes(formula.type.kind)) return formula;
    throw new FormulaError(`${typeName(formula.type)} has no order`, { at });
  }

  /** Free data, places and lists are not compared, nor are lengths of time of which one has months. */
  #comparable({ type }: Formula, at: number): void {
    if (type.kind === 'span' && type.calendar) {
      throw new FormulaError('months and years have no length of their own, so nothing is compared with them', {
        at,
        example: 'starts_at > @now - 6 months, months(from, to) >= 6',
      });
    }
    if (!['json', 'point', 'list', 'objects', 'object', 'answer'].includes(type.kind)) return;
    throw new FormulaError(`${typeName(type)} is not compared`, {
      at,
      example: "has(tags, :tag), text(data, 'a.b') = 'x', km(a, b) < 5",
    });
  }

  #in(syntax: Syntax & { readonly node: 'in' }): Formula {
    if (syntax.list.length === 0)
      throw new FormulaError('the list is empty', { at: syntax.at, example: "state in ('open', 'held')" });
    const of = this.type(syntax.of, {});
    this.#comparable(of, syntax.at);
    const [only] = syntax.list;
    const first = only === undefined ? undefined : this.type(only, {});
    if (first?.type.kind === 'list' && syntax.list.length === 1) {
      if (!this.#fits(of.type, first.type.of) && !this.#fits(first.type.of, of.type)) {
        throw new FormulaError(`${typeName(of.type)} is never in ${typeName(first.type)}`, { at: syntax.at });
      }
      return { node: 'in', of, list: first, not: syntax.not, type: BOOLEAN, nullable: false };
    }
    const list = syntax.list.map((item) => this.#alike(of, this.type(item, {}), item.at)[1]);
    return { node: 'in', of, list, not: syntax.not, type: BOOLEAN, nullable: false };
  }

  #argument(syntax: Syntax & { readonly node: 'argument' }): Formula {
    const { name, column, at } = syntax;
    const { args, place } = this.#scope;
    const found = args.get(name);
    if (found === undefined) {
      const known =
        args.size === 0
          ? `${place} has no arguments`
          : `known are ${[...args.keys()].map((one) => `:${one}`).join(', ')}`;
      throw new FormulaError(`there is no argument :${name}: ${known}.${didYouMean(name, args.keys())}`, { at });
    }
    const nullable = found.optional && found.default === undefined;
    const unit = unitOf(found.spec);
    if (column === undefined) return { node: 'argument', name, type: found.type, nullable, ...unit };
    if (found.type.kind !== 'objects')
      throw new FormulaError(`:${name} is ${typeName(found.type)} and has no columns`, { at, example: `:${name}` });
    const of = this.#column(found.type.columns, column, { at, owner: `:${name}` });
    return { node: 'argument_column', name, column, type: { kind: 'list', of: of.type }, nullable, ...unitOf(of.spec) };
  }

  #column(
    columns: readonly CheckedColumn[],
    name: string,
    { at, owner }: { readonly at: number; readonly owner: string },
  ): CheckedColumn {
    const found = columns.find((column) => column.name === name);
    if (found !== undefined) return found;
    const known = columns.map((column) => column.name);
    throw new FormulaError(`${owner} has no column ${name}: known are ${known.join(', ')}.${didYouMean(name, known)}`, {
      at,
    });
  }

  #caller(name: string, at: number): Formula {
    if (name === 'now') return { node: 'now', type: { kind: 'timestamp' }, nullable: false };
    if (name === 'today') return { node: 'today', type: { kind: 'date' }, nullable: false };
    if (name === 'user' || name === 'tenant') return { node: 'caller', what: name, type: TEXT, nullable: true };
    if (name === 'role' || name === 'roles') {
      throw new FormulaError('a caller can have several roles', { at, example: "has_role('manager')" });
    }
    throw new FormulaError(`@${name} is none of @user, @tenant, @now, @today.${didYouMean(name, CALLERS)}`, { at });
  }

  #name(parts: readonly string[], at: number): Formula {
    const [first = '', second] = parts;
    const { variables, rows, own, records, shown } = this.#scope;
    const column = parts.length === 1 ? shown?.get(first) : undefined;
    if (column !== undefined) return column;
    const ownRow = own === undefined ? undefined : rows.get(own);
    const ownShape = ownRow === undefined ? undefined : records.get(ownRow.record);
    const isOwnField = ownShape?.fields.has(first) === true;
    const row = rows.get(first);
    if (isOwnField && row !== undefined && second !== undefined && first !== own) {
      throw new FormulaError(
        `${first}.${second} can mean the field ${first} of ${ownShape.name}, or the row ${first}`,
        { at, example: `give the row another name, such as "as": "${first.charAt(0)}"` },
      );
    }
    if (isOwnField && own !== undefined) return this.#field(own, parts, at);
    if (first === own && second !== undefined) return this.#field(own, parts.slice(1), at);
    const variable = variables.get(first);
    if (variable !== undefined) return this.#variable(parts, variable, at);
    if (row !== undefined) {
      if (second !== undefined) return this.#field(first, parts.slice(1), at);
      return { node: 'row', row: first, type: { kind: 'row', record: row.record }, nullable: row.nullable };
    }
    throw this.#unknown(parts, at);
  }

  #unknown([first = '']: readonly string[], at: number): FormulaError {
    const { rows, own, variables, args, records, place } = this.#scope;
    if (args.has(first)) return new FormulaError(`${first} is an argument`, { at, example: `:${first}` });
    if (FUNCTIONS.has(first))
      return new FormulaError(`${first} is a function`, { at, example: FUNCTIONS.get(first)?.example.formula });
    const holder = [...rows].find(([, { record }]) => records.get(record)?.fields.has(first) === true);
    if (holder !== undefined)
      return new FormulaError(`${first} is a field of ${holder[0]}`, { at, example: `${holder[0]}.${first}` });
    const fields = own === undefined ? [] : [...(records.get(rows.get(own)?.record ?? '')?.fields.keys() ?? [])];
    const known = [...fields, ...variables.keys(), ...[...rows.keys()].filter((name) => name !== own)];
    const list = known.length === 0 ? `${place} knows no names` : `known are ${known.slice(0, 30).join(', ')}`;
    const meant = didYouMean(first, known);
    const asText = meant === '' ? ` If it is a text, write '${first}'.` : '';
    return new FormulaError(`there is no ${first}: ${list}.${meant}${asText}`, { at });
  }

  #variable(parts: readonly string[], { type, nullable, unit }: NamedValueShape, at: number): Formula {
    const [name = '', column, ...rest] = parts;
    const node = { node: 'variable', name, type, nullable, ...(unit === undefined ? {} : { unit }) } as const;
    if (column === undefined) return node;
    if (type.kind === 'object' && rest.length === 0) {
      const found = this.#column(type.columns, column, { at, owner: name });
      return {
        node: 'item_column',
        item: name,
        column,
        type: found.type,
        nullable: found.optional,
        ...unitOf(found.spec),
      };
    }
    if (type.kind === 'answer') {
      const found = type.values.find((value) => value.name === column);
      if (found !== undefined && rest.length === 0) {
        return {
          node: 'answer_value',
          answer: name,
          name: column,
          type: found.value.type,
          nullable: found.value.nullable,
        };
      }
      const known = type.values.map((value) => value.name).join(', ');
      throw new FormulaError(
        `${name} returns no ${column}: known are ${known === '' ? 'none; name it in its returns' : known}`,
        { at },
      );
    }
    throw new FormulaError(`${name} is ${typeName(type)} and has no ${column}`, { at, example: name });
  }

  /** A field of a row, and of the records that references lead to. */
  #field(row: string, parts: readonly string[], at: number): Formula {
    const { records, rows } = this.#scope;
    const start = rows.get(row);
    let shape = records.get(start?.record ?? '');
    let nullable = start?.nullable ?? false;
    const path: Hop[] = [];
    for (const [place, name] of parts.entries()) {
      const field = shape?.fields.get(name);
      if (shape === undefined || field === undefined) throw unknownField(shape, name, at);
      nullable ||= field.nullable;
      if (place === parts.length - 1) {
        const unit = field.unit === undefined ? {} : { unit: field.unit };
        return { node: 'field', row, path, record: shape.name, field: name, type: field.type, nullable, ...unit };
      }
      if (field.type.kind !== 'reference') {
        throw new FormulaError(`${name} is ${typeName(field.type)}, and only a reference has fields behind it`, {
          at,
          example: name,
        });
      }
      path.push({ from: shape.name, field: name, to: field.type.record, optional: field.nullable });
      shape = records.get(field.type.record);
    }
    throw new FormulaError('a name without a field', { at });
  }

  #arithmetic(syntax: Syntax & { readonly node: 'arithmetic' }, place: Place): Formula {
    const { op, at } = syntax;
    const left = this.type(syntax.left, place);
    const right = this.type(syntax.right, place);
    const nullable = left.nullable || right.nullable || op === '/' || op === '%';
    if (isNumber(left.type) && isNumber(right.type)) {
      if (op === '+' || op === '-') this.#sameUnit(left, right, at);
      const type = numberType(op, left.type, right.type);
      if (op === '/' && place.rounded !== true && type.kind !== 'float') {
        throw new FormulaError('a division has more digits than a field', { at, example: 'round(total / 3, 2)' });
      }
      const isOther =
        (op === '/' && right.unit !== undefined) || (op === '*' && left.unit !== undefined && right.unit !== undefined);
      const unit = isOther ? undefined : (left.unit ?? right.unit);
      return {
        node: 'arithmetic',
        op,
        left,
        right,
        type,
        nullable,
        ...(unit === undefined || op === '%' ? {} : { unit }),
      };
    }
    const type = this.#timeType(op, left.type, right.type);
    if (type !== undefined) return { node: 'arithmetic', op, left, right, type, nullable };
    throw new FormulaError(`${typeName(left.type)} ${op} ${typeName(right.type)} has no meaning`, {
      at,
      example: this.#timeExample(op, left.type, right.type),
    });
  }

  #timeType(op: string, left: Type, right: Type): Type | undefined {
    const isPlus = op === '+' || op === '-';
    if (isPlus && left.kind === 'timestamp' && right.kind === 'span') return left;
    if (isPlus && left.kind === 'date' && right.kind === 'span') return left;
    if (op === '+' && left.kind === 'span' && isMoment(right)) return right;
    if (op === '-' && left.kind === 'timestamp' && right.kind === 'timestamp') return { kind: 'span', calendar: false };
    if (isPlus && left.kind === 'span' && right.kind === 'span')
      return { kind: 'span', calendar: left.calendar || right.calendar };
    if (op === '*' && left.kind === 'span' && right.kind === 'integer') return left;
    if (op === '*' && left.kind === 'integer' && right.kind === 'span') return right;
    return undefined;
  }

  #timeExample(op: string, left: Type, right: Type): string | undefined {
    if (op === '-' && isMoment(left) && isMoment(right)) return 'days(from, to), minutes(from, to)';
    if (isMoment(left) && isNumber(right)) return 'day + 3 days, day + n * 1 month';
    if (left.kind === 'text' || right.kind === 'text') return "concat(a, ' ', b)";
    if (left.kind === 'time') return 'timestamp(day, start) + 90 min';
    return undefined;
  }

  #call(call: CallSyntax, place: Place): Formula {
    if (call.name === 'given') return this.#given(call);
    if (call.name === 'has_role') return this.#hasRole(call);
    if (call.name === 'position') return this.#position(call);
    if (call.over !== undefined) this.#refuseAll(call);
    if (call.over !== undefined) return this.#window(call, call.over, place);
    if (SETS.includes(call.name)) return this.#total(call, place);
    const known = FUNCTIONS.get(call.name);
    if (known === undefined) throw unknownFunction(call.name, call.at);
    this.#refuseAll(call);
    if (call.where !== undefined)
      throw new FormulaError(`${call.name} takes no where`, { at: call.at, example: known.signature });
    return this.#function(known, call, place);
  }

  #function(info: FunctionInfo, call: CallSyntax, place: Place): Formula {
    const { parameters, optional, repeats, name } = info;
    const count = call.args.length;
    if (count < parameters.length - optional || (count > parameters.length && !repeats)) {
      throw new FormulaError(`${name} takes ${info.signature}, not ${String(count)} values`, {
        at: call.at,
        example: info.example.formula,
      });
    }
    this.#digitsOf(info, call);
    const inside = {
      rounded: name === 'round' || name === 'floor' || name === 'ceil' || (name !== 'if' && place.rounded === true),
    };
    const given = call.args.map((arg) => this.type(arg, inside));
    const args = given.map((arg, index) => {
      const at = call.args[index]?.at ?? call.at;
      return this.#parameter(parameters[index] ?? parameters.at(-1) ?? 'any', arg, { info, at });
    });
    const same = parameters.includes('same') ? this.#unified(args, parameters) : args;
    const units = new Set(same.flatMap(({ unit }) => (unit === undefined ? [] : [unit])));
    const keepsUnit = ['round', 'floor', 'ceil', 'abs', 'if', 'coalesce', 'least', 'greatest'].includes(name);
    const [unit] = units;
    if (keepsUnit && units.size > 1)
      throw new FormulaError(`${[...units].join(' and ')} are two units`, { at: call.at });
    const nullable =
      name === 'coalesce'
        ? same.every((arg) => arg.nullable)
        : PARTIAL.includes(name) || (name === 'if' ? same.slice(1) : same).some((arg) => arg.nullable);
    return {
      node: 'call',
      name,
      args: same,
      type: info.result(same),
      nullable,
      ...(keepsUnit && unit !== undefined ? { unit } : {}),
    };
  }

  /** To how many digits is rounded is part of the type. */
  #digitsOf({ name, example }: FunctionInfo, { args, at }: CallSyntax): void {
    const [, digits] = args;
    if (name !== 'round' || digits === undefined) return;
    if (digits.node === 'number' && /^(?:\d|10)$/.test(digits.value)) return;
    throw new FormulaError('the digits of round are a number from 0 to 10', { at, example: example.formula });
  }

  #parameter(
    parameter: string,
    arg: Formula,
    { info, at }: { readonly info: FunctionInfo; readonly at: number },
  ): Formula {
    const { type } = arg;
    if (type.kind === 'null' && parameter !== 'literal') return arg;
    if (parameter === 'same' || parameter === 'any')
      return type.kind === 'row' ? this.fitted(arg, { type: this.#keyType(type.record), nullable: true }, at) : arg;
    if (parameter === 'literal' && arg.node === 'literal') return this.#unitOfTime(arg, info, at);
    if (parameter === 'number' && isNumber(type)) return arg;
    if (parameter === 'moment' && isMoment(type)) return arg;
    if (parameter === 'list' && type.kind === 'list') return arg;
    if (parameter === 'text' && ['text', 'enum'].includes(type.kind)) return arg;
    if (parameter === 'text' && type.kind === 'reference' && this.#fits(type, TEXT)) return arg;
    if (type.kind === parameter) return arg;
    const asDay = parameter === 'moment' ? 'date' : parameter;
    if (isText(arg) && LITERALS[asDay] !== undefined) return this.#literal(arg, { kind: asDay } as Type, at);
    if (parameter === 'json' && (type.kind === 'objects' || type.kind === 'object')) return arg;
    const wanted = parameter === 'moment' ? 'a date or a timestamp' : parameter;
    throw new FormulaError(`${info.signature}: ${typeName(type)} where ${wanted} is wanted`, {
      at,
      example: info.example.formula,
    });
  }

  #unitOfTime(arg: Formula & { readonly node: 'literal' }, info: FunctionInfo, at: number): Formula {
    const units = ['week', 'month', 'quarter', 'halfyear', 'year'];
    if (info.name !== 'trunc' || units.includes(String(arg.value))) return arg;
    throw new FormulaError(`'${String(arg.value)}' is none of ${units.join(', ')}`, {
      at,
      example: info.example.formula,
    });
  }

  /** The arguments that must be of one type, a literal as the type of the others. */
  #unified(args: readonly Formula[], parameters: readonly string[]): readonly Formula[] {
    const isSame = (index: number): boolean => (parameters[index] ?? parameters.at(-1)) === 'same';
    const type = common(args.filter((_, index) => isSame(index)));
    return args.map((arg, index) => {
      if (!isSame(index) || arg.type.kind === 'null' || (isNumber(arg.type) && isNumber(type))) return arg;
      return this.fitted(arg, { type, nullable: true }, 0);
    });
  }

  #given({ args, at }: CallSyntax): Formula {
    const [only] = args;
    if (only?.node !== 'argument' || args.length !== 1 || only.column !== undefined) {
      throw new FormulaError('given takes an argument of the operation', {
        at,
        example: 'not given(:zone) or zone = :zone',
      });
    }
    const found = this.#argument(only);
    if (!found.nullable)
      throw new FormulaError(`:${only.name} is always given; it is not optional`, { at, example: `:${only.name}` });
    return { node: 'given', name: only.name, type: BOOLEAN, nullable: false };
  }

  #hasRole({ args, at }: CallSyntax): Formula {
    const [only] = args;
    if (only?.node === 'text' && args.length === 1)
      return { node: 'has_role', role: only.value, type: BOOLEAN, nullable: false };
    throw new FormulaError('has_role takes the name of a role', { at, example: "has_role('manager')" });
  }

  #position({ args, at }: CallSyntax): Formula {
    const [only] = args;
    const name = only?.node === 'name' && only.parts.length === 1 ? only.parts[0] : undefined;
    if (name !== undefined && this.#scope.loops.has(name))
      return { node: 'position', item: name, type: INTEGER, nullable: false };
    throw new FormulaError('position takes the name of an item of a loop', { at, example: 'position(l)' });
  }

  #total(call: CallSyntax, place: Place): Formula {
    const [first] = call.args;
    const isSet = call.where !== undefined || call.order !== undefined;
    const list = first === undefined || isSet ? undefined : this.#listOf(first);
    if (list !== undefined) {
      this.#refuseAll(call);
      return this.#listTotal(call, list);
    }
    // n.b. a field may be called what a type of record is called, and of the rows of a group it is the field that is added up.
    const isTotal = this.#scope.totals && !isSet && ['sum', 'min', 'max', 'avg'].includes(call.name);
    const record = first === undefined ? undefined : this.#recordIn(first, isSet, isTotal);
    if (record !== undefined) return this.#set(call, record, place);
    this.#refuseAll(call);
    const { totals, place: where } = this.#scope;
    if (call.where !== undefined || call.name === 'exists' || call.name === 'first' || !totals) {
      const known = [...this.#scope.records.keys()];
      throw new FormulaError(`${call.name} does not say over which records; ${where} knows ${known.join(', ')}`, {
        at: call.at,
        example: SPECIAL_FUNCTIONS.find(({ name }) => name === call.name)?.example,
      });
    }
    const value = first === undefined ? undefined : this.type(first, place);
    return this.#aggregate(call, value, place);
  }

  #refuseAll({ all, at }: CallSyntax): void {
    if (!all) return;
    throw new FormulaError('all stands before a type of record, whose records count whoever may see them', {
      at,
      example: 'count(all loan where title = t.id)',
    });
  }

  #aggregate(call: CallSyntax, value: Formula | undefined, place: Place): Formula {
    const name = call.name as 'count' | 'sum' | 'min' | 'max' | 'avg';
    if (name !== 'count' && value === undefined)
      throw new FormulaError(`${name} of what?`, { at: call.at, example: `${name}(price)` });
    const shape = this.#totalShape(name, value, { at: call.at, place });
    return {
      node: 'total',
      function: name,
      distinct: call.distinct,
      ...shape,
      ...(value === undefined ? {} : { value }),
    };
  }

  #totalShape(
    name: string,
    value: Formula | undefined,
    { at, place }: { readonly at: number; readonly place: Place },
  ): NamedValueShape {
    if (name === 'count') return { type: INTEGER, nullable: false };
    if (name === 'exists') return { type: BOOLEAN, nullable: false };
    const type = value?.type ?? INTEGER;
    const unit = value?.unit === undefined ? {} : { unit: value.unit };
    if (name === 'first') return { type, nullable: true, ...unit };
    if (name === 'min' || name === 'max') {
      if (value !== undefined) this.#sortable(value, at);
      return { type, nullable: true, ...unit };
    }
    if (!isNumber(type)) throw new FormulaError(`${name} of ${typeName(type)}`, { at, example: `${name}(price)` });
    if (name === 'sum') return { type, nullable: false, ...unit };
    if (place.rounded !== true && type.kind !== 'float')
      throw new FormulaError('an average has more digits than a field', { at, example: 'round(avg(price), 2)' });
    return { type: type.kind === 'float' ? type : { kind: 'decimal', scale: 10 }, nullable: true, ...unit };
  }

  #listOf(syntax: Syntax): Formula | undefined {
    if (syntax.node === 'argument' || (syntax.node === 'name' && this.#scope.variables.has(syntax.parts[0] ?? ''))) {
      const typed = this.type(syntax, {});
      return typed.type.kind === 'list' || typed.type.kind === 'objects' ? typed : undefined;
    }
    if (syntax.node !== 'name' || this.#recordIn(syntax) !== undefined) return undefined;
    try {
      const typed = this.type(syntax, {});
      return typed.type.kind === 'list' || typed.type.kind === 'objects' ? typed : undefined;
    } catch (error) {
      if (error instanceof FormulaError) return undefined;
      throw error;
    }
  }

  #listTotal(call: CallSyntax, list: Formula): Formula {
    if (call.name === 'first' || call.name === 'exists') {
      throw new FormulaError(`${call.name} looks at stored records`, {
        at: call.at,
        example: 'count(:seats) > 0, has(:tags, tag)',
      });
    }
    const name = call.name as 'count' | 'sum' | 'min' | 'max' | 'avg';
    if (name !== 'count' && list.type.kind !== 'list')
      throw new FormulaError(`${name} of which column?`, { at: call.at, example: `${name}(:lines.amount)` });
    const of: Formula | undefined = list.type.kind === 'list' ? { ...list, type: list.type.of } : undefined;
    return {
      node: 'list_total',
      function: name,
      list,
      ...this.#totalShape(name, of, { at: call.at, place: { rounded: true } }),
    };
  }

  /** The type of record whose name stands first in a set: `line` in `line.amount * line.count`. */
  #recordIn(syntax: Syntax, isSet = false, isTotal = false): string | undefined {
    const { records, rows, own } = this.#scope;
    if (syntax.node === 'name') {
      const [first = ''] = syntax.parts;
      const isField = own !== undefined && records.get(rows.get(own)?.record ?? '')?.fields.has(first) === true;
      if (isField && !isSet && (isTotal || syntax.parts.length > 1)) return undefined;
      return records.has(first) && (isSet || !rows.has(first) || syntax.parts.length === 1) ? first : undefined;
    }
    const inner = Object.values(syntax).flatMap((part: unknown) => (Array.isArray(part) ? part : [part]) as unknown[]);
    for (const part of inner) {
      if (typeof part !== 'object' || part === null || !('node' in part)) continue;
      const found = this.#recordIn(part as Syntax, isSet, isTotal);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #set(call: CallSyntax, record: string, place: Place): Formula {
    const { sets, place: where } = this.#scope;
    if (!sets) {
      throw new FormulaError(`${where} looks at one record only, not at all of ${record}`, {
        at: call.at,
        example: 'a field with a rollup, or a check step in an action',
      });
    }
    const name = call.name as SetFunction;
    const inner = new Typer(innerScope(this.#scope, record));
    const [first] = call.args;
    const isWhole = first?.node === 'name' && first.parts.length === 1;
    const value = isWhole || first === undefined ? undefined : inner.type(first, place);
    if (value === undefined && name !== 'count' && name !== 'exists') {
      throw new FormulaError(`${name} of which field of ${record}?`, {
        at: call.at,
        example: `${name}(${record}.amount where …)`,
      });
    }
    const order = call.order === undefined ? undefined : inner.order(call.order);
    if (name === 'first' && order === undefined) {
      throw new FormulaError('the first of which order?', {
        at: call.at,
        example: 'first(price.amount where product = :product order by valid_from desc)',
      });
    }
    const condition = call.where === undefined ? undefined : inner.#condition(call.where);
    return {
      node: 'set',
      function: name,
      record,
      distinct: call.distinct,
      all: call.all,
      ...this.#totalShape(name, value, { at: call.at, place }),
      ...(value === undefined ? {} : { value }),
      ...(condition === undefined ? {} : { where: condition }),
      ...(order === undefined ? {} : { order }),
    };
  }

  #window(call: CallSyntax, over: NonNullable<CallSyntax['over']>, place: Place): Formula {
    const { name, at } = call;
    if (!this.#scope.windows)
      throw new FormulaError(`a window stands in the columns of a query, not in ${this.#scope.place}`, { at });
    if (!WINDOWS.includes(name)) throw new FormulaError(`${name} is no window`, { at, example: WINDOWS.join(', ') });
    const [first] = call.args;
    const value = first === undefined ? undefined : this.type(first, place);
    const partition = over.partition.map((part) => this.#sortable(this.type(part, {}), part.at));
    const order = this.order(over.order);
    const isRank = name === 'rank' || name === 'row_number';
    if ((isRank || name === 'lag' || name === 'lead') && order.length === 0) {
      throw new FormulaError(`${name} needs an order`, {
        at,
        example: `${name}(${value === undefined ? '' : 'value'}) over (order by points desc)`,
      });
    }
    const { preceding } = over;
    const isSlid = !isRank && name !== 'lag' && name !== 'lead';
    if (preceding !== undefined && (!isSlid || order.length === 0)) {
      throw new FormulaError(isSlid ? 'the rows before it in which order?' : `${name} has no rows`, {
        at,
        example: 'avg(value) over (partition by meter order by day rows 4 preceding)',
      });
    }
    if (!isRank && name !== 'count' && value === undefined)
      throw new FormulaError(`${name} of what?`, { at, example: `${name}(amount) over (order by day)` });
    const shape: NamedValueShape = isRank
      ? { type: INTEGER, nullable: false }
      : name === 'lag' || name === 'lead'
        ? { type: value?.type ?? INTEGER, nullable: true }
        : this.#totalShape(name, value, { at, place });
    const window = name as (Formula & { readonly node: 'window' })['function'];
    return {
      node: 'window',
      function: window,
      partition,
      order,
      ...shape,
      ...(value === undefined ? {} : { value }),
      ...(preceding === undefined ? {} : { preceding }),
    };
  }
}

function innerScope(scope: Scope, record: string): Scope {
  const rows = new Map(scope.rows);
  const around = scope.own === undefined ? undefined : scope.rows.get(scope.own);
  if (around !== undefined) rows.set('this', around);
  rows.set(record, { record, nullable: false });
  const { shown: _, ...rest } = scope;
  return { ...rest, rows, own: record, totals: false, windows: false, place: `a set of ${record}` };
}

function literalNumber(value: string): Formula {
  const [, fraction] = value.split('.');
  const type: Type = fraction === undefined ? INTEGER : { kind: 'decimal', scale: fraction.length };
  return { node: 'literal', value, type, nullable: false };
}

function numberType(op: string, left: Type, right: Type): Type {
  if (left.kind === 'float' || right.kind === 'float') return { kind: 'float' };
  const [a, b] = [left, right].map((type) => (type.kind === 'decimal' ? type.scale : 0)) as [number, number];
  if (op === '/') return { kind: 'decimal', scale: 10 };
  const scale = op === '*' ? Math.min(a + b, 10) : Math.max(a, b);
  return scale === 0 ? INTEGER : { kind: 'decimal', scale };
}

function isText(formula: Formula): formula is Formula & { readonly node: 'literal' } {
  return formula.node === 'literal' && formula.type.kind === 'text';
}

function bothEnums(a: Type, b: Type): boolean {
  return a.kind === 'enum' && b.kind === 'enum' && a.values.some((value) => b.values.includes(value));
}

function sameColumns(a: readonly CheckedColumn[], b: readonly CheckedColumn[]): boolean {
  return a.map(({ name }) => name).join() === b.map(({ name }) => name).join();
}

export function unitOf(spec: object): { readonly unit?: string } {
  return 'unit' in spec && typeof spec.unit === 'string' ? { unit: spec.unit } : {};
}

const LITERALS: Readonly<Record<string, { readonly pattern: RegExp; readonly example: string }>> = {
  date: { pattern: /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$/, example: "'2026-01-31'" },
  time: { pattern: /^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, example: "'18:30'" },
  timestamp: { pattern: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?Z$/, example: "'2026-01-31T18:30:00Z'" },
};

/** n.b. Date takes 30 February for 2 March. */
function isDay(value: string, { kind }: Type): boolean {
  if (kind !== 'date' && kind !== 'timestamp') return true;
  const day = value.slice(0, 10);
  const read = new Date(`${day}T00:00:00Z`);
  const isRead = !Number.isNaN(read.getTime()) && read.toISOString().startsWith(day);
  return isRead && (kind === 'date' || !Number.isNaN(Date.parse(value)));
}

function conversion(from: Type, to: Type): string | undefined {
  if ([from, to].some(({ kind }) => kind === 'date') && [from, to].some(({ kind }) => kind === 'timestamp'))
    return 'date(started_at) = day';
  if (to.kind === 'text') return "concat(number, '')";
  if (to.kind === 'boolean') return 'amount > 0';
  if (from.kind === 'text' && isNumber(to)) return '12.50, without quotation marks';
  return undefined;
}

function unknownField(shape: RecordShape | undefined, name: string, at: number): FormulaError {
  const known = [...(shape?.fields.keys() ?? [])];
  return new FormulaError(
    `${shape?.name ?? 'it'} has no field ${name}: known are ${known.join(', ')}.${didYouMean(name, known)}`,
    { at },
  );
}

function unknownFunction(name: string, at: number): FormulaError {
  const synonym = SYNONYMS.get(name.toLowerCase());
  const known = [...FUNCTIONS.keys(), ...SPECIAL_FUNCTIONS.map((one) => one.name)];
  const example = synonym === undefined ? undefined : (FUNCTIONS.get(synonym)?.signature ?? synonym);
  return new FormulaError(`there is no function ${name}.${synonym === undefined ? didYouMean(name, known) : ''}`, {
    at,
    example,
  });
}

/** Every part of a formula, the whole first. */
export function partsOf(formula: Formula): readonly Formula[] {
  const inner = Object.entries(formula).flatMap(([key, value]) => (key === 'type' ? [] : innerOf(value)));
  return [formula, ...inner.flatMap(partsOf)];
}

function innerOf(value: unknown): readonly Formula[] {
  if (Array.isArray(value)) return value.flatMap(innerOf);
  if (typeof value !== 'object' || value === null) return [];
  if ('node' in value) return [value as Formula];
  return 'by' in value ? innerOf(value.by) : [];
}
