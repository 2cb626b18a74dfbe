import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isBedsError, type BedsError, type ValueType } from '@beds/sdk';
import type { NamedObject } from '../host/stores/contract.js';
import { type Condition, incomparable, planQuery } from '../host/stores/query-plan.js';

type View = Extract<NamedObject, { kind: 'view' }>;

const TYPES = { id: 'integer', name: 'string', or: 'string', data: 'json', born: 'date' } as const;

const view: View = {
  kind: 'view',
  name: 'people',
  native: {},
  columns: Object.entries(TYPES).map(([name, type]: [string, ValueType]) => ({
    name,
    type,
    nativeType: type,
    nullable: true,
  })),
};

/** A database that cannot compare anything with `unfit`. */
function write(condition: Condition): void {
  if (condition.value === 'unfit') throw incomparable(condition, 'cannot be compared with this');
}

const plan = (query: object): ReturnType<typeof planQuery> =>
  planQuery(view, { key: 'id', maxRows: 1_000, ...query }, { positions: 'shown', write });

function refusal(query: object): BedsError {
  try {
    plan(query);
  } catch (error) {
    assert.ok(isBedsError(error), String(error));
    return error;
  }
  return assert.fail('it was not refused');
}

const fieldsOf = ({ problems = [] }: BedsError): readonly string[] => problems.map(({ field }) => field);

