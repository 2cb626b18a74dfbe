import type { Json } from '../template/json.js';
import type { CheckedQuery, Formula } from './checked.js';
import { compareSame } from './compute.js';
import { Exact } from './exact.js';
import { type Computed, printed } from './functions.js';
import { type Held, type Names, type Stored, type StoredRows, totalOf, withEach } from './simulated-rows.js';
import { partsOf } from './type-formula.js';
import { toWire } from './wire-values.js';

/** One row of an answer: the names of the first source row behind it, all of the group, and the columns so far. */
interface Found {
  readonly names: Names;
  readonly group: readonly Names[];
  readonly columns: Map<string, Stored>;
}

const MOST_ROWS = 1_000;

/** Of a query with pages: how many rows the caller has had, and how many more he wants. */
export interface PageOf {
  readonly skip: number;
  readonly limit: number;
}

/** What a query answers; undefined where it asks for one row and there is none. */
export function answerQuery(
  world: StoredRows,
  query: CheckedQuery,
  { page, ...args }: Names & { readonly page?: PageOf | undefined },
): Json | undefined {
  const all = sourcesOf(world, query, args);
  const fits = withEach(all, (names) => query.where.every((formula) => world.compute(formula, names) === true));
  const sources = all.filter((_, index) => fits[index]);
  const groups = grouped(world, query, sources);
  const found = withEach(groups, (group): Found => {
    const names = group[0] ?? args;
    const groupColumns = query.groupBy.map(({ name, value }) => [name, world.compute(value, names)] as const);
    return { names, group, columns: new Map(groupColumns) };
  });
  const answer = new Answer(world, found);
  for (const { name, value } of query.columns) {
    const values = withEach(found, (one) => answer.valueOf(value, one));
    for (const [index, one] of found.entries()) one.columns.set(name, values[index] ?? null);
  }
  const { having, top, orderBy, limit } = query;
  const tail = tailOf(world, query);
  let rows: readonly Found[] =
    having === undefined ? found : withEach(found, (one) => (answer.valueOf(having, one) === true ? [one] : [])).flat();
  if (top !== undefined) {
    const count = Number(printed(world.compute(top.count, args) as Computed));
    const ordered = answer.sorted(rows, [...top.orderBy, ...orderBy, ...tail]);
    const counts = new Map<string, number>();
    rows = ordered.filter((one) => {
      const key = keyOf(top.per.map((name) => one.columns.get(name) ?? null));
      const before = counts.get(key) ?? 0;
      counts.set(key, before + 1);
      return before < count;
    });
  }
  rows = answer.sorted(rows, [...orderBy, ...tail]);
  const most = limit === undefined ? MOST_ROWS : Number(printed(world.compute(limit, args) as Computed));
  const shown = (page === undefined ? rows.slice(0, most) : rows.slice(page.skip, page.skip + page.limit)).map(
    (one): Json =>
      Object.fromEntries(
        query.columns.map(
          ({ name, value }) => [name, toWire(one.columns.get(name) ?? null, world.typed(value.type))] as const,
        ),
      ),
  );
  if (query.single) return shown[0];
  return query.paged ? { rows: shown } : shown;
}

/** What makes an order definite: the key, or what rows were joined into one by. */
function tailOf(world: StoredRows, { from, groupBy, columns }: CheckedQuery): CheckedQuery['orderBy'] {
  const isTotal =
    groupBy.length > 0 || columns.some(({ value }) => partsOf(value).some(({ node }) => node === 'total'));
  const keys = world.keyFields(from.record).map(({ name: field, type }): Formula => ({
    ...{ node: 'field', row: from.as, path: [], record: from.record, field, type, nullable: false },
  }));
  return (isTotal ? groupBy.map(({ value }) => value) : keys).map((by) => ({ by, direction: 'asc' }));
}

function sourcesOf(world: StoredRows, { from, joins, where }: CheckedQuery, args: Names): readonly Names[] {
  const narrow = { where, as: from.as, names: args };
  let sources = world.rowsOf(from.record, narrow).map((held) => named({ ...args, own: from.as }, from.as, held));
  for (const { record, as, on, left } of joins) {
    sources = withEach(sources, (names) => {
      const joined = world.rowsOf(record, { where: [on], as, names }).map((held) => named(names, as, held));
      const fits = withEach(joined, (one) => world.compute(on, one) === true);
      const fitting = joined.filter((_, index) => fits[index]);
      return fitting.length === 0 && left ? [named(names, as, null)] : fitting;
    }).flat();
  }
  return sources;
}

