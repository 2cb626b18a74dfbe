import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import {
  conflict,
  defineDomain,
  invalid,
  isBedsError,
  notFound,
  notSupported,
  refused,
  fn,
  peer,
  procedure,
  t,
  type CallResult,
  type OperationMakers,
  type Surroundings,
  view,
  type BedsError,
  type Json,
  type JsonObject,
  type TemplateContext,
  type ValueDescription,
  type ViewOptions,
} from '@beds/sdk';
import { checkValues, compileChecker, isTemplate, SDK_VERSION, checkManifest } from '#sdk/template';

const identity = { name: 'cities', version: '1.0.0', store: 'main', key: 'id' } as const;

const city = t.row({ id: t.int(), name: t.string(), population: t.int().optional() });
const core = {
  create: procedure('city_create', city.omit('id'), city),
  fetch: view('city_list', city),
  update: procedure('city_update', city.pick('id', 'name').partial()),
  delete: procedure('city_delete', city.pick('id')),
};

type Call = readonly [alias: string, args: unknown];

function contextAnswering(result: CallResult): { readonly ctx: TemplateContext; readonly calls: Call[] } {
  const calls: Call[] = [];
  const ctx = {
    call: async (alias: string, args: unknown) => {
      calls.push([alias, args]);
      return result;
    },
    view: async (alias: string, query: unknown) => {
      calls.push([alias, query]);
      return { rows: [{ id: 1 }], cursor: 'next' };
    },
  };
  return { ctx: ctx as unknown as TemplateContext, calls };
}

function codeOf(error: unknown): string {
  assert.ok(isBedsError(error), String(error));
  return error.code;
}

test('a declared template says what it is and is recognised', () => {
  const template = defineDomain({
    ...identity,
    ...core,
    delete: core.delete.idempotent(),
    views: { towns: view('town_list', city.pick('id')) },
    objects: { totals: procedure('city_totals', { country: t.string() }, t.list({ total: t.int() })) },
    peers: { countries: peer() },
    notes: { team: 'geo' },
    operations: ({ query }) => ({
      totals: query({ input: { country: t.string() }, output: t.int() }, async () => 1),
    }),
  });
  assert.ok(isTemplate(template));
  assert.ok((template as unknown as Record<symbol, unknown>)[Symbol.for('beds.template')]);
  const row = {
    id: { type: 'integer' },
    name: { type: 'string' },
    population: { type: 'integer', optional: true },
  };
  const { id, ...given } = row;
  assert.deepEqual(JSON.parse(JSON.stringify(template.definition)), {
    manifestVersion: 2,
    contract: 2,
    domain: 'cities',
    version: '1.0.0',
    store: 'main',
    key: 'id',
    operations: {
      create: { mode: 'write', idempotent: false },
      update: { mode: 'write', idempotent: false },
      delete: { mode: 'write', idempotent: true },
      fetch: { mode: 'read', idempotent: true },
      totals: {
        mode: 'read',
        idempotent: true,
        input: { type: 'object', fields: { country: { type: 'string' } } },
        output: { type: 'integer' },
      },
    },
    objects: {
      create: { kind: 'procedure', name: 'city_create', args: given, returns: { type: 'object', fields: row } },
      fetch: { kind: 'view', name: 'city_list', columns: row },
      update: {
        kind: 'procedure',
        name: 'city_update',
        args: { id, name: { type: 'string', optional: true } },
      },
      delete: { kind: 'procedure', name: 'city_delete', args: { id } },
      towns: { kind: 'view', name: 'town_list', columns: { id }, fetchable: true },
      totals: {
        kind: 'procedure',
        name: 'city_totals',
        args: { country: { type: 'string' } },
        returns: { type: 'list', items: { type: 'object', fields: { total: { type: 'integer' } } } },
      },
    },
    peers: ['countries'],
    sdk: SDK_VERSION,
    notes: { team: 'geo' },
  });
  assert.deepEqual(checkManifest({ ...template.definition, entry: 'a', files: { a: FILE } }), []);
});

