import { MOST_PROBLEMS, type Problem } from './errors.js';
import { isPlainName, placeOf } from './unknown-names.js';

/** Bounds of what one query may ask. */
export const QUERY_LIMITS = {
  depth: 5,
  comparisons: 200,
  inValues: 1_000,
  allInValues: 10_000,
  orderColumns: 8,
} as const;

export const FILTER_NAMES = ['where', 'and', 'or', 'not'] as const;
export const QUERY_NAMES = [...FILTER_NAMES, 'view', 'order', 'limit', 'cursor', 'count'] as const;
export const ORDER_NAMES = ['column', 'direction'] as const;
export const COMPARISON_NAMES = [
  'eq',
  'ne',
  'lt',
  'lte',
  'gt',
  'gte',
  'in',
  'between',
  'prefix',
  'contains',
  'isNull',
] as const;

export interface QueryFormOptions {
  /** Finds the name that was meant, for a sentence; '' where none is near. Default: it is not looked for. */
  readonly meant?: (name: string, known: readonly string[]) => string;
  /** Names that the caller has put into the query itself. */
  readonly own?: readonly string[];
}

/**
 * Checks the form of a query, whatever its columns: names that nobody knows, things that are of another type, filters that
 * compare with nothing. What is wrong is added to `problems`.
 */
export function checkQueryForm(query: unknown, problems: Problem[], options: QueryFormOptions = {}): void {
  new FormCheck(problems, options).query(query, 'query');
}

/** Whether `checkQueryForm` would find nothing. n.b. on the path of every read: it makes no objects. */
export function hasQueryForm(query: unknown, own: readonly string[] = []): boolean {
  if (!isObject(query)) return false;
  let comparisons = 0;
  for (const name in query) {
    const value = query[name];
    switch (name) {
      case 'where':
      case 'and':
      case 'or':
      case 'not':
        if (!isAbsent(value)) comparisons += countPart(name, value, 0);
        break;
      case 'order':
        if (!isAbsent(value) && !isOrder(value)) return false;
        break;
      default:
        if (!isOther(name, value) && !own.includes(name)) return false;
    }
  }
  return (
    Math.floor(comparisons) <= QUERY_LIMITS.comparisons && (comparisons % 1) / ONE_VALUE <= QUERY_LIMITS.allInValues
  );
}

function isOther(name: string, value: unknown): boolean {
  switch (name) {
    case 'limit':
      return isAbsent(value) || typeof value === 'number';
    case 'view':
    case 'cursor':
      return isAbsent(value) || typeof value === 'string';
    case 'count':
      return isAbsent(value) || typeof value === 'boolean';
    default:
      return false;
  }
}

/** In place of the number of comparisons, where their form is wrong: no limit lets it pass. */
const WRONG = Infinity;
/** What a value of a list adds to the number of comparisons: all that a query may have stay behind the point, and exact. */
const ONE_VALUE = 2 ** -20;

function countPart(name: (typeof FILTER_NAMES)[number], value: unknown, depth: number): number {
  if (name === 'where') return isObject(value) ? countWhere(value) : WRONG;
  if (name === 'not') return countFilter(value, depth + 1);
  if (!Array.isArray(value) || value.length === 0) return WRONG;
  let comparisons = 0;
  for (const filter of value as readonly unknown[]) comparisons += countFilter(filter, depth + 1);
  return comparisons;
}

/** Of a filter that stands in another one: it has some. */
function countFilter(filter: unknown, depth: number): number {
  if (!isObject(filter) || depth > QUERY_LIMITS.depth) return WRONG;
  let comparisons = 0;
  for (const name in filter) {
    if (name !== 'where' && name !== 'and' && name !== 'or' && name !== 'not') return WRONG;
    if (!isAbsent(filter[name])) comparisons += countPart(name, filter[name], depth);
  }
  return comparisons === 0 ? WRONG : comparisons;
}

