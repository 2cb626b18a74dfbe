import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { defineDomain, fn, isBedsError, procedure, t, type Template, type TemplateContext, view } from '@beds/sdk';
import { describeDomain, type DomainDescription } from '#sdk/template';
import type * as Writing from '../sdk/wire/write-description.js';
import type { CallerBook } from '../host/request/observations.js';
import { compileOperations } from '../host/request/operation.js';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, temporaryDirectory } from './support/services.js';
import { ts } from './support/typescript.js';

/** n.b. not behind a door of the SDK, so it is taken from where the SDK is compiled to. */
const WRITING = new URL('../../sdk/dist/wire/write-description.js', import.meta.url).href;
const { asyncApiOf, typesOf } = (await import(WRITING)) as typeof Writing;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const city = t.row({
  id: t.int(),
  name: t.string({ max: 100 }),
  kind: t.enum(['town', 'village']),
  area: t.decimal().optional(),
});

const cities = defineDomain({
  ...{ name: 'world-cities', version: '1.2.0', store: 'main', key: 'id' },
  create: procedure('city_create', city.omit('id'), city),
  fetch: view('city_list', city),
  update: procedure('city_update', city.partial(), city).idempotent(),
  delete: procedure('city_delete', city.pick('id')),
  views: { towns: view('town_list', city.pick('id', 'name')) },
  objects: { count: fn('city_count', { country: t.string().optional() }, t.int()) },
  operations: ({ query, mutation }) => ({
    count: query(
      {
        input: { country: t.string().optional(), top: t.int().default(3), owner: t.string().omittable() },
        output: { count: t.int(), owner: t.string().omittable() },
      },
      () => ({
        count: 1,
      }),
    ),
    keep: mutation(
      { input: { tags: t.list(t.string(), { max: 3 }), big: t.bigint(), raw: t.binary({ max: 16 }).optional() } },
      () => null,
    ),
  }),
});

const description = describeDomain(cities.definition, {
  generation: 7,
  errors: { BEDS_REQUEST_INVALID: { status: 'invalid', retryable: false, message: 'No.' } },
});