describe('a query of a view', () => {
  it('costs little where it names thousands of columns and parts that there are not', () => {
    const names = (letter: string): object =>
      Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`${letter}${index}`.padEnd(64, 'y'), 1]));
    const before = process.cpuUsage();
    assert.equal(refusal({ where: names('c') }).problems?.length, 32);
    assert.equal(refusal(names('q')).problems?.length, 32);
    const { user } = process.cpuUsage(before);
    assert.ok(user < 1_500_000, `${Math.round(user / 1_000)} ms`);
  });

  it('is refused with everything that is wrong, each with its field', () => {
    const error = refusal({
      Where: {},
      where: { nmae: 'x', id: 'one', data: 1, name: 'unfit', born: { gt: null, EQ: 1 } },
      or: [{ where: { id: { prefix: '1' } } }, { not: { where: { name: { in: [1, 2] } } }, limit: 1 }, {}],
      order: [{ column: 'age' }, { column: 'id', Direction: 'asc', direction: 'up' }, 'name'],
      limit: 1.5,
      count: 'yes',
      cursor: 7,
    });
    assert.equal(error.code, 'BEDS_STORE_QUERY_INVALID');
    assert.equal(error.field, 'query.Where');
    const expected = [
      'query.Where',
      'query.where.born.EQ',
      'query.or[1].limit',
      'query.or[2]',
      'query.order[1].Direction',
      'query.order[1].direction',
      'query.order[2]',
      'query.count',
      'query.cursor',
      'query.where.born',
      'query.where.data',
      'query.where.id',
      'query.where.name',
      'query.where.nmae',
      'query.limit',
      'query.or[0].where.id',
      'query.or[1].not.where.name',
      'query.order[0].column',
    ];
    assert.deepEqual([...fieldsOf(error)].sort(), [...expected].sort());
    for (const field of expected)
      assert.ok(error.message.includes(`${field} `), `${field} is not in: ${error.message}`);
    assert.match(error.message, /nmae is not a column of the view \(did you mean name\?\)/);
    assert.deepEqual(fieldsOf(refusal({ where: { id: true, name: 'unfit' }, limit: 0 })), [
      'query.where.id',
      'query.limit',
      'query.where.name',
    ]);
  });

  it('never repeats a value in a refusal, nor a name that may be one', () => {
    const names = ['secret name', 'secret@example.org', 'x'.repeat(65), '7secret', 'sécret', ''];
    const odd = Object.fromEntries(names.map((name) => [name, 'secret-value']));
    for (const query of [
      { ...odd, where: { id: odd, ...odd }, order: [odd, { column: 'secret name' }] },
      { where: { id: 'secret', born: 'secret', data: 'secret', name: { in: 'secret' } } },
      { limit: 'secret', cursor: ['secret'], view: { secret: 1 }, count: 'secret', not: 'secret', or: 'secret' },
      { and: [odd, 'secret', [odd]] },
    ]) {
      const { message, field, problems, hint } = refusal(query);
      assert.doesNotMatch(JSON.stringify([message, field, problems, hint]), /s[eé]cret|xxx/);
    }
  });

  it('may have columns that are called like the parts of a filter', () => {
    const { conditions } = plan({ where: { or: 'x' }, or: [{ where: { or: 'y' } }] });
    assert.equal(conditions.length, 2);
  });

  it('takes null for what is left out, and refuses filters that compare with nothing', () => {
    const absent = { where: null, and: null, or: null, not: null, order: null, limit: null, cursor: null, count: null };
    assert.deepEqual(plan(absent).conditions, []);
    assert.equal(plan({ ...absent, view: null }).limit, 100);
    for (const [query, field] of [
      [{ or: [] }, 'query.or'],
      [{ and: [] }, 'query.and'],
      [{ and: [{}] }, 'query.and[0]'],
      [{ or: [{ where: { id: 1 } }, { where: {} }] }, 'query.or[1]'],
      [{ not: {} }, 'query.not'],
      [{ not: { not: { where: null } } }, 'query.not.not'],
      [{ where: { id: {} } }, 'query.where.id'],
      [{ where: { id: [1] } }, 'query.where.id'],
      [{ where: { id: { between: [1] } } }, 'query.where.id'],
      [{ where: { id: { isNull: 1 } } }, 'query.where.id'],
      [{ where: [{ id: 1 }] }, 'query.where'],
      [{ order: 'id' }, 'query.order'],
      [{ limit: 1_001 }, 'query.limit'],
      [{ limit: 0 }, 'query.limit'],
    ] as const) {
      assert.deepEqual(fieldsOf(refusal(query)), [field]);
    }
    assert.equal(plan({ limit: 0, count: true }).limit, 0);
  });

  it('is bounded in depth and size', () => {
    const nested = (depth: number): object => (depth === 0 ? { where: { id: 1 } } : { not: nested(depth - 1) });
    plan(nested(5));
    assert.match(refusal(nested(6)).message, /nested deeper than 5/);
    const self: Record<string, unknown> = {};
    self['not'] = self;
    assert.match(refusal(self).message, /nested deeper/);
    const many = (count: number): object => ({ or: Array.from({ length: count }, (_, id) => ({ where: { id } })) });
    plan(many(200));
    assert.match(refusal(many(201)).message, /at most 200 comparisons/);
    assert.match(refusal({ where: { id: { in: Array.from({ length: 1_001 }, (_, id) => id) } } }).message, /1000/);
  });

  it('is bounded in the values of all its lists together, which one statement must carry', () => {
    const lists = (count: number): object => ({
      or: Array.from({ length: count }, () => ({
        where: { id: { in: Array.from({ length: 1_000 }, (_, id) => id) } },
      })),
    });
    plan(lists(10));
    assert.match(refusal(lists(11)).message, /at most 10000 values for in, all together/);
  });

  it('is refused soon, however many names of columns are wrong, and however long', () => {
    // n.b. to look for what was meant by each of them took half a minute.
    const columns = Array.from({ length: 60 }, (_, place) => ({
      ...({ name: `a_rather_long_name_of_a_column_${String(place)}`, type: 'string', nativeType: 'text' } as const),
    }));
    const names = Array.from({ length: 15_000 }, (_, place) => `b_rather_lang_name_of_a_colunn_${String(place)}`);
    const where = Object.fromEntries([...names, 'x'.repeat(1_000_000)].map((name) => [name, 1]));
    const beganMs = performance.now();
    assert.throws(
      () =>
        planQuery(
          { ...view, columns: view.columns.concat(columns) },
          { key: 'id', where },
          { positions: 'shown', write },
        ),
      { code: 'BEDS_STORE_QUERY_INVALID' },
    );
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs < 3_000, `it took ${String(tookMs)} ms`);
  });

  it('has a cursor of its own for each filter, whatever limit and count are', () => {
    const queries = [
      { where: { id: 1 } },
      { or: [{ where: { id: 1 } }] },
      { not: { where: { id: 1 } } },
      { and: [{ where: { id: 1, name: 'x' } }] },
      { and: [{ where: { id: 1 } }, { where: { name: 'x' } }] },
      { or: [{ where: { id: 1 } }, { where: { name: 'x' } }] },
      { where: { id: { between: [1, 2] } } },
      { where: { name: { contains: 'x' } } },
      { where: { name: { prefix: 'x' } } },
    ];
    const cursors = queries.map((query) => plan(query).cursorAt([1]));
    assert.equal(new Set(cursors).size, queries.length);
    for (const [index, query] of queries.entries()) {
      const cursor = cursors[index];
      assert.deepEqual(plan({ ...query, cursor, limit: 7, count: true }).start, [1]);
      const other = cursors[(index + 1) % cursors.length];
      assert.throws(() => plan({ ...query, cursor: other }), { code: 'BEDS_STORE_CURSOR_INVALID' });
    }
  });
});