function countWhere(where: Readonly<Record<string, unknown>>): number {
  let comparisons = 0;
  for (const column in where) {
    const test = where[column];
    if (test === undefined) return WRONG;
    comparisons += typeof test !== 'object' || test === null ? 1 : countColumn(test);
  }
  return comparisons;
}

function countColumn(test: object): number {
  if (Array.isArray(test)) return WRONG;
  let comparisons = 0;
  for (const operator in test) {
    const value = (test as Readonly<Record<string, unknown>>)[operator];
    if (!COMPARISON_NAMES.includes(operator as 'eq')) return WRONG;
    if (value === undefined) return WRONG;
    if (operator === 'in') {
      if (!Array.isArray(value) || value.length > QUERY_LIMITS.inValues) return WRONG;
      comparisons += value.length * ONE_VALUE;
    }
    if (operator === 'between' && !(Array.isArray(value) && value.length === 2)) return WRONG;
    if (operator === 'isNull' && typeof value !== 'boolean') return WRONG;
    comparisons += 1;
  }
  return comparisons === 0 ? WRONG : comparisons;
}

function isOrder(order: unknown): boolean {
  if (!Array.isArray(order) || order.length > QUERY_LIMITS.orderColumns) return false;
  for (const entry of order as readonly unknown[]) {
    if (!isObject(entry)) return false;
    for (const name in entry) if (name !== 'column' && name !== 'direction') return false;
    const { column, direction } = entry;
    if (typeof column !== 'string') return false;
    if (!isAbsent(direction) && direction !== 'asc' && direction !== 'desc') return false;
  }
  return true;
}

