import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { JsonObject } from '@beds/sdk';
import {
  checkSpecification,
  computeFormula,
  editorSchema,
  editorSchemaText,
  emptyScope,
  formatSpecification,
  fromWire,
  FUNCTIONS,
  IDIOMS,
  LEDGER,
  parseFormula,
  performOn,
  printed,
  referenceText,
  SEATS,
  shapesLeftOut,
  shapesOf,
  type Specification,
  type Stored,
  type StoredDomain,
  strictSchema,
  tryExamples,
  typeFormula,
} from '#sdk/spec';

const BRIEFS = 'test/fixtures/briefs';
const files = readdirSync(BRIEFS).filter((name) => /^\d\d-[a-z-]+\.json$/.test(name));
const read = (text: string): Specification => JSON.parse(text) as Specification;

/** Errors only: advice is for a reader to weigh. */
function errorsIn(document: unknown): readonly string[] {
  const { problems } = checkSpecification(document);
  return problems.filter(({ severity }) => severity === 'error').map(({ path, message }) => `${path}: ${message}`);
}

describe('the language of specifications', () => {
  it('says all of twelve briefs', () => {
    assert.equal(files.length, 12);
    for (const file of files) {
      const text = readFileSync(join(BRIEFS, file), 'utf8');
      assert.deepEqual(errorsIn(JSON.parse(text)), [], file);
    }
  });

  it('says the two examples of the prompt', () => {
    for (const text of [SEATS, LEDGER]) assert.deepEqual(errorsIn(JSON.parse(text)), []);
  });

  it('is written in one way: formatting what is formatted changes nothing', () => {
    const texts = [...files.map((file) => readFileSync(join(BRIEFS, file), 'utf8')), `${SEATS}\n`, `${LEDGER}\n`];
    for (const text of texts) assert.equal(formatSpecification(read(text)), text);
  });

  it('is written in one way whatever order and spaces a writer chose', () => {
    const shuffled = JSON.parse(SEATS, (_, value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).toReversed())
        : value,
    ) as Specification;
    assert.equal(formatSpecification(shuffled), `${SEATS}\n`);
    const loose = SEATS.replaceAll('event = :event', 'event  =   :event').replaceAll(
      "state != 'free'",
      "state  <>  'free'",
    );
    assert.notEqual(loose, SEATS);
    assert.equal(formatSpecification(read(loose)), `${SEATS}\n`);
  });

  it('has a JSON Schema in the package that is made from it', () => {
    assert.equal(readFileSync('sdk/domain.schema.json', 'utf8'), editorSchemaText(), 'run `npm run spec:schema`');
  });

  it('has a reference page that is made from it and leaves nothing out', () => {
    assert.equal(readFileSync('sdk/docs/specification.md', 'utf8'), referenceText(), 'run `npm run spec:schema`');
    assert.deepEqual(shapesLeftOut(), []);
  });

  for (const { title, document } of IDIOMS) {
    it(`says in an idiom that holds: ${title}`, () => {
      const whole = {
        beds: 1,
        domain: 'idiom',
        description: 'x',
        store: 'main',
        zone: 'UTC',
        assumptions: [],
        questions: [],
      };
      assert.deepEqual(errorsIn({ ...whole, ...(JSON.parse(document) as object) }), []);
    });
  }

  it('describes every property, and has no open map anywhere', () => {
    const { $defs } = editorSchema() as { readonly $defs: Readonly<Record<string, { readonly description?: string }>> };
    eachObject(editorSchema(), (schema, path) => {
      assert.equal(schema['additionalProperties'], false, `${path} is open`);
      for (const [name, value] of Object.entries(
        schema['properties'] as Readonly<Record<string, Readonly<Record<string, unknown>>>>,
      )) {
        const target = typeof value['$ref'] === 'string' ? $defs[value['$ref'].replace('#/$defs/', '')] : value;
        assert.ok(
          typeof (value['description'] ?? target?.description) === 'string',
          `${path}.${name} has no description`,
        );
      }
    });
  });

  it('has a strict form, in which every property is required and may be null instead', () => {
    eachObject(strictSchema(), (schema, path) => {
      assert.deepEqual(schema['required'], Object.keys(schema['properties'] as object), path);
    });
    const strict = JSON.parse(SEATS) as { records: Record<string, unknown>[] };
    for (const record of strict.records) record['immutable_when'] = null;
    assert.deepEqual(errorsIn(strict), []);
  });
});

function eachObject(
  schema: unknown,
  visit: (schema: Readonly<Record<string, unknown>>, path: string) => void,
  path = '',
): void {
  if (typeof schema !== 'object' || schema === null) return;
  if ('properties' in schema && 'type' in schema && schema.type === 'object') visit(schema, path);
  for (const [key, value] of Object.entries(schema)) eachObject(value, visit, `${path}/${key}`);
}

