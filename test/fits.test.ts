import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Json, Problem, ValueDescription } from '@beds/sdk';
import { compileColumns, compileFits, compileReturns, checkQueryForm, hasQueryForm, readValue } from '#sdk/template';
import fc from 'fast-check';

const RUNS = 5_000;

const NAMES = ['a', 'b', 'constructor'];
const flags = {
  optional: fc.constantFrom(undefined, true as const),
  absence: fc.constantFrom(undefined, 'left out' as const),
  default: fc.constantFrom(undefined, 'x', 1),
};

/** Without what is undefined, as a definition has it. */
function compact(description: object): ValueDescription {
  return Object.fromEntries(Object.entries(description).filter(([, value]) => value !== undefined)) as never;
}

const { description } = fc.letrec<{ description: ValueDescription }>((tie) => ({
  description: fc.oneof(
    { maxDepth: 3 },
    fc
      .record({
        type: fc.constantFrom('integer', 'number', 'decimal', 'bigint', 'boolean', 'date', 'datetime', 'json'),
        ...flags,
        min: fc.constantFrom(undefined, 0),
        max: fc.constantFrom(undefined, 10),
      })
      .map(compact),
    fc
      .record({ type: fc.constantFrom('string', 'binary'), ...flags, maxLength: fc.constantFrom(undefined, 3) })
      .map(compact),
    fc.record({ type: fc.constant('enum'), ...flags, values: fc.constant(['x', 'y']) }).map(compact),
    fc
      .record({
        type: fc.constant('list'),
        ...flags,
        items: tie('description'),
        maxItems: fc.constantFrom(undefined, 2),
      })
      .map(compact),
    fc
      .record({
        type: fc.constant('object'),
        ...flags,
        fields: fc.dictionary(fc.constantFrom(...NAMES), tie('description')),
      })
      .map(compact),
  ),
}));

const TEXTS = [
  '',
  'x',
  'xyzé',
  '\ud800',
  '1',
  '-0',
  '007',
  '12.50',
  '2024-02-29',
  '2023-02-29',
  '2024-12-31',
  '2024-04-31',
  'AA==',
  'AAECAw==',
  'AB==',
];
const INSTANTS = [
  '2024-12-31T23:59:59.000Z',
  '2024-12-31T23:59:59Z',
  '2024-01-01T00:00:00.1200Z',
  '2024-04-31T00:00:00.000Z',
];
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>(...TEXTS, ...INSTANTS),
    fc.constantFrom<unknown>(0, -0, 1, 1.5, 11, -1, 2 ** 53, Number.NaN, true, false, null, undefined, 1n, new Date(0)),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES, 'more'), tie('value'), { maxKeys: 3 }),
  ),
}));