const FILE = { sha256: 'a'.repeat(64), bytes: 1 };

test('a procedure says in the manifest that its calls may go together, and nothing otherwise', () => {
  const create = procedure('city_create', { name: t.string() });
  const together = defineDomain({ ...identity, ...core, create: create.idempotent().together() });
  const manifest = { kind: 'procedure', name: 'city_create', args: { name: { type: 'string' } } };
  assert.deepEqual(together.definition.objects['create'], { ...manifest, together: true });
  assert.deepEqual(defineDomain({ ...identity, ...core, create }).definition.objects['create'], manifest);
  const wrong = {
    ...together.definition,
    objects: { create: { ...manifest, together: 'yes' } },
    entry: 'a',
    files: { a: FILE },
  };
  assert.ok(checkManifest(wrong).some(({ field }) => field === 'objects.create.together'));
});

test('a view says in the manifest that its reads may be shared, and nothing otherwise', () => {
  const fetch = view('city_list', { id: t.int() }, { share: true });
  const shared = defineDomain({ ...identity, ...core, fetch });
  const columns = { id: { type: 'integer' } };
  assert.deepEqual(shared.definition.objects['fetch'], { kind: 'view', name: 'city_list', columns, share: true });
  assert.ok(!('share' in (defineDomain({ ...identity, ...core }).definition.objects['fetch'] ?? {})));
});

test('the SDK version in manifests is that of the package', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../sdk/package.json', import.meta.url), 'utf8')) as JsonObject;
  assert.equal(SDK_VERSION, manifest['version']);
});

test('create answers its row, update how many rows were affected where it returns none', async () => {
  const template = defineDomain({ ...identity, ...core });
  const withRow = contextAnswering({ id: 7 });
  assert.deepEqual(await template.createRecord({ name: 'Zug' }, withRow.ctx), { id: 7 });
  assert.deepEqual(withRow.calls, [['create', { name: 'Zug' }]]);
  const without = contextAnswering({ affected: 1 });
  assert.deepEqual(await template.updateRecord({ id: 7, name: 'Zug' }, without.ctx), { affected: 1 });
  const { ctx } = contextAnswering(undefined);
  await assert.rejects(template.createRecord({ name: 'Zug' }, ctx), { code: 'BEDS_TEMPLATE_NO_ROW' });
});

test('delete passes the key under its own name', async () => {
  const template = defineDomain({ ...identity, ...core });
  const { ctx, calls } = contextAnswering({ affected: 1 });
  assert.deepEqual(await template.deleteRecord(7, ctx), { affected: 1 });
  assert.deepEqual(calls, [['delete', { id: 7 }]]);
});

