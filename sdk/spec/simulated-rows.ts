import { compareSame } from './compute.js';
import type { CheckedQuery, Formula, Type } from './checked.js';
import { Exact } from './exact.js';
import { type Computed, printed } from './functions.js';

/** What a domain in memory keeps, and how its parts see it. */

/** A value in a row: what formulas compute with, and lists of objects. */
export type Stored = Computed | readonly StoredItem[];
export interface StoredItem {
  readonly item: Readonly<Record<string, Stored>>;
}
export type Row = Readonly<Record<string, Stored>>;

/** A row by its name in formulas: a stored one, or the values of one that is not stored. */
export interface Held {
  readonly record: string;
  readonly id?: number;
  readonly values?: Row;
}

/** What the names of a formula stand for. */
export interface Names {
  readonly rows: ReadonlyMap<string, Held | null>;
  /** The row whose fields are written without its name. */
  readonly own?: string;
  readonly variables: ReadonlyMap<string, Stored>;
  readonly answers: ReadonlyMap<string, ReadonlyMap<string, Stored>>;
  readonly positions: ReadonlyMap<string, number>;
  readonly args: Readonly<Record<string, Stored>>;
  /** Totals and windows, in the answer of a query. */
  readonly whole?: (formula: Formula, names: Names) => Stored;
}

/** What rows must have to be looked at, as far as a database can find them by it. All are tested by the whole formula afterwards. */
export interface Condition {
  readonly field: string;
  readonly op: '=' | 'in' | '<' | '<=' | '>' | '>=';
  readonly value: Stored;
}

/** What a domain that is stored elsewhere has to be asked for. */
export type Wish =
  | { readonly kind: 'rows'; readonly record: string; readonly conditions: readonly Condition[] }
  | { readonly kind: 'key'; readonly record: string; readonly nth: number }
  | { readonly kind: 'counter'; readonly counter: string };

/** Something has not been read yet: read it, and compute again from the beginning. */
export class Missing extends Error {
  readonly wishes: readonly Wish[];

  constructor(wishes: readonly Wish[]) {
    super('not read yet');
    this.wishes = wishes;
  }
}

/** Does it with each, so that what is missing for all of them is read at once. */
export function withEach<T, R>(items: readonly T[], work: (item: T) => R): readonly R[] {
  const done: R[] = [];
  const wishes: Wish[] = [];
  for (const item of items) {
    try {
      done.push(work(item));
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      wishes.push(...error.wishes);
    }
  }
  if (wishes.length > 0) throw new Missing(wishes);
  return done;
}

/** Data that are stored elsewhere. Each of these throws Missing for what has not been read. */
export interface StoredElsewhere {
  readonly need: (record: string, conditions: readonly Condition[]) => void;
  readonly newKey: (record: string, nth: number) => Stored;
  readonly counter: (counter: string) => number;
  /** The same again when it is computed again. */
  readonly random: (nth: number, make: () => Computed) => Computed;
  /** Told from time to time while it computes. Throws where that has taken too long. */
  readonly goOn: () => void;
}

/** What queries need of everything that is stored. */
export interface StoredRows {
  /** `where` narrows what has to be read: rows called `as`, in formulas that are known but for them. */
  readonly rowsOf: (record: string, narrow?: Narrow) => readonly Held[];
  readonly compute: (formula: Formula, names: Names) => Stored;
  /** Rows are looked at, so many, without a formula. */
  readonly spend: (rows: number) => void;
  readonly sorted: <T>(
    items: readonly T[],
    order: CheckedQuery['orderBy'],
    namesOf: (item: T) => Names,
  ) => readonly T[];
  readonly keyFields: (record: string) => readonly { readonly name: string; readonly type: Type }[];
  /** A reference has the type of the key that it names. */
  readonly typed: (type: Type) => Type;
}

export interface Narrow {
  readonly where: readonly Formula[];
  readonly as: string;
  readonly names: Names;
}

export function same(a: Stored, b: Stored): boolean {
  return a !== null && b !== null && compareSame(a as Computed, b as Computed) === 0;
}

function distinctOf(values: readonly Computed[]): readonly Computed[] {
  const sorted = values.toSorted(compareSame);
  return sorted.filter((value, index) => index === 0 || compareSame(sorted[index - 1] ?? null, value) !== 0);
}

export function totalOf(kind: string, all: readonly Computed[], distinct: boolean): Computed {
  const given = all.filter((value) => value !== null);
  const values = distinct ? distinctOf(given) : given;
  if (kind === 'count') return Exact.of(values.length);
  if (kind === 'min' || kind === 'max') {
    const sorted = values.toSorted(compareSame);
    return (kind === 'min' ? sorted[0] : sorted.at(-1)) ?? null;
  }
  const isFloat = values.some((value) => typeof value === 'number');
  const sum: Exact | number = isFloat
    ? values.reduce<number>((total, value) => total + Number(printed(value)), 0)
    : values.reduce<Exact>((total, value) => (value instanceof Exact ? total.plus(value) : total), Exact.of(0));
  if (kind === 'sum') return sum;
  if (values.length === 0) return null;
  return typeof sum === 'number' ? sum / values.length : (sum.dividedBy(Exact.of(values.length)) ?? null);
}