describe('formulas', () => {
  const scope = emptyScope(shapesOf([]), 'a test');
  const compute = (text: string): string =>
    printed(
      computeFormula(typeFormula(parseFormula(text), scope), {
        zone: 'Europe/Zurich',
        now: new Date('2026-03-15T11:00:00Z'),
        user: 'anna',
      }),
    );

  for (const { name, example } of FUNCTIONS.values()) {
    it(`come to what the table says of ${name}`, () => {
      assert.equal(compute(example.formula), example.gives);
    });
  }

  const cases: readonly (readonly [string, string])[] = [
    ['0.1 + 0.2', '0.3'],
    ['999999999999.99 + 0.01', '1000000000000.00'],
    ['round(-2.5, 0)', '-3'],
    ['round(10 / 3, 2)', '3.33'],
    ['round(1 / 0, 2)', 'null'],
    ['null is null and not (1 = 2)', 'true'],
    ['coalesce(null, 1) = 1', 'true'],
    ["timestamp('2026-01-31', '10:00') + 1 month", '2026-02-28T09:00:00.000Z'],
    ["timestamp('2026-01-31', '10:00') - timestamp('2026-01-31', '09:00') > 30 min", 'true'],
    ['@today + 3 days', '2026-03-18'],
    ['@today + 2 * 1 month', '2026-05-15'],
    ["'2026-01-31' < @today", 'true'],
    ["@user = 'anna' and @user in ('bob', 'anna')", 'true'],
    ['@tenant = @user', 'false'],
    ['not (@tenant = @user)', 'true'],
    ['7 % 3 * 2', '2'],
    ['2 + 3 * 4 between 14 and 15', 'true'],
    ["timestamp('2026-03-29', '02:30')", '2026-03-29T01:30:00.000Z'],
    ['weekday(@today) in (6, 7)', 'true'],
  ];
  for (const [formula, expected] of cases) {
    it(`compute ${formula}`, () => {
      assert.equal(compute(formula), expected);
    });
  }
});