/** Whether a field of a query counts as left out. */
function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class FormCheck {
  readonly #problems: Problem[];
  readonly #options: QueryFormOptions;
  #comparisons = 0;
  #inValues = 0;

  constructor(problems: Problem[], options: QueryFormOptions) {
    this.#problems = problems;
    this.#options = options;
  }

  query(query: unknown, path: string): void {
    if (!isObject(query)) return this.#add(path, 'must be a JSON object');
    for (const name in query) {
      const value = query[name];
      switch (name) {
        case 'where':
          if (!isAbsent(value)) this.#where(value, 'query.where');
          break;
        case 'and':
        case 'or':
        case 'not':
          if (!isAbsent(value)) this.#part(name, value, { path, depth: 0 });
          break;
        case 'order':
          if (!isAbsent(value)) this.#order(value, path);
          break;
        default:
          if (this.#options.own?.includes(name) !== true) this.#other(name, value, path);
      }
    }
    if (this.#comparisons > QUERY_LIMITS.comparisons) {
      this.#add(path, `must have at most ${QUERY_LIMITS.comparisons} comparisons`);
    }
    if (this.#inValues > QUERY_LIMITS.allInValues) {
      this.#add(path, `must have at most ${QUERY_LIMITS.allInValues} values for in, all together`);
    }
  }

  /** A filter that stands in another one. */
  #filter(filter: unknown, path: string, depth: number): void {
    if (!isObject(filter)) return this.#add(path, 'must be a JSON object');
    if (depth > QUERY_LIMITS.depth) return this.#add(path, `is nested deeper than ${QUERY_LIMITS.depth} filters`);
    const before = this.#comparisons;
    const problemsBefore = this.#problems.length;
    for (const name in filter) {
      const value = filter[name];
      if (name !== 'where' && name !== 'and' && name !== 'or' && name !== 'not') {
        this.#unknown(name, FILTER_NAMES, path);
      } else if (!isAbsent(value)) this.#part(name, value, { path, depth });
    }
    if (this.#comparisons === before && this.#problems.length === problemsBefore) {
      this.#add(path, `compares with nothing: give it ${FILTER_NAMES.join(', ')}`);
    }
  }

  #part(
    name: (typeof FILTER_NAMES)[number],
    value: unknown,
    at: { readonly path: string; readonly depth: number },
  ): void {
    const path = `${at.path}.${name}`;
    if (name === 'where') return this.#where(value, path);
    if (name === 'not') return this.#filter(value, path, at.depth + 1);
    if (!Array.isArray(value) || value.length === 0) return this.#add(path, 'must be a list of at least one filter');
    value.forEach((filter: unknown, index) => this.#filter(filter, `${path}[${index}]`, at.depth + 1));
  }

  #where(where: unknown, path: string): void {
    if (!isObject(where)) return this.#add(path, 'must be a JSON object');
    for (const column in where) {
      const comparison = where[column];
      if (comparison === undefined) {
        this.#add(placeOf({ path, name: column }), 'is undefined: leave it out, or compare with null');
      } else if (typeof comparison !== 'object' || comparison === null) this.#comparisons += 1;
      else this.#comparison(comparison, path, column);
    }
  }

  #comparison(comparison: object, where: string, column: string): void {
    const path = placeOf({ path: where, name: column });
    if (Array.isArray(comparison)) return this.#add(path, 'must be a value or an object of comparisons');
    const before = this.#comparisons;
    for (const operator in comparison) {
      const value = (comparison as Readonly<Record<string, unknown>>)[operator];
      if (!COMPARISON_NAMES.includes(operator as 'eq')) this.#unknown(operator, COMPARISON_NAMES, path);
      else if (value === undefined) this.#add(path, `has undefined for ${operator}: leave it out`);
      else if (operator === 'in') this.#in(value, path);
      else if (operator === 'between' && !(Array.isArray(value) && value.length === 2)) {
        this.#add(path, 'needs a list of two values for between');
      } else if (operator === 'isNull' && typeof value !== 'boolean') this.#add(path, 'needs true or false for isNull');
      this.#comparisons += 1;
    }
    if (this.#comparisons === before) this.#add(path, `compares with nothing: give it ${COMPARISON_NAMES.join(', ')}`);
  }

  #in(value: unknown, path: string): void {
    if (!Array.isArray(value) || value.length > QUERY_LIMITS.inValues) {
      this.#add(path, `needs a list of at most ${QUERY_LIMITS.inValues} values for in`);
    } else this.#inValues += value.length;
  }

  #order(order: unknown, path: string): void {
    const at = `${path}.order`;
    if (!Array.isArray(order) || order.length > QUERY_LIMITS.orderColumns) {
      return this.#add(at, `must be a list of at most ${QUERY_LIMITS.orderColumns} columns`);
    }
    order.forEach((entry: unknown, index) => {
      if (!isObject(entry)) return this.#add(`${at}[${index}]`, 'must be { column, direction }');
      for (const name in entry) {
        if (name !== 'column' && name !== 'direction') this.#unknown(name, ORDER_NAMES, `${at}[${index}]`);
      }
      const { column, direction } = entry;
      if (typeof column !== 'string') this.#add(`${at}[${index}].column`, 'must be the name of a column');
      if (!isAbsent(direction) && direction !== 'asc' && direction !== 'desc') {
        this.#add(`${at}[${index}].direction`, 'must be asc or desc');
      }
    });
  }

  #other(name: string, value: unknown, path: string): void {
    const type = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined;
    if (type === undefined) this.#unknown(name, QUERY_NAMES, path);
    else if (!isAbsent(value) && typeof value !== type.is) this.#add(`${path}.${name}`, type.message);
  }

  #unknown(name: string, known: readonly string[], path: string): void {
    const meant = this.#problems.length < MOST_PROBLEMS ? this.#options.meant?.(name, known) : undefined;
    const what = isPlainName(name) ? `is unknown${meant ?? ''}` : 'has a name that is no identifier';
    this.#add(placeOf({ path, name }), `${what}; known there: ${known.join(', ')}`);
  }

  #add(field: string, message: string): void {
    this.#problems.push({ field, message });
  }
}

const TYPES: Readonly<Record<string, { readonly is: string; readonly message: string }>> = {
  limit: { is: 'number', message: 'must be a number' },
  view: { is: 'string', message: 'must be a text' },
  cursor: { is: 'string', message: 'must be a text' },
  count: { is: 'boolean', message: 'must be true or false' },
};