void describe('the fast way to check a value', () => {
  void it('says yes only where reading gives back the value itself', () => {
    let fitting = 0;
    fc.assert(
      fc.property(description, value, fc.boolean(), (described, given, fill) => {
        if (given === null || given === undefined) return;
        if (!compileFits(described, fill)(given)) return;
        fitting += 1;
        const read = readValue(given as Json, described, fill);
        assert.ok('value' in read, JSON.stringify(read));
        assert.ok(Object.is(read.value, given), 'it has its one form');
      }),
      { numRuns: RUNS },
    );
    assert.ok(fitting > RUNS / 50, `only ${String(fitting)} values fitted`);
  });

  void it('compares decimals with their bounds by all of their digits', () => {
    const problemOf = (value: string, bounds: { readonly min?: number; readonly max?: number }): string => {
      const read = readValue(value, { type: 'decimal', ...bounds });
      return 'problem' in read ? read.problem : '';
    };
    for (const [value, bound, sign] of [
      ['9007199254740992', 2 ** 53, 0],
      ['9007199254740993', 2 ** 53, 1],
      ['9007199254740991.9999', 2 ** 53, -1],
      ['100.00000000000000000001', 100, 1],
      ['99.99999999999999999999', 100, -1],
      ['100.000', 100, 0],
      ['-100.00000000000000000001', -100, -1],
      ['0.1', 0.1, 0],
      ['0.10000000000000000001', 0.1, 1],
      ['-0.00000000000000000001', 0, -1],
      ['0.0000001', 1e-7, 0],
      ['0.00000010000000000000000001', 1e-7, 1],
      ['1000000000000000000000', 1e21, 0],
      ['1000000000000000000001', 1e21, 1],
      ['-1500000000000000000000.1', -1.5e21, -1],
    ] as const) {
      assert.equal(problemOf(value, { max: bound }) === '', sign <= 0, `${value} at most ${String(bound)}`);
      assert.equal(problemOf(value, { min: bound }) === '', sign >= 0, `${value} at least ${String(bound)}`);
    }
  });

  void it('says yes to what is usual of each type, so that reading is left to what is not', () => {
    const usual: readonly (readonly [ValueDescription, Json])[] = [
      [{ type: 'string', maxLength: 3 }, 'abc'],
      [{ type: 'integer', min: 1 }, 1],
      [{ type: 'bigint' }, '-9007199254740993'],
      [{ type: 'number' }, 1.5],
      [{ type: 'decimal' }, '12.50'],
      [{ type: 'boolean' }, false],
      [{ type: 'date' }, '2024-12-31'],
      [{ type: 'datetime' }, '2024-12-31T23:59:59.120Z'],
      [{ type: 'binary', maxLength: 2 }, 'AAE='],
      [{ type: 'json' }, { a: [null, { b: 1 }] }],
      [{ type: 'enum', values: ['x'] }, 'x'],
      [{ type: 'list', items: { type: 'integer', optional: true } }, [1, null]],
      [
        { type: 'object', fields: { a: { type: 'string' }, b: { type: 'string', optional: true } } },
        { a: 'x', b: null },
      ],
    ];
    for (const [described, given] of usual) {
      assert.ok(compileFits(described, true)(given), described.type);
    }
  });

  void it('gives the rows of a database as they are where all fit, and reads the others', () => {
    const fields = {
      id: { type: 'integer' },
      data: { type: 'json' },
      note: { type: 'string', optional: true },
    } as const;
    const returns = { type: 'list', items: { type: 'object', fields } } as const;
    const read = compileReturns({ kind: 'procedure', name: 'p', args: {}, returns });
    const right = { id: 1, data: { a: 1 }, note: null };
    const rows = [right, { id: '2', data: '{"a":2}' }, { id: 3, data: [], note: 'x', more: 1 }];
    const found = read({ rows, sets: [rows], affected: 0 });
    assert.ok('value' in found, JSON.stringify(found));
    assert.deepEqual(found.value, [right, { id: 2, data: { a: 2 }, note: null }, { id: 3, data: [], note: 'x' }]);
    assert.equal((found.value as readonly unknown[])[0], right);
  });
});

const column = fc.constantFrom('a', 'or', 'constructor');
const scalar = fc.constantFrom(1, 'x', true, null, undefined);
const comparison = fc.dictionary(
  fc.constantFrom('eq', 'ne', 'gte', 'in', 'between', 'isNull', 'prefix', 'EQ'),
  fc.oneof(scalar, fc.array(scalar, { maxLength: 3 })),
  { maxKeys: 2 },
);
const where = fc.oneof(
  { weight: 5, arbitrary: fc.dictionary(column, fc.oneof(scalar, comparison, fc.array(scalar)), { maxKeys: 2 }) },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(null, undefined, 'x', []) },
);
const { filter } = fc.letrec<{ filter: unknown }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 7, withCrossShrink: true },
    fc.constantFrom<unknown>({}, null, 'x', { where: { a: 1 } }, { where: { a: 1 } }),
    fc.record({ where }, { requiredKeys: [] }),
    fc.record({ not: tie('filter') }),
    fc.record({ and: fc.array(tie('filter'), { maxLength: 2 }), Where: where }, { requiredKeys: ['and'] }),
    fc.record({ or: fc.array(tie('filter'), { maxLength: 2 }), where }, { requiredKeys: ['or'] }),
  ),
}));
const order = fc.array(
  fc.record(
    { column: fc.constantFrom<unknown>('a', 1), direction: fc.constantFrom('asc', 'desc', 'up', null) },
    { requiredKeys: ['column'] },
  ),
  { maxLength: 10 },
);
const query = fc.record(
  {
    where,
    and: fc.array(filter, { maxLength: 2 }),
    not: filter,
    order: fc.oneof(order, fc.constantFrom<unknown>(null, 'x', ['a'])),
    limit: fc.constantFrom<unknown>(1, null, '1'),
    view: fc.constantFrom<unknown>('v', null, 1),
    count: fc.constantFrom<unknown>(true, null, 1),
    cursor: fc.constantFrom<unknown>('c', undefined, 1),
    key: fc.constant('id'),
    Limit: fc.constant(1),
  },
  { requiredKeys: [] },
);

