import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { before, describe, it } from 'node:test';
import { temporaryDirectory, wholeFile } from './support/services.js';
import { ts } from './support/typescript.js';

/** What an author sees in the editor: a line that names the field, not a page of types. */
const MAX_CHARACTERS = 500;

/** Operations whose code answers with something else than it declares, and what is said of each. */
const WRONG = {
  misspelt: [
    '{ output: { count: t.int() } }, async ({ db }) => ({ cuont: await db.count() })',
    'output.count is missing',
  ],
  block: [
    '{ output: { count: t.int() } }, async ({ db }) => { const count = await db.count(); return { count: `${count}` }; }',
    'output.count is a string, not a number',
  ],
  promise: [
    '{ output: { count: t.int() } }, ({ db }) => ({ count: db.count() })',
    'output.count is a promise: await it',
  ],
  more: [
    '{ output: { count: t.int() } }, async ({ db }) => ({ count: await db.count(), more: 1 })',
    'output.more is not declared',
  ],
  deep: [
    '{ output: { cities: t.list(city) } }, () => ({ cities: [{ id: 1, name: 2, kind: "town" }] })',
    'output.cities[].name is a number, not a string',
  ],
  whole: [
    '{ output: t.list(city) }, async ({ db }) => (await db.fetch()).rows.map(({ id }) => ({ id }))',
    'output[].name is missing',
  ],
  several: [
    '{ output: city }, ({ input }) => "a" in input ? { id: 1 } : { id: 2, name: "Zug", kind: "town" }',
    'output.name may be missing',
  ],
  perhaps: ['{ output: city }, async ({ db }) => (await db.fetch()).rows[0]', 'output may be missing'],
  value: ['{ output: t.int() }, () => [1]', 'output is a list, not a number'],
  enum: [
    '{ output: { kind: t.enum(["a", "b"]) } }, () => ({ kind: "c" })',
    'output.kind is a string, not one of the values of its enum',
  ],
  json: ['{}, ({ db }) => ({ at: [{ count: db.count() }] })', 'output.at[].count is a promise: await it'],
  noJson: ['{}, () => ({ run: () => 1 })', 'output.run is no JSON'],
} as const;

/** The same, and right. */
const RIGHT = [
  '{ output: city }, async ({ db }) => { await db.count(); return { id: 1, name: "Zug", kind: "town" }; }',
  '{ output: { kinds: t.list(t.enum(["a", "b"])), note: t.string().optional() } }, () => ({ kinds: ["a"] })',
  '{ output: t.enum(["a", "b"]) }, async () => "a"',
  '{ output: t.list(city) }, async ({ db }) => (await db.fetch()).rows',
  '{ output: { any: t.json() } }, async ({ db }) => ({ any: { rows: (await db.fetch()).rows, at: null } })',
  '{ output: city }, () => { throw new Error("never"); }',
  '{}, async ({ db }) => ({ any: [await db.count()], nothing: null })',
  '{ output: { count: t.int() } }, (call): { count: number } => JSON.parse(String(call.input))',
];

const HEAD = `import { defineDomain, fn, procedure, t, view } from '@beds/sdk';
const city = t.row({ id: t.int(), name: t.string(), kind: t.enum(['town', 'village']), population: t.int().optional() });
export default defineDomain({
  name: 'cities', version: '1.0.0', store: 'main', key: 'id',
  create: procedure('city_create', city.omit('id'), city),
  fetch: view('city_list', city),
  update: procedure('city_update', city.partial(), city).idempotent(),
  delete: procedure('city_delete', city.pick('id')),
  objects: { count: fn('city_count', {}, t.int()) },
  operations: ({ query }) => ({
`;

describe('what the compiler says of a wrong answer', () => {
  const said = new Map<number, string>();
  const lineOf = (at: number): number => HEAD.split('\n').length + at;

  before(() => {
    const root = temporaryDirectory(wholeFile);
    symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
    const path = join(root, 'template.ts');
    const operations = [...Object.values(WRONG).map(([code]) => code), ...RIGHT];
    writeFileSync(path, `${HEAD}${operations.map((code, at) => `    o${at}: query(${code}),\n`).join('')}  }),\n});\n`);
    writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
    const config = ts.readConfigFile(resolve('sdk/tsconfig.template.json'), (name) => ts.sys.readFile(name));
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
    const program = ts.createProgram({ rootNames: [path], options: { ...options, types: [] } });
    for (const { file, start = 0, messageText } of ts.getPreEmitDiagnostics(program)) {
      const line = 1 + (file?.getLineAndCharacterOfPosition(start).line ?? 0);
      said.set(line, `${said.get(line) ?? ''}${ts.flattenDiagnosticMessageText(messageText, '\n')}`);
    }
  });

  for (const [at, [name, [, text]]] of Object.entries(WRONG).entries())
    it(`${name}: ${text}`, () => {
      const message = said.get(lineOf(at)) ?? '';
      assert.ok(message.includes(`"${text}`), message);
      assert.ok(message.length <= MAX_CHARACTERS, `${message.length} characters: ${message}`);
    });

  it('is nothing where the answer is right', () => {
    const right = RIGHT.map((code, at) => [code, said.get(lineOf(Object.keys(WRONG).length + at))]);
    assert.deepEqual(
      right.filter(([, message]) => message !== undefined),
      [],
    );
  });
});
