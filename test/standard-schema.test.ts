import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { isBedsError, type JsonObject } from '@beds/sdk';
import { buildTemplate } from '@beds/sdk/build';
import type { BedsClient } from '@beds/sdk/client';
import { startTestHost } from './support/host.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** Of zod, and of a library that gives no JSON Schema and paths of objects, as valibot does. */
const TEMPLATE = `import { defineDomain, procedure, t, view, type StandardSchema } from '@beds/sdk';
import { z } from 'zod';

const plain: StandardSchema<{ word: string }, { word: string }> = {
  '~standard': {
    version: 1,
    vendor: 'plain',
    validate: (value) =>
      typeof (value as { word?: unknown } | undefined)?.word === 'string'
        ? { value: { word: String((value as { word: string }).word).toUpperCase() } }
        : { issues: [{ message: 'Say a word', path: [{ key: 'word' }] }] },
  },
};
const late = z.object({ name: z.string().refine(async (name) => Promise.reject(new Error(name))) });
const length = z.string().transform((text) => 'of ' + String(text.length));
const note = { id: t.int(), text: z.string().min(2), mark: z.string().nullable() };

export default defineDomain({
  name: 'notes', version: '1.0.0', store: 'main', key: 'id',
  create: procedure('note_create', { text: length, mark: z.string().default('unmarked') }, note),
  fetch: view('note_list', { id: t.int(), text: t.string(), mark: t.string().optional() }),
  update: procedure('note_update', { id: t.int(), text: t.string() }),
  delete: procedure('note_delete', { id: t.int() }),
  operations: ({ query, mutation }) => ({
    shape: query(
      {
        input: z.object({
          at: z.coerce.date(),
          tags: z.array(z.string().trim().min(1)).default(['none']),
          size: z.enum(['s', 'm']).optional(),
        }),
        output: z.object({ year: z.number().transform(String), tags: z.array(z.string()), size: z.string().nullable() }),
      },
      ({ input }) => ({ year: input.at.getUTCFullYear(), tags: input.tags, size: input.size ?? null }),
    ),
    field: query({ input: { word: plain, list: t.list(plain).optional() }, output: plain }, ({ input }) => input.word),
    late: query({ input: late }, () => 'never'),
    soon: query({ output: late }, () => ({ name: 'x' })),
    date: query({ output: z.object({ at: z.date() }) }, () => ({ at: new Date(0) })),
    maybe: query({ output: z.string().nullable() }, () => null),
    own: mutation({ input: { text: z.string() } }, async ({ input, db }) => (await db.create(input)) ?? null),
    both: mutation({ input: { text: z.string() } }, async ({ input, db }) =>
      db.transaction(async (tx) => (await tx.create({ ...input, mark: 'both' })) ?? null),
    ),
  }),
});
`;

async function refusal(
  work: Promise<unknown>,
): Promise<readonly [code: string, field: string | undefined, message: string]> {
  const error: unknown = await work.then(
    () => assert.fail('it was not refused'),
    (thrown: unknown) => thrown,
  );
  assert.ok(isBedsError(error), String(error));
  return [error.code, error.field, error.message];
}

async function served(t: test.TestContext): Promise<BedsClient> {
  const directory = temporaryDirectory(t);
  symlinkSync(join(process.cwd(), 'node_modules'), join(directory, 'node_modules'));
  writeFileSync(join(directory, 'template.ts'), TEMPLATE);
  const host = await startTestHost(t, { services });
  await buildTemplate({ entry: join(directory, 'template.ts'), outDir: host.pluginsDirectory, form: 'file' });
  await host.active('notes', '1.0.0');
  return host.connectClient();
}

test('schemas of other libraries stand where t stands, in a version that serves', async (t) => {
  const notes = (await served(t)).domain('notes');

  await t.test('an input is checked, filled in and transformed; a result too', async () => {
    const asked = { at: '2026-11-29T00:00:00Z', tags: [' a '], size: 'm' };
    assert.deepEqual(await notes.call('shape', asked), { year: '2026', tags: ['a'], size: 'm' });
    assert.deepEqual(await notes.call('shape', { at: 0 }), { year: '1970', tags: ['none'], size: null });
    assert.deepEqual(await notes.call('field', { word: { word: 'a' }, list: [{ word: 'b' }] }), { word: 'A' });
    assert.equal(await notes.call('maybe', {}), null);
  });

  await t.test('what is refused is named by its path', async () => {
    const [code, field, message] = await refusal(notes.call('shape', { at: 0, tags: ['a', ' '] }));
    assert.deepEqual([code, field], ['BEDS_REQUEST_INVALID', 'payload.tags[1]']);
    assert.match(message, /expected string to have >=1 characters/);
    assert.equal((await refusal(notes.call('field', { word: {} })))[1], 'payload.word.word');
    assert.equal((await refusal(notes.call('field', { word: { word: 'a' }, list: [{}] })))[1], 'payload.list[0].word');
    assert.equal((await refusal(notes.call('field', {})))[1], 'payload.word.word');
  });

  await t.test('a schema that checks asynchronously is refused by name', async () => {
    const [code, , message] = await refusal(notes.call('late', { name: 'a' }));
    assert.equal(code, 'BEDS_REQUEST_INVALID');
    assert.match(message, /asynchronously, which is not supported: make that check in the handler/);
    assert.equal((await refusal(notes.call('soon', {})))[0], 'BEDS_REQUEST_BAD_RESULT');
  });

  await t.test('what a schema lets out must be JSON all the same', async () => {
    const [code, field, message] = await refusal(notes.call('date', {}));
    assert.deepEqual([code, field], ['BEDS_REQUEST_BAD_RESULT', 'result.at']);
    assert.match(message, /must be JSON: Date is not/);
  });

  await t.test(
    'arguments of a procedure are transformed once, whoever calls it, and its columns are checked',
    async () => {
      const made = await notes.create({ text: 'hello' });
      assert.deepEqual([made['text'], made['mark']], ['of 5', 'unmarked']);
      const { id: _, ...own } = (await notes.call('own', { text: 'hello!' })) as JsonObject;
      assert.deepEqual(own, { text: 'of 6', mark: 'unmarked' });
      const { id: __, ...both } = (await notes.call('both', { text: '' })) as JsonObject;
      assert.deepEqual(both, { text: 'of 0', mark: 'both' });
      assert.deepEqual((await refusal(notes.create({ text: 1 }))).slice(0, 2), [
        'BEDS_TEMPLATE_INPUT_INVALID',
        'payload.text',
      ]);
    },
  );

  await t.test('the description has the JSON Schema of what goes in and of what comes out', async () => {
    const { operations } = await notes.describe();
    const { payload } = (operations['shape']?.request as { properties: { payload: { properties: object } } })
      .properties;
    assert.deepEqual(payload.properties, {
      at: {},
      tags: { default: ['none'], type: 'array', items: { type: 'string', minLength: 1 } },
      size: { type: 'string', enum: ['s', 'm'] },
    });
    assert.deepEqual(operations['maybe']?.data['type'], ['string', 'null']);
    assert.deepEqual(operations['field']?.data, {});
  });
});
