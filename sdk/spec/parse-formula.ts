import type { Arithmetic, Comparison, Direction, Unit } from './checked.js';

/** Reads the text of a formula. What names mean and whether types fit is for `type-formula.ts`. */

export type Syntax = { readonly at: number } & (
  | { readonly node: 'text'; readonly value: string }
  | { readonly node: 'number'; readonly value: string }
  | { readonly node: 'constant'; readonly value: boolean | null }
  | { readonly node: 'span'; readonly amount: number; readonly in: Unit }
  | { readonly node: 'name'; readonly parts: readonly string[] }
  | { readonly node: 'argument'; readonly name: string; readonly column?: string }
  | { readonly node: 'caller'; readonly name: string }
  | { readonly node: 'not' | 'negate'; readonly of: Syntax }
  | { readonly node: 'and' | 'or'; readonly left: Syntax; readonly right: Syntax }
  | { readonly node: 'compare'; readonly op: Comparison; readonly left: Syntax; readonly right: Syntax }
  | { readonly node: 'is_null'; readonly of: Syntax; readonly not: boolean }
  | { readonly node: 'in'; readonly of: Syntax; readonly list: readonly Syntax[]; readonly not: boolean }
  | { readonly node: 'between'; readonly of: Syntax; readonly low: Syntax; readonly high: Syntax }
  | { readonly node: 'arithmetic'; readonly op: Arithmetic; readonly left: Syntax; readonly right: Syntax }
  | CallSyntax
);

export interface CallSyntax {
  readonly at: number;
  readonly node: 'call';
  readonly name: string;
  readonly args: readonly Syntax[];
  readonly distinct: boolean;
  /** `count(all loan where …)` */
  readonly all: boolean;
  /** `count(place where …)` */
  readonly where?: Syntax;
  /** `first(visit.day where … order by day desc)` */
  readonly order?: readonly OrderSyntax[];
  readonly over?: WindowSyntax;
}

interface WindowSyntax {
  readonly partition: readonly Syntax[];
  readonly order: readonly OrderSyntax[];
  /** `rows 4 preceding`: the row and so many before it. */
  readonly preceding?: number;
}

export interface OrderSyntax {
  readonly by: Syntax;
  readonly direction: Direction;
}

/** A text that is no formula: where, why, and how it would be right. */
export class FormulaError extends SyntaxError {
  readonly at: number;
  readonly example: string | undefined;

  constructor(message: string, { at, example }: { readonly at: number; readonly example?: string | undefined }) {
    super(message);
    this.at = at;
    this.example = example;
  }
}

const UNITS: ReadonlyMap<string, Unit> = new Map<string, Unit>([
  ['us', 'us'],
  ['ms', 'ms'],
  ['s', 's'],
  ...(['second', 'seconds', 'sec'] as const).map((word) => [word, 's'] as const),
  ...(['min', 'minute', 'minutes'] as const).map((word) => [word, 'min'] as const),
  ...(['h', 'hour', 'hours'] as const).map((word) => [word, 'hours'] as const),
  ...(['d', 'day', 'days'] as const).map((word) => [word, 'days'] as const),
  ...(['week', 'weeks'] as const).map((word) => [word, 'weeks'] as const),
  ...(['month', 'months'] as const).map((word) => [word, 'months'] as const),
  ...(['year', 'years'] as const).map((word) => [word, 'years'] as const),
]);

const MOST_DIGITS = 31;
/** A thousand years in each unit. */
const LONGEST: Readonly<Record<Unit, number>> = {
  ...{ us: 3.2e16, ms: 3.2e13, s: 3.2e10, min: 5.3e8, hours: 8.8e6, days: 3.7e5, weeks: 5.3e4 },
  ...{ months: 12_000, years: 1_000 },
};