describe('the description of a domain', () => {
  it('has for each operation its mode, what it takes and what it gives, and no name of the database', () => {
    const { operations, views, ...rest } = description;
    assert.deepEqual([rest.domain, rest.version, rest.generation, rest.key], ['world-cities', '1.2.0', 7, 'id']);
    assert.deepEqual(Object.fromEntries(Object.entries(operations).map(([name, { mode }]) => [name, mode])), {
      create: 'write',
      fetch: 'read',
      update: 'idempotent',
      delete: 'write',
      count: 'read',
      keep: 'write',
    });
    assert.deepEqual(operations['count']?.request, {
      type: 'object',
      properties: {
        payload: {
          type: 'object',
          properties: {
            country: { type: ['string', 'null'] },
            top: { type: ['integer', 'null'], default: 3 },
            owner: { type: 'string' },
          },
          additionalProperties: false,
        },
      },
      additionalProperties: false,
    });
    assert.deepEqual(operations['count'].data, {
      type: 'object',
      properties: { count: { type: 'integer' }, owner: { type: ['string', 'null'] } },
      required: ['count', 'owner'],
      additionalProperties: false,
    });
    assert.match(
      JSON.stringify(operations['keep']?.request),
      /"raw":\{"type":\["string","null"\],"contentEncoding":"base64","maxLength":24\}/,
    );
    const update = operations['update']?.request as {
      required: string[];
      properties: { payload: { properties: object } };
    };
    assert.deepEqual(update.required, ['key', 'payload']);
    assert.ok(!Object.hasOwn(update.properties.payload.properties, 'id'), 'the key stands beside the payload');
    assert.deepEqual(Object.keys(views), ['fetch', 'towns']);
    assert.deepEqual(views['fetch']?.['properties'], {
      id: { type: 'integer' },
      name: { type: 'string', maxLength: 100 },
      kind: { enum: ['town', 'village'] },
      area: { type: ['string', 'null'], format: 'decimal', pattern: '^-?[0-9]+([.][0-9]+)?$' },
    });
    assert.doesNotMatch(JSON.stringify(description), /city_|town_list/);
  });

  it('belongs to whoever asked: code that changes it changes neither what others get nor what the host goes by', () => {
    const manifest = { ...cities.definition, entry: 'index.mjs', files: {} };
    const book = { of: () => ({ count: () => undefined }) } as unknown as CallerBook;
    const made = compileOperations({ definition: manifest, operations: {} } as unknown as Template, {
      manifest,
      book,
      by: { node: 'a', domain: 'world-cities', generation: 7 },
      defaultAccess: 'anyone',
    });
    const ask = (): DomainDescription => made.get('describe')?.run({}, {} as TemplateContext) as DomainDescription;
    const first = ask();
    const kept = structuredClone(first);
    const { errors, views } = first as unknown as {
      errors: Record<string, unknown>;
      views: { fetch: { properties: { kind: { enum: string[] } } } };
    };
    errors['BEDS_REQUEST_INVALID'] = 'changed';
    views.fetch.properties.kind.enum.push('hamlet');
    assert.deepEqual(ask(), kept);
    assert.deepEqual(describeDomain(manifest, { generation: 7, errors: kept.errors }).views, kept.views);
  });

  it('becomes an AsyncAPI document whose references all lead somewhere', () => {
    const api = asyncApiOf(description, 'beds.request');
    assert.equal(api['asyncapi'], '3.0.0');
    const references = [...JSON.stringify(api).matchAll(/"\$ref":"#\/([^"]*)"/g)].map(([, path = '']) => path);
    assert.ok(references.length > 20);
    for (const path of new Set(references)) {
      const found = path
        .split('/')
        .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], api);
      assert.ok(found !== undefined, path);
    }
  });

  it('becomes types with which right calls compile and wrong ones do not', (t) => {
    const folder = temporaryDirectory(t);
    mkdirSync(join(folder, 'node_modules', '@beds'), { recursive: true });
    symlinkSync(join(ROOT, 'sdk'), join(folder, 'node_modules', '@beds', 'sdk'));
    symlinkSync(join(ROOT, 'node_modules', '@types'), join(folder, 'node_modules', '@types'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'world-cities.ts'), typesOf(description));
    writeFileSync(
      join(folder, 'caller.ts'),
      `import { connectBeds } from '@beds/sdk/client';
import { peer } from '@beds/sdk';
import type { WorldCities } from './world-cities.js';
export const asPeer = peer<WorldCities>();
const beds = await connectBeds<{ 'world-cities': WorldCities }>({ url: '', name: '' });
const cities = beds['world-cities'];
export const count: number = (await cities.count({ country: 'CH' }, { deadlineMs: 5 })).count;
export const bare: number = (await cities.count()).count;
export const made: string | null = (await cities.create({ name: 'Zug', kind: 'town', area: '1.5' })).area;
export const kind: 'town' | 'village' = (await cities.update(1, { kind: 'town' })).kind;
await cities.keep({ tags: ['a'], big: '9007199254740993' });
await cities.delete(1);
const page = await cities.fetch({ where: { name: { prefix: 'Z' } }, order: [{ column: 'name' }] });
export const name: string | undefined = page.rows[0]?.name;
const towns = await cities.fetch({ view: 'towns' });
export const id: number | undefined = towns.rows[0]?.id;
// @ts-expect-error no such operation
await cities.cuont({});
// @ts-expect-error no such argument
await cities.count({ land: 'CH' });
// @ts-expect-error another type
await cities.create({ name: 7, kind: 'town' });
// @ts-expect-error none of the values
await cities.update(1, { kind: 'city' });
// @ts-expect-error no such column
await cities.fetch({ order: [{ column: 'nmae' }] });
// @ts-expect-error a column of another view
await cities.fetch({ view: 'towns', where: { kind: 'town' } });
// @ts-expect-error missing
await cities.keep({ tags: [] });
// @ts-expect-error callers do not say what the contract says
await cities.count({}, { mode: 'read' });
`,
    );
    const program = ts.createProgram([join(folder, 'caller.ts')], {
      ...{
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
      },
      ...{ strict: true, noEmit: true, skipLibCheck: true, exactOptionalPropertyTypes: true, types: [] },
    });
    const said = ts.getPreEmitDiagnostics(program).map(({ messageText, file, start = 0 }) => {
      const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1;
      return `${file?.fileName.split('/').at(-1) ?? ''}:${String(line)} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
    assert.deepEqual(said, []);
  });
});

describe('a live domain', () => {
  it('describes the version that serves to whoever may ask, until it is gone', async (t) => {
    const services = await sharedServices(['rabbitmq', 'mariadb']);
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const beds = await host.connectClient();
    const notes = beds.domain('notes');
    const first = await notes.describe();
    assert.equal(first.version, '1.0.0');
    assert.ok(first.generation > 0);
    assert.equal(first.operations['fetch']?.mode, 'read');
    assert.equal(first.errors['BEDS_REQUEST_INVALID']?.status, 'invalid');
    const reply = await beds.request({ v: 1, id: 'd', domain: 'notes', op: 'describe', payload: {} });
    assert.equal(!reply.ok && reply.error.field, 'payload');
    const operations = { look: { mode: 'read', run: 'return 1;' } } as const;
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.1.0', name: 'next.mjs', operations }));
    await host.active('notes', '1.1.0');
    const second = await notes.describe();
    assert.deepEqual([second.version, second.operations['look']?.mode], ['1.1.0', 'read']);
    await assert.rejects(beds.domain('nobody').describe({ deadlineMs: 3_000 }), (error: unknown) => isBedsError(error));
  });
});