test('an update or delete that met nothing is not found', async () => {
  const template = defineDomain({ ...identity, ...core });
  const { ctx } = contextAnswering({ affected: 0 });
  await assert.rejects(template.updateRecord({ id: 7 }, ctx), { code: 'BEDS_TEMPLATE_NOT_FOUND', status: 'not-found' });
  await assert.rejects(template.deleteRecord(7, ctx), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
});

test('wrong input is refused with its field before anything is called', async () => {
  const template = defineDomain({ ...identity, ...core });
  const { ctx, calls } = contextAnswering({});
  const rejected = (work: Promise<unknown>, field: string): Promise<void> =>
    assert.rejects(work, { code: 'BEDS_TEMPLATE_INPUT_INVALID', status: 'invalid', field });
  await rejected(template.createRecord({}, ctx), 'payload.name');
  await rejected(template.createRecord({ name: 'Zug', mayor: 'x' }, ctx), 'payload.mayor');
  await rejected(template.updateRecord({ id: 'x' }, ctx), 'payload.id');
  await rejected(template.deleteRecord('x', ctx), 'key');
  assert.deepEqual(calls, []);
});

test('fetch reads the view with the query as it came', async () => {
  const template = defineDomain({ ...identity, ...core });
  const { ctx, calls } = contextAnswering({});
  const query = { where: { name: { prefix: 'Z' } }, limit: 2 };
  assert.deepEqual(await template.fetchRecords(query, ctx), { rows: [{ id: 1 }], cursor: 'next' });
  assert.deepEqual(calls, [['fetch', query]]);
});

test('fetch by a procedure takes equalities only', async () => {
  const fetch = procedure('city_find', { name: t.string(), population: t.int().optional() }, t.list(city));
  const template = defineDomain({ ...identity, ...core, fetch });
  const { ctx, calls } = contextAnswering([{ id: 1 }]);
  const query = { where: { name: 'Zug', population: { eq: 3 } } };
  assert.deepEqual(await template.fetchRecords(query, ctx), { rows: [{ id: 1 }] });
  assert.deepEqual(calls, [['fetch', { name: 'Zug', population: 3 }]]);
  for (const [wrong, field] of [
    [{ where: { name: { prefix: 'Z' } } }, 'query.where.name'],
    [{ where: { name: 'Zug', mayor: 'x' } }, 'query.where.mayor'],
    [{ where: { name: 'Zug' }, order: [] }, 'query.order'],
    [{ where: { name: 'Zug' }, cursor: 'x' }, 'query.cursor'],
    [{ or: [{ where: { name: 'Zug' } }] }, 'query.or'],
    [{ where: { name: 'Zug' }, count: true }, 'query.count'],
  ] as const) {
    await assert.rejects(template.fetchRecords(wrong, ctx), { code: 'BEDS_TEMPLATE_INPUT_INVALID', field });
  }
});

test('code serves one of the four under its name, with its input checked', async () => {
  const { delete: remove, ...others } = core;
  const template = defineDomain({
    ...identity,
    ...others,
    objects: { remove },
    operations: ({ mutation }) => ({
      delete: mutation({ input: { id: t.int() }, output: { deleted: t.int() } }, async ({ input, db }) => {
        await db.remove({ id: input.id });
        return { deleted: input.id };
      }).idempotent(),
    }),
  });
  const { ctx, calls } = contextAnswering({ affected: 1 });
  assert.deepEqual(await template.deleteRecord(7, ctx), { deleted: 7 });
  assert.deepEqual(calls, [['remove', { id: 7 }]]);
  await assert.rejects(template.deleteRecord('7', ctx), { code: 'BEDS_TEMPLATE_INPUT_INVALID', field: 'key' });
  assert.equal(template.definition.operations['delete']?.idempotent, true);
});

test('what a domain does not offer it refuses by itself', async () => {
  const { delete: _, ...others } = core;
  const template = defineDomain({
    ...identity,
    ...others,
    operations: ({ unsupported }) => ({ delete: unsupported('Cities stay.') }),
  });
  const { ctx } = contextAnswering(undefined);
  await assert.rejects(template.deleteRecord(7, ctx), { code: 'BEDS_TEMPLATE_NOT_SUPPORTED', message: 'Cities stay.' });
});

test('all that is wrong with a definition is said at once', () => {
  const wrong = {
    name: 'Cities',
    version: '1.0',
    store: '',
    key: 'id',
    create: view('city_list', { id: t.int() }),
    fetch: view('city_list', { name: 'text' as never }),
    delete: procedure('DROP TABLE x', { id: t.int(), why: t.string() }),
    views: { towers: procedure('x', {}), towns: view('towns', {}) },
    objects: {
      shared: view('city_list', {}, { share: 'yes' as never, shares: true } as ViewOptions),
      kinds: fn(
        'kinds',
        { k: t.enum([]), n: t.string({ max: 'x' as never }), d: t.int().default('x' as never) },
        t.int(),
      ),
      'bad alias': 7,
      transaction: procedure('x', {}),
    },
    peers: { Other: peer() },
    operations: ({ query, pages }: OperationMakers<Surroundings>) => ({
      now: 7,
      none: query.of('kind' as never),
      list: pages(city, () => ({ rows: [] })),
      describe: query({}, () => 1),
    }),
    setup: 7,
    fetchRecord: () => undefined,
  };
  const define = defineDomain as unknown as (definition: unknown) => unknown;
  let thrown: unknown;
  try {
    define(wrong);
  } catch (error) {
    thrown = error;
  }
  assert.equal(codeOf(thrown), 'BEDS_TEMPLATE_INVALID');
  const lines = (thrown as BedsError).message.split('\n').slice(1);
  const fields = lines.map((line) => line.slice(2).split(' ')[0]);
  assert.deepEqual(fields.toSorted(), [
    'create',
    'delete.args.why',
    'delete.name',
    'fetch.columns',
    'fetch.columns.name',
    'fetchRecord',
    'name',
    'objects.bad',
    'objects.kinds.args.d.default',
    'objects.kinds.args.k.values',
    'objects.kinds.args.n.maxLength',
    'objects.shared.share',
    'objects.shared.shares',
    'objects.transaction',
    'operations.describe',
    'operations.list',
    'operations.none',
    'operations.now',
    'peers.0',
    'setup',
    'store',
    'update',
    'version',
    'views.towers',
    'views.towns.columns',
  ]);
  for (const nonsense of [
    undefined,
    null,
    7,
    'x',
    [],
    { operations: 7 },
    { objects: 7, operations: () => ({ a: null }) },
  ]) {
    assert.throws(() => define(nonsense), { code: 'BEDS_TEMPLATE_INVALID' });
  }
});

test('names that every object has are names like others in a manifest, and no operation has one', () => {
  const { definition } = defineDomain({ ...identity, ...core });
  for (const name of ['constructor', 'toString', 'valueOf']) {
    const column = { type: 'integer', [name]: 1 };
    const objects = { ...definition.objects, more: { kind: 'view', name: 'more', columns: { id: column } } };
    const fields = checkManifest({ ...definition, objects }).map(({ field }) => field);
    assert.ok(fields.includes(`objects.more.columns.id.${name}`), fields.join());
  }
  for (const name of ['toString', 'hasOwnProperty', 'inspect', 'catch', 'toJSON', 'call']) {
    assert.throws(
      () => defineDomain({ ...identity, ...core, operations: ({ query }) => ({ [name]: query({}, () => 1) }) }),
      new RegExp(`operations\\.${name} has a name that every client, or every object, has already`),
    );
  }
});

test('domain errors carry their message, class and field', () => {
  assert.deepEqual(
    [notFound('No city 7.'), conflict(), refused(), notSupported()].map(({ code, status }) => [code, status]),
    [
      ['BEDS_TEMPLATE_NOT_FOUND', 'not-found'],
      ['BEDS_TEMPLATE_CONFLICT', 'conflict'],
      ['BEDS_TEMPLATE_REFUSED', 'forbidden'],
      ['BEDS_TEMPLATE_NOT_SUPPORTED', 'invalid'],
    ],
  );
  assert.equal(notFound('No city 7.').message, 'No city 7.');
  assert.equal(invalid('payload.name', 'must not be empty').field, 'payload.name');
});

test('every value type takes what it names and refuses the rest', () => {
  const samples: Readonly<Record<string, readonly [good: readonly unknown[], bad: readonly unknown[]]>> = {
    string: [
      ['', 'x'],
      [1, true, {}],
    ],
    integer: [
      [0, -3, 9007199254740991],
      [1.5, 2 ** 53, '7', 'x', true],
    ],
    bigint: [
      ['0', '-3', '18446744073709551616', 7],
      [1.5, 2 ** 53, '1.5', 'x', '01', true],
    ],
    number: [
      [0, 1.5],
      ['1', true, null],
    ],
    decimal: [
      ['12.50', '-3', 12.5],
      ['1e3', '', '+1', 1e300],
    ],
    boolean: [
      [true, false],
      [0, 'true'],
    ],
    date: [['2024-02-29'], ['2023-02-29', '2024-2-9', '2024-13-01', 7]],
    datetime: [
      ['2024-02-29T23:59:59Z', '2024-02-29T00:00:00.123456Z', '2024-02-29T23:59:59+02:00'],
      ['2024-02-29T24:00:00Z', '2024-02-29T23:59:59', '2023-02-29T00:00:00Z', '2024-02-29T23:59:59+24:00'],
    ],
    binary: [
      ['', 'AA==', 'AAE=', 'AAEC', '+/8='],
      ['A', 'AA', 'AB==', 'AAF=', '-_8=', 'AAE=\n', 'A===', '====', 7],
    ],
    json: [[1, 'x', [1], { a: null }], [null]],
  };
  for (const [type, [good, bad]] of Object.entries(samples)) {
    const check = compileChecker({ v: { type } as ValueDescription });
    for (const v of good) assert.ok(check({ v } as JsonObject).ok, `${type} takes ${JSON.stringify(v)}`);
    for (const v of bad) assert.ok(!check({ v } as JsonObject).ok, `${type} refuses ${JSON.stringify(v)}`);
  }
});

test('a template sees every value in one form, however a caller writes it', () => {
  const forms: readonly (readonly [type: ValueDescription['type'], written: Json, seen: Json])[] = [
    ['bigint', 7, '7'],
    ['bigint', '9223372036854775807', '9223372036854775807'],
    ['decimal', 12.5, '12.5'],
    ['decimal', '12.50', '12.50'],
    ['datetime', '2026-06-01T02:00:00+05:30', '2026-05-31T20:30:00.000Z'],
    ['datetime', '2026-01-31T23:59:59.1234567Z', '2026-01-31T23:59:59.1234567Z'],
    ['date', '2026-01-31', '2026-01-31'],
  ];
  for (const [type, written, seen] of forms) {
    assert.deepEqual(checkValues({ v: { type } }, { v: written }), { ok: true, value: { v: seen } });
    assert.deepEqual(checkValues({ v: { type, default: written } }, {}), { ok: true, value: { v: seen } });
  }
});

test('bounds, defaults and unknown names are checked, and no value is repeated', () => {
  const spec = {
    name: { type: 'string', maxLength: 3 },
    top: { type: 'integer', default: 5, min: 1, max: 10 },
    note: { type: 'string', optional: true },
    owner: { type: 'string', optional: true, absence: 'left out' },
  } as const;
  const problem = (values: JsonObject): unknown => {
    const checked = checkValues(spec, values);
    return checked.ok ? checked.value : `${checked.problem.field} ${checked.problem.message}`;
  };
  assert.deepEqual(problem({ name: 'abc' }), { name: 'abc', top: 5 });
  assert.deepEqual(problem({ name: 'abc', top: null, note: null }), { name: 'abc', top: 5, note: null });
  assert.equal(problem({ name: 'secret' }), 'name must have at most 3 characters');
  assert.deepEqual(problem({ name: '🏙🏙🏙' }), { name: '🏙🏙🏙', top: 5 });
  assert.equal(problem({ name: 'a', top: 0 }), 'top must be at least 1');
  assert.equal(problem({ name: 'a', top: 11 }), 'top must be at most 10');
  assert.equal(problem({ top: 3 }), 'name is required');
  assert.equal(problem({ name: null }), 'name must not be null');
  assert.equal(problem({ name: 'a', owner: null }), 'owner must not be null');
  assert.deepEqual(problem({ name: 'a', owner: 'ann' }), { name: 'a', top: 5, owner: 'ann' });
  assert.equal(problem({ name: 'a', mayor: 1 }), 'mayor is unknown; known are name, top, note, owner');
  assert.equal(problem({ name: 'a', toString: 'x' }), 'toString is unknown; known are name, top, note, owner');
  const complete = { name: 'a', top: 3 };
  assert.equal(problem(complete), complete);
});