void describe('the fast way to check the form of a query', () => {
  void it('says yes exactly where the thorough one finds nothing', () => {
    let right = 0;
    fc.assert(
      fc.property(fc.oneof(query, filter), (asked) => {
        const problems: Problem[] = [];
        checkQueryForm(asked, problems, { own: ['key'] });
        assert.equal(hasQueryForm(asked, ['key']), problems.length === 0, JSON.stringify(problems));
        if (problems.length === 0) right += 1;
      }),
      { numRuns: RUNS },
    );
    assert.ok(right > RUNS / 50 && right < RUNS, `${String(right)} of ${String(RUNS)} were right`);
  });

  void it('refuses a comparison with undefined, which would fall away', () => {
    for (const where of [{ a: undefined }, { a: { eq: undefined } }, { a: 1, b: { gte: 1, lt: undefined } }]) {
      const problems: Problem[] = [];
      checkQueryForm({ where }, problems);
      assert.match(problems.map(({ message }) => message).join(), /undefined.*: leave it out/);
      assert.ok(!hasQueryForm({ where }));
    }
  });

  void it('counts the comparisons of all filters together', () => {
    const many = (count: number): object => ({ or: Array.from({ length: count }, () => ({ where: { a: 1 } })) });
    assert.ok(hasQueryForm(many(200)));
    assert.ok(!hasQueryForm({ ...many(200), where: { a: 1 } }));
  });
});

void describe('the rows of a view', () => {
  const columns = {
    id: { type: 'integer' },
    name: { type: 'string' },
    kind: { type: 'enum', values: ['a', 'b'] },
    tags: { type: 'list', items: { type: 'string' }, optional: true },
    place: { type: 'object', fields: { x: { type: 'number' }, y: { type: 'number', optional: true } }, optional: true },
  } as const;
  const row = { id: 1, name: 'x', kind: 'a', tags: ['t'], place: { x: 1, y: null } };

  void it('are checked where their database may show null, or knows less of a type than the template says', () => {
    const check = compileColumns(columns, (name) => name === 'name');
    assert.ok(check);
    const rows = [row, { ...row, tags: null, place: null }];
    const found = check(rows);
    assert.ok('rows' in found && found.rows === rows, 'rows that fit are given as they are');
    const wrong: readonly (readonly [object, string, RegExp])[] = [
      [{ name: null }, 'name', /^is null, and not declared optional \(row 2\)$/],
      [{ kind: 'c' }, 'kind', /one of a, b/],
      [{ kind: null }, 'kind', /is null/],
      [{ tags: ['t', 1] }, 'tags', /^\[1\] must be a string/],
      [{ place: { y: 1 } }, 'place', /^\.x is required/],
    ];
    for (const [change, field, message] of wrong) {
      const { problem } = check([row, { ...row, ...change }]) as { problem: Problem };
      assert.equal(problem.field, field);
      assert.match(problem.message, message);
    }
    const filled = check([{ ...row, place: { x: 1 } }]);
    assert.deepEqual('rows' in filled && filled.rows, [{ ...row, place: { x: 1, y: null } }]);
  });

  void it('cost nothing where the database sees to all of that', () => {
    const { id, name } = columns;
    assert.equal(
      compileColumns({ id, name }, () => false),
      undefined,
    );
  });
});