describe('rules over data that are stored elsewhere', () => {
  const { checked, problems } = checkSpecification({
    ...{ beds: 1, domain: 'points', description: 'Points.', store: 'main', zone: 'UTC' },
    records: [
      {
        ...{ name: 'point', description: 'A point', key: 'auto', operations: ['create'] },
        fields: [
          { name: 'amount', description: 'How much', type: 'integer', min: '0', max: '9999' },
          { name: 'kind', description: 'Of what kind', type: 'text', optional: true },
        ],
      },
    ],
    queries: [
      {
        ...{ name: 'running', description: 'Sums', from: 'point' },
        columns: ['amount = amount', 'running = sum(amount) over (order by id)'],
      },
      {
        ...{ name: 'by_amount', description: 'By amount', from: 'point', group_by: ['amount'] },
        columns: ['amount', 'many = count()'],
      },
      {
        ...{ name: 'by_kind', description: 'By kind', from: 'point', order_by: ['id'] },
        columns: ['nth = row_number() over (partition by kind order by id)'],
      },
      {
        ...{ name: 'lately', description: 'Of the last three', from: 'point', order_by: ['id'] },
        columns: [
          'last = sum(amount) over (partition by kind order by id rows 2 preceding)',
          'mean = round(avg(amount) over (order by id rows between 1 preceding and current row), 1)',
        ],
      },
    ],
    ...{ assumptions: [], questions: [] },
  });
  const number = (value: number): Stored => fromWire(value, { type: { kind: 'integer' }, name: 'number' });
  const ask = (operation: string, points: readonly Readonly<Record<string, Stored>>[], mostLooks = 100): unknown => {
    assert.ok(checked, JSON.stringify(problems));
    const rows = points.map(
      (point, at) => [at + 1, { id: number(at), amount: number(1), kind: null, ...point }] as const,
    );
    let looks = 0;
    const stored: StoredDomain = {
      ...{ now: new Date(), tables: new Map([['point', new Map(rows)]]) },
      ...{ need: () => undefined, newKey: () => null, counter: () => 0, random: (_, make) => make() },
      goOn: () => {
        looks += 1;
        if (looks > mostLooks) throw new RangeError('enough');
      },
    };
    return performOn(checked, { operation, arguments: {} }, stored).answer;
  };

  it('are left when whoever has the data says that they compute for too long', () => {
    assert.throws(
      () =>
        ask(
          'running',
          Array.from({ length: 3_000 }, () => ({})),
        ),
      /enough/,
    );
  });

  it('group rows without looking through all groups for each of them', () => {
    const points = Array.from({ length: 6_000 }, (_, at) => ({ amount: number(at % 5_000) }));
    const groups = ask('by_amount', points, 50) as readonly JsonObject[];
    assert.deepEqual(groups.slice(0, 2), [
      { amount: 0, many: 2 },
      { amount: 1, many: 2 },
    ]);
  });

  it('look at the rows before one, as many as a window says', () => {
    const points = [1, 2, 4, 8, 16].map((amount) => ({ amount: number(amount), kind: amount === 4 ? 'odd' : null }));
    assert.deepEqual(ask('lately', points), [
      { last: 1, mean: '1.0' },
      { last: 3, mean: '1.5' },
      { last: 4, mean: '3.0' },
      { last: 11, mean: '6.0' },
      { last: 26, mean: '12.0' },
    ]);
  });

  it('tell what is nothing from a text that says so', () => {
    assert.deepEqual(ask('by_kind', [{}, { kind: 'null' }, {}]), [{ nth: 1 }, { nth: 1 }, { nth: 2 }]);
  });

  it('write no total that an update leaves as it is, and say so', () => {
    const document = (managed: object) => ({
      ...{ beds: 1, domain: 'bills', description: 'Bills.', store: 'main', zone: 'UTC' },
      records: [
        {
          ...{ name: 'bill', description: 'A bill', key: 'auto', operations: ['create'] },
          fields: [
            { name: 'text', description: 'Text', type: 'text', optional: true },
            {
              ...{ name: 'total', description: 'Sum', type: 'integer' },
              rollup: { function: 'sum', child: 'line', value: 'amount', via: 'bill' },
            },
          ],
        },
        {
          ...{ name: 'line', description: 'A line', key: 'auto', operations: ['create', 'update'] },
          fields: [
            { name: 'bill', description: 'Bill', type: 'reference', references: 'bill', write_once: true },
            { name: 'amount', description: 'How much', type: 'integer', default: '1', ...managed },
            { name: 'note', description: 'Note', type: 'text', optional: true },
          ],
        },
      ],
      ...{ assumptions: [], questions: [] },
    });
    const read = checkSpecification(document({}));
    assert.ok(read.checked, JSON.stringify(read.problems));
    assert.match(JSON.stringify(read.checked.withoutTransactions), /update of line changes total of bill/);
    const { checked: bills } = checkSpecification(document({ managed: true }));
    assert.ok(bills);
    assert.deepEqual(
      bills.withoutTransactions.map(({ why }) => why.split(':')[0]),
      ['create of line changes total of bill together with it'],
    );
    const tables = new Map<string, ReadonlyMap<number, Readonly<Record<string, Stored>>>>([
      ['bill', new Map([[1, { id: number(1), text: null, total: number(5) }]])],
      ['line', new Map([[1, { id: number(1), bill: number(1), amount: number(5), note: null }]])],
    ]);
    const stored: StoredDomain = {
      ...{ now: new Date(), tables, need: () => undefined, newKey: () => null, counter: () => 0 },
      ...{ random: (_, make) => make(), goOn: () => undefined },
    };
    const { changes } = performOn(bills, { operation: 'line_update', arguments: { id: 1, note: 'Paid' } }, stored);
    assert.deepEqual(
      changes.map(({ record }) => record),
      ['line'],
    );
  });
});