/** Words of the grammar: no field, record or argument has such a name. The others, such as order and where, mean something in their place only. */
export const FORMULA_WORDS: readonly string[] = ['and', 'or', 'not', 'in', 'is', 'null', 'true', 'false', 'this'];

/** Words that may follow a value. */
const BEHIND_A_VALUE: readonly string[] = ['where', 'order', 'and', 'or', 'not', 'in', 'is', 'between'];

/** Names that no message of BEDS carries, because they mean something in JavaScript. */
export const WIRE_WORDS: readonly string[] = ['constructor', 'prototype'];

/** What other languages write, and what it is here. */
const FOREIGN: Readonly<Record<string, string>> = {
  '==': '=',
  '===': '=',
  '!==': '!=',
  '&&': 'and',
  '||': 'or for a choice, concat(a, b) for texts',
  '!': 'not',
  '?': 'if(condition, a, b)',
  '${': 'the name alone',
};

interface Token {
  readonly kind: 'text' | 'number' | 'word' | 'argument' | 'caller' | 'sign' | 'end';
  readonly value: string;
  readonly at: number;
}

const TOKEN =
  /\s*(?:('(?:[^']|'')*'|"(?:[^"]|"")*")|(\d+(?:\.\d+)?)|([A-Za-z_][A-Za-z0-9_]*)|:([A-Za-z_][A-Za-z0-9_]*)|@([A-Za-z_]+)|(===|!==|==|&&|\|\||\$\{|<=|>=|<>|!=|[=<>+\-*/%(),.!?]))/y;
const MAX_DEPTH = 40;

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let end = 0; text.slice(end).trim() !== '';) {
    TOKEN.lastIndex = end;
    const found = TOKEN.exec(text);
    if (found === null) throw unreadable(text, end);
    const [whole, quoted, number, word, argument, caller, sign] = found;
    const at = end + whole.length - whole.trimStart().length;
    if (quoted !== undefined) tokens.push({ kind: 'text', value: unquoted(quoted), at });
    else if (number !== undefined) tokens.push({ kind: 'number', value: number, at });
    else if (word !== undefined) tokens.push({ kind: 'word', value: word, at });
    else if (argument !== undefined) tokens.push({ kind: 'argument', value: argument, at });
    else if (caller !== undefined) tokens.push({ kind: 'caller', value: caller, at });
    else tokens.push(signToken(sign ?? '', at));
    end = TOKEN.lastIndex;
  }
  return [...tokens, { kind: 'end', value: 'the end', at: text.length }];
}

function signToken(sign: string, at: number): Token {
  const meant = FOREIGN[sign];
  if (meant !== undefined) throw new FormulaError(`${sign} is not written here`, { at, example: meant });
  return { kind: 'sign', value: sign === '<>' ? '!=' : sign, at };
}

function unreadable(text: string, end: number): FormulaError {
  const at = end + text.slice(end).length - text.slice(end).trimStart().length;
  const sign = text.charAt(at);
  if (sign === "'" || sign === '"') return new FormulaError('a text is not closed', { at, example: "'open'" });
  return new FormulaError(`${JSON.stringify(sign)} has no meaning in a formula`, { at });
}

function unquoted(quoted: string): string {
  const mark = quoted.charAt(0);
  return quoted.slice(1, -1).replaceAll(mark + mark, mark);
}

