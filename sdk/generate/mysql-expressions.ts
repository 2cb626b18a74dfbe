import { Unsaid } from './imported-domain.js';

/** Expressions as MySQL and MariaDB show them in their catalogues, and what they are in the language of specifications. */

export type SqlExpression =
  | { readonly node: 'column'; readonly name: string }
  | { readonly node: 'number'; readonly value: string }
  | { readonly node: 'text'; readonly value: string }
  | { readonly node: 'truth'; readonly value: boolean }
  | { readonly node: 'null' }
  | { readonly node: 'and' | 'or'; readonly of: readonly [SqlExpression, SqlExpression] }
  | { readonly node: 'not' | 'is_null'; readonly of: SqlExpression }
  | { readonly node: 'is'; readonly of: SqlExpression; readonly value: boolean }
  | {
      readonly node: 'compare' | 'arithmetic';
      readonly op: string;
      readonly left: SqlExpression;
      readonly right: SqlExpression;
    }
  | { readonly node: 'in'; readonly of: SqlExpression; readonly list: readonly SqlExpression[] }
  | { readonly node: 'call'; readonly name: string; readonly args: readonly SqlExpression[] };

interface Token {
  readonly kind: 'column' | 'text' | 'number' | 'word' | 'sign' | 'end';
  readonly value: string;
}

const TOKEN =
  /\s*(?:`((?:[^`]|``)+)`|(?:_\w+)?('(?:[^'\\]|\\.|'')*')|(\d+(?:\.\d+)?(?![\w.]))|([A-Za-z_]\w*)|(<=>|<>|!=|<=|>=|[-+*/%(),=<>!]))/sy;
const MAX_DEPTH = 40;

export function unquotedText(quoted: string): string {
  return quoted.slice(1, -1).replaceAll(/\\(.)|''/gs, (_, letter: string | undefined) => letter ?? "'");
}

/** Whether a text has characters that nobody sees, or ends a line: the language has no such texts. */
export function isUnseen(text: string): boolean {
  return /[\p{C}\u2028\u2029]/u.test(text);
}

/** Throws `Unsaid`. */
export function refuseUnseen(text: string): void {
  if (isUnseen(text)) throw new Unsaid('a text of it has a character that nobody sees');
}

function tokensOf(sql: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let end = 0; sql.slice(end).trim() !== ''; end = TOKEN.lastIndex) {
    TOKEN.lastIndex = end;
    const found = TOKEN.exec(sql);
    if (found?.[2] !== undefined) refuseUnseen(unquotedText(found[2]));
    if (found === null) throw new Unsaid(`${sql.slice(end, end + 20).trim()} has no word in the language`);
    const [, column, text, number, word, sign = ''] = found;
    if (column !== undefined) tokens.push({ kind: 'column', value: column.replaceAll('``', '`') });
    else if (text !== undefined) tokens.push({ kind: 'text', value: unquotedText(text) });
    else if (number !== undefined) tokens.push({ kind: 'number', value: number });
    else if (word !== undefined) tokens.push({ kind: 'word', value: word.toLowerCase() });
    else tokens.push({ kind: 'sign', value: sign });
  }
  return tokens;
}

/** Throws `Unsaid`. */
export function parseSql(sql: string): SqlExpression {
  const reader = new Reader(tokensOf(sql));
  const whole = reader.either();
  reader.end();
  return whole;
}

class Reader {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  either(): SqlExpression {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new Unsaid('it is nested too deeply');
    let left = this.#both();
    while (this.#takes('or')) left = { node: 'or', of: [left, this.#both()] };
    this.#depth -= 1;
    return left;
  }

  end(): void {
    if (this.#token.kind !== 'end') throw new Unsaid(`${this.#token.value} has no word in the language`);
  }

  get #token(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', value: 'its end' };
  }

  #takes(...values: readonly string[]): boolean {
    const { kind, value } = this.#token;
    if ((kind !== 'word' && kind !== 'sign') || !values.includes(value)) return false;
    this.#next += 1;
    return true;
  }

  #expect(value: string): void {
    if (!this.#takes(value)) throw new Unsaid(`${this.#token.value} has no word in the language`);
  }

  #both(): SqlExpression {
    let left = this.#negated();
    while (this.#takes('and')) left = { node: 'and', of: [left, this.#negated()] };
    return left;
  }

  #negated(): SqlExpression {
    let isNot = false;
    while (this.#takes('not')) isNot = !isNot;
    const of = this.#compared();
    return isNot ? { node: 'not', of } : of;
  }

  #compared(): SqlExpression {
    let left = this.#sum();
    for (;;) {
      const op = this.#token.value;
      if (this.#takes('=', '<>', '!=', '<', '<=', '>', '>=')) {
        left = { node: 'compare', op: op === '<>' ? '!=' : op, left, right: this.#sum() };
      } else if (this.#takes('is')) {
        const isNot = this.#takes('not');
        const is = this.#after(left);
        left = isNot ? { node: 'not', of: is } : is;
      } else {
        const isNot = this.#takes('not');
        const found = this.#tested(left);
        if (found === undefined && isNot) throw new Unsaid('not has no word in the language there');
        if (found === undefined) return left;
        left = isNot ? { node: 'not', of: found } : found;
      }
    }
  }

