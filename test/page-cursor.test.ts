import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OrderBy, Scalar, ValueType } from '@beds/sdk';
import type { NamedObject } from '../host/stores/contract.js';
import { cursorOf, type Dialect, planQuery } from '../host/stores/query-plan.js';

type Row = Readonly<Record<string, Scalar>>;
/** As MySQL has it: cursors hold what is shown. */
const dialect: Dialect = { positions: 'shown', write: () => undefined };
type View = Extract<NamedObject, { kind: 'view' }>;

function viewOf(rank: ValueType): View {
  const column = (name: string, type: ValueType): View['columns'][number] => {
    return { name, type, nativeType: type, nullable: name !== 'id' };
  };
  return { kind: 'view', name: 'list', columns: [column('id', 'integer'), column('rank', rank)], native: {} };
}

/** The cursor after a page that begins after `from` and has these rows, of which the last belongs to the page after it. */
function follow(rank: ValueType, order: OrderBy, rows: readonly [from: Row, ...found: Row[]]): string | undefined {
  const view = viewOf(rank);
  const query = { key: 'id', order: [order], limit: Math.max(1, rows.length - 2) };
  const valueOf = (row: Row, { name }: { readonly name: string }): Scalar => row[name] ?? null;
  const [from, ...found] = rows;
  const next = { ...from, id: Number(from['id']) + 1 };
  const cursor = cursorOf(planQuery(view, { ...query, limit: 1 }, dialect), [from, next], valueOf);
  assert.ok(cursor !== undefined);
  return cursorOf(planQuery(view, { ...query, cursor }, dialect), found, valueOf);
}

const row = (rank: Scalar, id: number): Row => ({ rank, id });
const up = { column: 'rank', direction: 'asc' } as const;
const down = { column: 'rank', direction: 'desc' } as const;
const stuck = { code: 'BEDS_STORE_CURSOR_STUCK' };

test('a page that ends where the page before it ended is an error, whatever its types', () => {
  for (const [type, value] of [
    ['string', 'a'],
    ['boolean', true],
    ['number', 0.5],
  ] as const) {
    assert.throws(() => follow(type, up, [row(value, 3), row(value, 3), row(value, 4)]), stuck);
    assert.throws(() => follow(type, up, [row(value, 4), row(value, 2), row(value, 4), row(value, 5)]), stuck);
  }
});

test('a page that goes back is an error, also when the caller would get nothing after it', () => {
  assert.throws(() => follow('integer', up, [row(7, 1), row(6, 2)]), stuck);
  assert.throws(() => follow('integer', down, [row(7, 1), row(8, 2)]), stuck);
  assert.throws(() => follow('integer', up, [row(7, 1), row(null, 2)]), stuck);
  assert.throws(
    () => follow('datetime', up, [row('2026-01-01T00:00:00.000001Z', 1), row('2026-01-01T00:00:00.000Z', 2)]),
    stuck,
  );
  assert.throws(() => follow('decimal', down, [row('-10.5', 1), row('9', 2)]), stuck);
});

test('a page is an error whose last row has the key of the row that follows: the next page would leave that out', () => {
  for (const [type, value] of [
    ['string', 'a'],
    ['integer', null],
    ['datetime', '2026-01-01T00:00:00.000Z'],
  ] as const) {
    assert.throws(() => follow(type, up, [row(value, 1), row(value, 2), row(value, 2)]), stuck);
    assert.ok(follow(type, up, [row(value, 1), row(value, 2), row(value, 3)]) !== undefined);
  }
});

test('a page that goes on gets a cursor, in both directions, over nulls and ties', () => {
  for (const [type, direction, from, to] of [
    ['integer', up, null, -5],
    ['integer', down, -5, null],
    ['integer', up, '18446744073709551614', '18446744073709551615'],
    ['decimal', down, '10.5', '9'],
    ['datetime', up, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000001Z'],
    ['boolean', down, true, false],
    ['string', up, 'Z', 'a'],
    ['string', up, 'a', 'Z'],
  ] as const) {
    assert.ok(follow(type, direction, [row(from, 9), row(to, 1), row(to, 2)]) !== undefined);
    assert.ok(follow(type, direction, [row(from, 1), row(from, 2), row(to, 2)]) !== undefined);
  }
});