class Reader {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#tokens = tokensOf(text);
  }

  get token(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', value: 'the end', at: 0 };
  }

  get following(): Token | undefined {
    return this.#tokens[this.#next + 1];
  }

  /** Takes the next token where it is this sign or word. */
  takes(...values: readonly string[]): boolean {
    const { kind, value } = this.token;
    if ((kind !== 'sign' && kind !== 'word') || !values.includes(value)) return false;
    this.#next += 1;
    return true;
  }

  take(): Token {
    const { token } = this;
    this.#next += 1;
    return token;
  }

  expect(value: string, example?: string): void {
    const { token } = this;
    if (this.takes(value)) return;
    throw new FormulaError(`expected ${value}, found ${shown(token)}`, { at: token.at, example });
  }

  end(): void {
    const { token } = this;
    if (token.kind === 'end') return;
    throw new FormulaError(`${shown(token)} is too much: the formula ends before it`, {
      at: token.at,
      example: exampleAfter(token),
    });
  }

  formula(): Syntax {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) {
      throw new FormulaError('too deep: name parts of it by a let step', { at: this.token.at });
    }
    let left = this.#and();
    for (let at = this.token.at; this.takes('or'); at = this.token.at) {
      left = { node: 'or', left, right: this.#and(), at };
    }
    this.#depth -= 1;
    return left;
  }

  orderItem(): OrderSyntax {
    const by = this.formula();
    if (this.takes('desc')) return { by, direction: 'desc' };
    this.takes('asc');
    return { by, direction: 'asc' };
  }

  #and(): Syntax {
    let left = this.#not();
    for (let { at } = this.token; this.takes('and'); at = this.token.at) {
      left = { node: 'and', left, right: this.#not(), at };
    }
    return left;
  }

  #not(): Syntax {
    const { at } = this.token;
    if (!this.takes('not')) return this.#comparison();
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new FormulaError('too deep', { at });
    const of = this.#not();
    this.#depth -= 1;
    return { node: 'not', of, at };
  }

  #comparison(): Syntax {
    const left = this.#sum();
    const { at, value, kind } = this.token;
    if (kind === 'sign' && ['=', '!=', '<', '<=', '>', '>='].includes(value)) {
      this.take();
      const compared: Syntax = { node: 'compare', op: value as Comparison, left, right: this.#sum(), at };
      const { token } = this;
      if (token.kind === 'sign' && ['=', '!=', '<', '<=', '>', '>='].includes(token.value)) {
        throw new FormulaError('two comparisons in a row', { at: token.at, example: 'a < b and b < c' });
      }
      return compared;
    }
    if (this.takes('is')) return { node: 'is_null', not: this.takes('not'), of: this.#nullAfter(left), at };
    if (this.takes('between')) return this.#between(left, at);
    if (this.takes('in')) return { node: 'in', of: left, list: this.#list(), not: false, at };
    if (this.token.value === 'not' && this.following?.value === 'in') {
      this.take();
      this.take();
      return { node: 'in', of: left, list: this.#list(), not: true, at };
    }
    if (kind === 'word' && /^(?:like|ilike|regexp|matches)$/i.test(value)) {
      throw new FormulaError(`${value} is not written here`, {
        at,
        example: 'contains(name, :part), starts_with(name, :part), match(:words, name)',
      });
    }
    return left;
  }

  #nullAfter(of: Syntax): Syntax {
    this.expect('null', 'returned_at is null');
    return of;
  }

  #between(of: Syntax, at: number): Syntax {
    const low = this.#sum();
    this.expect('and', 'x between 1 and 5');
    return { node: 'between', of, low, high: this.#sum(), at };
  }

  #list(): readonly Syntax[] {
    if (this.token.kind === 'argument' || this.token.kind === 'word') return [this.#primary()];
    this.expect('(', "state in ('open', 'held')");
    return this.#formulasTo(')');
  }

  #formulasTo(end: string): readonly Syntax[] {
    if (this.takes(end)) return [];
    const list = [this.formula()];
    while (this.takes(',')) list.push(this.formula());
    this.expect(end);
    return list;
  }

  #sum(): Syntax {
    let left = this.#product();
    for (let { at, value } = this.token; this.takes('+', '-'); { at, value } = this.token) {
      left = { node: 'arithmetic', op: value as Arithmetic, left, right: this.#product(), at };
    }
    return left;
  }

  #product(): Syntax {
    let left = this.#sign();
    for (let { at, value } = this.token; this.takes('*', '/', '%'); { at, value } = this.token) {
      left = { node: 'arithmetic', op: value as Arithmetic, left, right: this.#sign(), at };
    }
    return left;
  }

  #sign(): Syntax {
    const { at } = this.token;
    if (!this.takes('-')) return this.#primary();
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new FormulaError('too deep', { at });
    const of = this.#sign();
    this.#depth -= 1;
    return { node: 'negate', of, at };
  }

  #primary(): Syntax {
    const { kind, value, at } = this.take();
    if (kind === 'text') return { node: 'text', value, at };
    if (kind === 'number') return this.#number(value, at);
    if (kind === 'caller') return { node: 'caller', name: value, at };
    if (kind === 'argument') {
      if (!this.takes('.')) return { node: 'argument', name: value, at };
      return { node: 'argument', name: value, column: this.#word('a column of the list'), at };
    }
    if (kind === 'sign' && value === '(') {
      const inner = this.formula();
      this.expect(')');
      return inner;
    }
    if (kind === 'word') return this.#named(value, at);
    throw new FormulaError(`expected a value, found ${shown({ kind, value, at })}`, { at });
  }

  #number(value: string, at: number): Syntax {
    const { token } = this;
    if (value.length > MOST_DIGITS) throw new FormulaError(`a number has at most ${MOST_DIGITS - 1} digits`, { at });
    if (token.kind !== 'word') return { node: 'number', value, at };
    const unit = UNITS.get(token.value);
    if (unit === undefined) return { node: 'number', value, at };
    this.take();
    if (value.includes('.')) throw new FormulaError('a length of time is whole', { at, example: '90 min' });
    if (Number(value) > LONGEST[unit])
      throw new FormulaError('a length of time is at most a thousand years', { at, example: '90 days' });
    return { node: 'span', amount: Number(value), in: unit, at };
  }

  #named(value: string, at: number): Syntax {
    if (value === 'true' || value === 'false') return { node: 'constant', value: value === 'true', at };
    if (value === 'null') return { node: 'constant', value: null, at };
    if (/^(?:case|select)$/i.test(value)) {
      throw new FormulaError(`${value} is not written here`, {
        at,
        example: "if(state = 'open', 1, 0), count(line where entry = e.id)",
      });
    }
    if (FORMULA_WORDS.includes(value) && value !== 'this') {
      throw new FormulaError(`expected a value, found the word ${value}`, { at });
    }
    if (this.takes('(')) return this.#call(value, at);
    const parts = [value];
    while (this.takes('.')) parts.push(this.#word('a name'));
    return { node: 'name', parts, at };
  }

  #word(what: string): string {
    const { kind, value, at } = this.take();
    if (kind === 'word') return value;
    throw new FormulaError(`expected ${what} after the point`, { at, example: 'order.customer' });
  }

  /** `all` before the name of a record. n.b. a record may be called so: `count(all where …)`. */
  #takesAll(): boolean {
    const { following } = this;
    if (following === undefined || BEHIND_A_VALUE.includes(following.value)) return false;
    const isBefore = ['word', 'argument'].includes(following.kind) || following.value === '(';
    return isBefore && this.takes('all');
  }

  #call(name: string, at: number): Syntax {
    const isFirst = this.#takesAll();
    const distinct = this.takes('distinct');
    const all = this.#takesAll() || isFirst;
    if (this.token.kind === 'sign' && this.token.value === '*') {
      throw new FormulaError('* is not written here', { at: this.token.at, example: 'count()' });
    }
    const args: Syntax[] = [];
    let where: Syntax | undefined;
    let order: readonly OrderSyntax[] | undefined;
    if (!this.takes(')')) {
      args.push(this.formula());
      while (this.takes(',')) args.push(this.formula());
      if (this.takes('where')) where = this.formula();
      if (this.takes('order')) order = this.#orderAfter();
      this.expect(')');
    }
    const over = this.takes('over') ? this.#window() : undefined;
    return {
      node: 'call',
      name,
      args,
      distinct,
      all,
      at,
      ...(where === undefined ? {} : { where }),
      ...(order === undefined ? {} : { order }),
      ...(over === undefined ? {} : { over }),
    };
  }

  #orderAfter(): readonly OrderSyntax[] {
    this.expect('by', 'order by day desc');
    const items = [this.orderItem()];
    while (this.takes(',')) items.push(this.orderItem());
    return items;
  }

  #window(): NonNullable<CallSyntax['over']> {
    this.expect('(', 'sum(amount) over (partition by account order by day, id)');
    const partition: Syntax[] = [];
    if (this.takes('partition')) {
      this.expect('by', 'partition by account');
      partition.push(this.formula());
      while (this.takes(',')) partition.push(this.formula());
    }
    const order = this.takes('order') ? this.#orderAfter() : [];
    const preceding = this.takes('rows') ? this.#preceding() : undefined;
    this.expect(')');
    return { partition, order, ...(preceding === undefined ? {} : { preceding }) };
  }

  /** `rows 4 preceding`, or as SQL has it in full: `rows between 4 preceding and current row`. */
  #preceding(): number {
    const example = 'avg(value) over (partition by meter order by day rows 4 preceding)';
    const isFull = this.takes('between');
    const { kind, value, at } = this.take();
    if (kind !== 'number' || !/^\d{1,4}$/.test(value))
      throw new FormulaError('the rows of a window are the row and so many before it', { at, example });
    this.expect('preceding', example);
    if (isFull) for (const word of ['and', 'current', 'row']) this.expect(word, example);
    return Number(value);
  }
}