describe('the order of a query', () => {
  const fields = [
    { name: 'title', description: 'Title', type: 'text' },
    { name: 'at', description: 'When', type: 'date', optional: true },
  ];
  const checkedWith = (columns: readonly string[], order: readonly string[], more: object = {}): readonly string[] =>
    errorsIn({
      ...{ beds: 1, domain: 'talks', description: 'Talks.', store: 'main', zone: 'UTC' },
      records: [
        { name: 'hall', description: 'A hall', key: 'auto', operations: ['create'], fields },
        {
          ...{ name: 'talk', description: 'A talk', key: 'auto', operations: ['create'] },
          fields: [
            { name: 'hall', description: 'Where', type: 'reference', references: 'hall' },
            { name: 'at', description: 'When', type: 'date', optional: true },
            { name: 'seats', description: 'Seats', type: 'integer' },
          ],
        },
      ],
      queries: [
        {
          ...{ name: 'all', description: 'All', from: 'talk', as: 't', columns, order_by: order, ...more },
          joins: [{ record: 'hall', as: 'h', on: 'h.id = t.hall' }],
        },
      ],
      ...{ assumptions: [], questions: [] },
    });

  it('names columns, also those that are a field of what is joined', () => {
    assert.deepEqual(checkedWith(['title = h.title', 'seats = t.seats'], ['title', 'seats desc']), []);
    assert.deepEqual(checkedWith(['title = h.title', 'size = seats * 2'], ['size', 'title']), []);
    assert.deepEqual(checkedWith(['title = h.title', 'long = len(title)'], ['long']), []);
  });

  it('does not know a name of a join that no column has', () => {
    assert.match(checkedWith(['seats = t.seats'], ['title'])[0] ?? '', /title is a field of h/);
  });

  it('means the column where the record has a field of that name too, and inside of a set the field of the set', () => {
    const { checked } = checkSpecification({
      ...{ beds: 1, domain: 'talks', description: 'Talks.', store: 'main', zone: 'UTC' },
      records: [
        { name: 'hall', description: 'A hall', key: 'auto', operations: ['create'], fields },
        {
          ...{ name: 'talk', description: 'A talk', key: 'auto', operations: ['create'] },
          fields: [...fields, { name: 'hall', description: 'Where', type: 'reference', references: 'hall' }],
        },
      ],
      queries: [
        {
          ...{ name: 'all', description: 'All', from: 'talk', columns: ['title = h.title'] },
          joins: [{ record: 'hall', as: 'h', on: 'h.id = hall' }],
          order_by: ['title', "count(talk where title = 'a')"],
        },
      ],
      ...{ assumptions: [], questions: [] },
    });
    const [first, second] = checked?.queries[0]?.orderBy.map(({ by }) => JSON.stringify(by)) ?? [];
    assert.match(first ?? '', /"row":"h"/);
    assert.doesNotMatch(second ?? '', /"row":"h"/);
  });
});

describe('examples that are played in memory', () => {
  const { checked, problems } = checkSpecification({
    ...{ beds: 1, domain: 'fund', description: 'Projects that others pay for.', store: 'main', zone: 'UTC' },
    records: [
      {
        ...{ name: 'project', description: 'A project', key: 'auto', operations: ['create'] },
        fields: [
          { name: 'goal', description: 'What it needs', type: 'integer' },
          { name: 'ends_at', description: 'Until when', type: 'timestamp' },
          { name: 'state', description: 'State', type: 'enum', values: ['open', 'met', 'missed'], managed: true },
          {
            ...{ name: 'raised', description: 'What came together', type: 'integer' },
            rollup: { function: 'sum', child: 'pledge', value: 'amount', via: 'project' },
          },
        ],
        states: { field: 'state', start: 'open', moves: [{ from: 'open', to: ['met', 'missed'] }] },
        expires: { when: "state = 'open'", at: 'ends_at', set: ["state = if(raised >= goal, 'met', 'missed')"] },
      },
      {
        ...{ name: 'pledge', description: 'A pledge', key: 'auto', operations: [] },
        fields: [
          { name: 'project', description: 'For which', type: 'reference', references: 'project', write_once: true },
          { name: 'amount', description: 'How much', type: 'integer', min: '1' },
        ],
      },
    ],
    actions: [
      {
        ...{ name: 'pledge_all', description: 'Pledges for several projects' },
        args: [
          {
            ...{ name: 'pledges', description: 'Which', type: 'list', min_items: 1, max_items: 10 },
            columns: [
              { name: 'project', description: 'For which', type: 'reference', references: 'project' },
              { name: 'amount', description: 'How much', type: 'integer' },
            ],
          },
        ],
        steps: [
          {
            ...{ op: 'for_each_item', list: ':pledges', as: 'i', max: 10 },
            steps: [{ op: 'insert', record: 'pledge', set: ['project = i.project', 'amount = i.amount'] }],
          },
        ],
      },
    ],
    examples: ['met', 'missed'].map((state) => ({
      description: `Pledges that name their project by its number; at its end it is ${state}.`,
      given: [
        {
          ...{ operation: 'create', as: 'P' },
          arguments: [
            { name: 'goal', value: 10 },
            { name: 'ends_at', value: '~now+1h' },
          ],
        },
        {
          operation: 'pledge_all',
          arguments: [
            {
              name: 'pledges',
              value: [
                {
                  fields: [
                    { name: 'project', value: '@P' },
                    { name: 'amount', value: state === 'met' ? 10 : 9 },
                  ],
                },
              ],
            },
          ],
        },
      ],
      pass: '2h',
      call: { operation: 'fetch', arguments: [{ name: 'id', value: '@P' }] },
      expect: { outcome: 'ok', values: [{ name: 'state', value: state }] },
    })),
    ...{ assumptions: [], questions: [] },
  });

  it('name records by their number in items of a list, and end what ends by a total', async () => {
    assert.ok(checked, JSON.stringify(problems));
    assert.deepEqual(await tryExamples(checked), []);
  });
});