function named(names: Names, as: string, held: Held | null): Names {
  return { ...names, rows: new Map(names.rows).set(as, held) };
}

function grouped(world: StoredRows, query: CheckedQuery, sources: readonly Names[]): readonly (readonly Names[])[] {
  const hasTotal = query.columns.some(({ value }) => partsOf(value).some(({ node }) => node === 'total'));
  if (query.groupBy.length === 0) return hasTotal ? [sources] : sources.map((names) => [names]);
  const groups = new Map<string, Names[]>();
  const keys = withEach(sources, (names) => keyOf(query.groupBy.map(({ value }) => world.compute(value, names))));
  for (const [index, names] of sources.entries()) {
    const key = keys[index] ?? '';
    const members = groups.get(key);
    if (members === undefined) groups.set(key, [names]);
    else members.push(names);
  }
  return [...groups.values()];
}

/** The same for values that are equal. Null is like null only, and 1.50 is 1.5. */
function keyOf(values: readonly Stored[]): string {
  const parts = values.map((value) => {
    if (value === null) return null;
    const text = printed(value as Computed);
    return value instanceof Exact && text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  });
  return JSON.stringify(parts);
}

/** The rows of an answer, over which windows look. */
class Answer {
  readonly #world: StoredRows;
  readonly #found: readonly Found[];

  constructor(world: StoredRows, found: readonly Found[]) {
    this.#world = world;
    this.#found = found;
  }

  valueOf(formula: Formula, one: Found): Stored {
    return this.#world.compute(formula, this.#namesOf(one));
  }

  sorted(rows: readonly Found[], order: CheckedQuery['orderBy']): readonly Found[] {
    return this.#world.sorted(rows, order, (one) => this.#namesOf(one));
  }

  #namesOf(one: Found): Names {
    return {
      ...one.names,
      variables: one.columns,
      whole: (formula) => {
        if (formula.node === 'total') return this.#total(formula, one);
        return formula.node === 'window' ? this.#window(formula, one) : null;
      },
    };
  }

  #total({ value, function: kind, distinct }: Formula & { readonly node: 'total' }, { group, columns }: Found): Stored {
    const values = group.map(
      (names) =>
        (value === undefined ? true : this.#world.compute(value, { ...names, variables: columns })) as Computed,
    );
    return totalOf(kind, values, distinct);
  }

  #window(
    { function: kind, value, partition, order, preceding }: Formula & { readonly node: 'window' },
    one: Found,
  ): Stored {
    const partitionOf = (other: Found): string => keyOf(partition.map((part) => this.valueOf(part, other)));
    const own = partitionOf(one);
    this.#world.spend(this.#found.length);
    const members = this.sorted(
      this.#found.filter((other) => partitionOf(other) === own),
      order,
    );
    const at = members.indexOf(one);
    const valueAt = (index: number): Computed => {
      const member = members[index];
      return member === undefined || value === undefined ? null : (this.valueOf(value, member) as Computed);
    };
    if (kind === 'lag' || kind === 'lead') return valueAt(at + (kind === 'lag' ? -1 : 1));
    if (kind === 'row_number') return Exact.of(at + 1);
    const isPeer = (other: Found): boolean =>
      order.every(({ by }) => {
        const [a, b] = [this.valueOf(by, other), this.valueOf(by, one)] as [Computed, Computed];
        return (a === null && b === null) || (a !== null && b !== null && compareSame(a, b) === 0);
      });
    if (kind === 'rank') return Exact.of(members.findIndex(isPeer) + 1);
    // Equals in the order count together, but where rows are counted.
    const until = order.length === 0 ? members.length : members.findLastIndex(isPeer) + 1;
    const [first, end] = preceding === undefined ? [0, until] : [Math.max(at - preceding, 0), at + 1];
    const values = members.slice(first, end).map((_, index) => (value === undefined ? true : valueAt(first + index)));
    return totalOf(kind, values, false);
  }
}