function shown({ kind, value }: Token): string {
  if (kind === 'text') return `the text '${value}'`;
  if (kind === 'argument') return `:${value}`;
  return kind === 'caller' ? `@${value}` : value;
}

function exampleAfter({ kind, value }: Token): string | undefined {
  if (kind === 'word' && value === 'then') return "if(state = 'open', 1, 0)";
  return kind === 'sign' && value === '.' ? 'order.customer.name' : undefined;
}

/** Throws FormulaError. */
export function parseFormula(text: string): Syntax {
  const reader = new Reader(text);
  const formula = reader.formula();
  reader.end();
  return formula;
}

/** `day desc`. Throws FormulaError. */
export function parseOrderItem(text: string): OrderSyntax {
  const reader = new Reader(text);
  const item = reader.orderItem();
  reader.end();
  return item;
}

/** `name = formula`. Throws FormulaError. */
export function parseAssignment(text: string): { readonly name: string; readonly value: Syntax } {
  const [whole, name] = /^\s*([a-z][a-z0-9_]*)\s*=(?!=)/.exec(text) ?? [];
  if (whole === undefined || name === undefined) {
    throw new FormulaError('expected "name = formula"', { at: 0, example: "state = 'held'" });
  }
  if ([...FORMULA_WORDS, ...WIRE_WORDS].includes(name))
    throw new FormulaError(`${name} is no name here`, { at: 0, example: `${name}_value = …` });
  return { name, value: shifted(() => parseFormula(text.slice(whole.length)), whole.length) };
}

/** A column of an answer: a field, which gives its name, or `name = formula`. Throws FormulaError. */
export function parseColumn(text: string): { readonly name: string; readonly value: Syntax } {
  if (/^\s*[a-z][a-z0-9_]*\s*=(?!=)/.test(text)) return parseAssignment(text);
  const value = parseFormula(text);
  const name = value.node === 'name' ? value.parts.at(-1) : undefined;
  if (name === undefined)
    throw new FormulaError('a column that is computed needs a name', { at: 0, example: `total = ${text}` });
  return { name, value };
}

function shifted<T>(parse: () => T, by: number): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof FormulaError)) throw error;
    throw new FormulaError(error.message, { at: error.at + by, example: error.example });
  }
}