  #after(of: SqlExpression): SqlExpression {
    if (this.#takes('null')) return { node: 'is_null', of };
    const value = this.#token.value === 'true';
    if (this.#takes('true', 'false')) return { node: 'is', of, value };
    throw new Unsaid(`is ${this.#token.value} has no word in the language`);
  }

  #tested(of: SqlExpression): SqlExpression | undefined {
    if (this.#takes('in')) {
      this.#expect('(');
      return { node: 'in', of, list: this.#listed() };
    }
    if (this.#takes('between')) {
      const low = this.#sum();
      this.#expect('and');
      const high = this.#sum();
      const test = (op: string, right: SqlExpression): SqlExpression => ({ node: 'compare', op, left: of, right });
      return { node: 'and', of: [test('>=', low), test('<=', high)] };
    }
    return this.#takes('regexp', 'rlike') ? { node: 'call', name: 'regexp_like', args: [of, this.#sum()] } : undefined;
  }

  #listed(): readonly SqlExpression[] {
    if (this.#takes(')')) return [];
    const items = [this.either()];
    while (this.#takes(',')) items.push(this.either());
    this.#expect(')');
    return items;
  }

  #sum(): SqlExpression {
    let left = this.#product();
    for (let op = this.#token.value; this.#takes('+', '-'); op = this.#token.value)
      left = { node: 'arithmetic', op, left, right: this.#product() };
    return left;
  }

  #product(): SqlExpression {
    let left = this.#single();
    for (let op = this.#token.value; this.#takes('*', '/', '%', 'mod'); op = this.#token.value)
      left = { node: 'arithmetic', op: op === 'mod' ? '%' : op, left, right: this.#single() };
    return left;
  }

  #single(): SqlExpression {
    if (this.#takes('-')) {
      const of = this.#single();
      if (of.node === 'number') return { node: 'number', value: `-${of.value}` };
      return { node: 'arithmetic', op: '-', left: { node: 'number', value: '0' }, right: of };
    }
    // n.b. MariaDB writes NOT so.
    if (this.#takes('!')) return { node: 'not', of: this.#single() };
    if (this.#takes('(')) {
      const inner = this.either();
      this.#expect(')');
      return inner;
    }
    return this.#primary();
  }

  #primary(): SqlExpression {
    const { kind, value } = this.#token;
    this.#next += 1;
    if (kind === 'column') return { node: 'column', name: value };
    if (kind === 'text') return { node: 'text', value };
    if (kind === 'number') return { node: 'number', value };
    if (kind === 'word' && this.#takes('(')) return { node: 'call', name: value, args: this.#listed() };
    if (kind === 'word' && (value === 'true' || value === 'false')) return { node: 'truth', value: value === 'true' };
    if (kind === 'word' && value === 'null') return { node: 'null' };
    // Written without brackets: a default.
    if (value === 'current_timestamp') return { node: 'call', name: value, args: [] };
    throw new Unsaid(`${value} has no word in the language`);
  }
}

/** What a column is among the fields. */
export interface ColumnField {
  readonly name: string;
  readonly isBoolean: boolean;
  readonly isOptional: boolean;
}

/** Finds the field of a column. Throws `Unsaid` where the specification has none. */
export type FieldOf = (column: string) => ColumnField;

const FUNCTIONS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{ char_length: 'len', character_length: 'len', lower: 'lower', lcase: 'lower', upper: 'upper', ucase: 'upper' },
    ...{ coalesce: 'coalesce', ifnull: 'coalesce', abs: 'abs', round: 'round', floor: 'floor', ceiling: 'ceil' },
    ...{ ceil: 'ceil', concat: 'concat', least: 'least', greatest: 'greatest', year: 'year', month: 'month' },
    ...{ dayofmonth: 'day', day: 'day', trim: 'trim' },
  }),
);

export function textLiteral(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** The value of an expression, as a formula. Throws `Unsaid`. */
export function valueOf(sql: SqlExpression, fieldOf: FieldOf): string {
  switch (sql.node) {
    case 'column':
      return fieldOf(sql.name).name;
    case 'number':
      return sql.value;
    case 'text':
      return textLiteral(sql.value);
    case 'truth':
      return String(sql.value);
    case 'null':
      return 'null';
    case 'arithmetic':
      return `(${valueOf(sql.left, fieldOf)} ${sql.op} ${valueOf(sql.right, fieldOf)})`;
    case 'call': {
      const [condition, ...rest] = sql.args;
      if (sql.name === 'if' && condition !== undefined)
        return `if(${isTrue(condition, fieldOf)}, ${rest.map((arg) => valueOf(arg, fieldOf)).join(', ')})`;
      const name = FUNCTIONS.get(sql.name);
      if (name === undefined) throw new Unsaid(`the function ${sql.name} has no word in the language`);
      return `${name}(${sql.args.map((arg) => valueOf(arg, fieldOf)).join(', ')})`;
    }
    default: {
      const truth = isTrue(sql, fieldOf);
      if (truth !== isAllowed(sql, fieldOf)) throw new Unsaid('a truth that may be NULL has no word in the language');
      return `(${truth})`;
    }
  }
}

/** Where an expression is true. n.b. SQL has three truths, the language two: what is NULL is not true here. Throws `Unsaid`. */
export function isTrue(sql: SqlExpression, fieldOf: FieldOf): string {
  switch (sql.node) {
    case 'and':
    case 'or':
      return sql.of.map((part) => grouped(isTrue(part, fieldOf), sql.node)).join(` ${sql.node} `);
    case 'not':
      if (sql.of.node === 'is_null') return `${valueOf(sql.of.of, fieldOf)} is not null`;
      return `not ${inBrackets(isAllowed(sql.of, fieldOf))}`;
    case 'is_null':
      return `${valueOf(sql.of, fieldOf)} is null`;
    case 'is':
      return sql.value ? isTrue(sql.of, fieldOf) : `not ${inBrackets(isAllowed(sql.of, fieldOf))}`;
    default:
      return plain(sql, fieldOf);
  }
}

/** Where an expression is not false, as a CHECK asks for. Throws `Unsaid`. */
export function isAllowed(sql: SqlExpression, fieldOf: FieldOf): string {
  switch (sql.node) {
    case 'and':
    case 'or':
      return sql.of.map((part) => grouped(isAllowed(part, fieldOf), sql.node)).join(` ${sql.node} `);
    case 'not':
      if (sql.of.node === 'is_null') return `${valueOf(sql.of.of, fieldOf)} is not null`;
      return `not ${inBrackets(isTrue(sql.of, fieldOf))}`;
    case 'is_null':
    case 'is':
      return isTrue(sql, fieldOf);
    default: {
      const absent = optionalIn(sql, fieldOf).map((name) => `${name} is null`);
      return [...absent, plain(sql, fieldOf)].join(' or ');
    }
  }
}

function inBrackets(text: string): string {
  return /^\w+$/.test(text) ? text : `(${text})`;
}

function grouped(text: string, around: 'and' | 'or'): string {
  return around === 'and' && text.includes(' or ')
    ? `(${text})`
    : around === 'or' && text.includes(' and ')
      ? `(${text})`
      : text;
}

/** A test without `and`, `or` and `not`. */
function plain(sql: SqlExpression, fieldOf: FieldOf): string {
  if (sql.node === 'column') {
    const { name, isBoolean } = fieldOf(sql.name);
    return isBoolean ? name : `${name} != 0`;
  }
  if (sql.node === 'truth') return String(sql.value);
  if (sql.node === 'in')
    return `${valueOf(sql.of, fieldOf)} in (${sql.list.map((item) => valueOf(item, fieldOf)).join(', ')})`;
  if (sql.node === 'call') throw new Unsaid(`the function ${sql.name} has no word in the language`);
  if (sql.node !== 'compare') throw new Unsaid('it is no comparison');
  const { op, left, right } = sql;
  const flag = [left, right].find((side) => side.node === 'column' && fieldOf(side.name).isBoolean);
  const other = flag === left ? right : left;
  if (flag !== undefined && (other.node === 'number' || other.node === 'truth') && (op === '=' || op === '!=')) {
    const isOne = other.node === 'truth' ? other.value : other.value !== '0';
    const name = valueOf(flag, fieldOf);
    if ((op === '=') === isOne) return name;
    return flag.node === 'column' && fieldOf(flag.name).isOptional ? `${name} = false` : `not ${name}`;
  }
  return `${valueOf(left, fieldOf)} ${op} ${valueOf(right, fieldOf)}`;
}

/** The fields whose absence makes a test NULL. */
function optionalIn(sql: SqlExpression, fieldOf: FieldOf): readonly string[] {
  const found = new Set<string>();
  const look = (part: SqlExpression): void => {
    if (part.node === 'column' && fieldOf(part.name).isOptional) found.add(fieldOf(part.name).name);
    else if (part.node === 'arithmetic') {
      const isByZero =
        part.op === '/' || (part.op === '%' && (part.right.node !== 'number' || Number(part.right.value) === 0));
      if (isByZero) throw new Unsaid('a division by zero is allowed there, and no formula says so');
      look(part.left);
      look(part.right);
    } else if (part.node === 'compare') {
      look(part.left);
      look(part.right);
    } else if (part.node === 'in') {
      look(part.of);
      if (part.list.some((item) => item.node !== 'number' && item.node !== 'text'))
        throw new Unsaid('a list of more than values has no word in the language');
    } else if (part.node === 'call') {
      const before = found.size;
      for (const arg of part.args) look(arg);
      const isChoice = ['if', 'coalesce', 'ifnull'].includes(part.name);
      if (isChoice && found.size > before) throw new Unsaid(`${part.name} over what may be absent is not read`);
    } else if (part.node === 'null') throw new Unsaid('a comparison with NULL is never false');
    else if (part.node !== 'column' && part.node !== 'number' && part.node !== 'text' && part.node !== 'truth')
      throw new Unsaid('a test inside of a comparison is not read');
  };
  look(sql);
  return [...found];
}
