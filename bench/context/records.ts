import assert from 'node:assert/strict';

/** Records that are there before anything is measured, with keys from 1 on. */
export const RECORD_COUNT = 5_000;

/** A prime, so that neighbours in time are not neighbours in the index, and every key has its turn. */
const STRIDE = 7_919;

/** What a record holds besides its key. */
export interface RecordFields {
  readonly name: string;
  readonly amount: number;
  readonly note: string;
}

/** A record as everybody returns it: with a number for its key in MariaDB, with a text in MongoDB. */
export interface StoredRecord extends RecordFields {
  readonly id: number | string;
}

/** The key that the n-th read asks for. */
export function keyOf(n: number): number {
  return ((n * STRIDE) % RECORD_COUNT) + 1;
}

/** The same record's key in MongoDB. */
export function documentKeyOf(key: number): string {
  return `k${String(key)}`;
}

/** What the n-th record holds besides its key. */
export function fieldsOf(n: number): RecordFields {
  return { name: `record ${n}`, amount: n % 1_000, note: 'a note of a length that notes often have, give or take' };
}

/** Throws where a record is not the one with this key. Cheap enough for each answer of a load. */
export function expectRecord(
  record: StoredRecord | null | undefined,
  id: StoredRecord['id'],
  fields: RecordFields,
): void {
  const isRight =
    record?.id === id && record.name === fields.name && record.amount === fields.amount && record.note === fields.note;
  if (!isRight) assert.fail(`a wrong answer: ${JSON.stringify(record)} for the record ${String(id)}`);
}

/** Reads of one request that asks for many records at once. */
export const MANY_KEYS = 48;

/** Keys that the n-th request for many records names. */
export function manyKeysOf(n: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => keyOf(n * count + index));
}

/** What a request for many records is answered with: enough to know that all were read. */
export interface Found {
  readonly found: number;
  readonly sum: number;
}

/** Sums up what was found, one page or list for each read. */
export function sumUp(pages: readonly (readonly RecordFields[])[]): Found {
  let found = 0;
  let sum = 0;
  for (const rows of pages) {
    for (const { amount } of rows) {
      found += 1;
      sum += amount;
    }
  }
  return { found, sum };
}

/** Throws where not every record was found, or other ones. */
export function expectFound({ found, sum }: Found, keys: readonly number[], databases: number): void {
  let expected = 0;
  for (const key of keys) expected += fieldsOf(key - 1).amount * databases;
  if (found !== keys.length * databases || sum !== expected) {
    assert.fail(`a wrong answer: ${String(found)} records with ${String(sum)}, not ${String(expected)}`);
  }
}

/** Rows of a page. */
export const PAGE_ROWS = 10;
const PAGE_SPAN = 100;

/** A page that begins at a key. Its shapes have different filters and orders, so that no two of them are one statement. */
export interface PageQuestion {
  readonly shape: number;
  readonly from: number;
}

interface Bounds {
  readonly gt?: number;
  readonly gte?: number;
  readonly lt?: number;
  readonly lte?: number;
  readonly between?: readonly [number, number];
}

interface PageShape {
  /** As BEDS is asked. */
  readonly where: (from: number) => { readonly id: Bounds; readonly amount?: Bounds };
  readonly direction: 'asc' | 'desc';
  /** As a programmer writes it, and its values. */
  readonly sql: string;
  readonly values: (from: number) => readonly number[];
  /** The key of its first row. */
  readonly first: (from: number) => number;
}

const SELECT = 'SELECT id, name, amount, note FROM record_list';
const UP = `ORDER BY id LIMIT ${String(PAGE_ROWS)}`;
const DOWN = `ORDER BY id DESC LIMIT ${String(PAGE_ROWS)}`;
const itself = (from: number): number => from;

const PAGE_SHAPES: readonly PageShape[] = [
  {
    where: (from) => ({ id: { gte: from } }),
    direction: 'asc',
    sql: `${SELECT} WHERE id >= ? ${UP}`,
    values: (from) => [from],
    first: itself,
  },
  {
    where: (from) => ({ id: { gt: from } }),
    direction: 'asc',
    sql: `${SELECT} WHERE id > ? ${UP}`,
    values: (from) => [from],
    first: (from) => from + 1,
  },
  {
    where: (from) => ({ id: { lte: from } }),
    direction: 'desc',
    sql: `${SELECT} WHERE id <= ? ${DOWN}`,
    values: (from) => [from],
    first: itself,
  },
  {
    where: (from) => ({ id: { lt: from } }),
    direction: 'desc',
    sql: `${SELECT} WHERE id < ? ${DOWN}`,
    values: (from) => [from],
    first: (from) => from - 1,
  },
  {
    where: (from) => ({ id: { between: [from, from + PAGE_SPAN] } }),
    direction: 'asc',
    sql: `${SELECT} WHERE id BETWEEN ? AND ? ${UP}`,
    values: (from) => [from, from + PAGE_SPAN],
    first: itself,
  },
  {
    where: (from) => ({ id: { gte: from }, amount: { gte: 0 } }),
    direction: 'asc',
    sql: `${SELECT} WHERE id >= ? AND amount >= ? ${UP}`,
    values: (from) => [from, 0],
    first: itself,
  },
  {
    where: (from) => ({ id: { lte: from }, amount: { lt: 1_000 } }),
    direction: 'desc',
    sql: `${SELECT} WHERE id <= ? AND amount < ? ${DOWN}`,
    values: (from) => [from, 1_000],
    first: itself,
  },
  {
    where: (from) => ({ id: { gt: from, lte: from + PAGE_SPAN } }),
    direction: 'desc',
    sql: `${SELECT} WHERE id > ? AND id <= ? ${DOWN}`,
    values: (from) => [from, from + PAGE_SPAN],
    first: (from) => from + PAGE_SPAN,
  },
];

export function pageShape({ shape }: PageQuestion): PageShape {
  const found = PAGE_SHAPES[shape];
  assert.ok(found, `there is no page of shape ${String(shape)}`);
  return found;
}

/** What the n-th read of a page asks for; away from both ends of the table, so that every page is full. */
export function pageOf(n: number): PageQuestion {
  return { shape: n % PAGE_SHAPES.length, from: PAGE_SPAN + (keyOf(n) % (RECORD_COUNT - 3 * PAGE_SPAN)) };
}

/** Throws where a page is not the one that was asked for, row by row. */
export function expectPage(rows: readonly StoredRecord[], question: PageQuestion): void {
  const { first, direction } = pageShape(question);
  const step = direction === 'asc' ? 1 : -1;
  const key = first(question.from);
  if (rows.length !== PAGE_ROWS) assert.fail(`a wrong answer: a page of ${String(rows.length)} rows`);
  rows.forEach((row, at) => expectRecord(row, key + at * step, fieldsOf(key + at * step - 1)));
}
