import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startTestHost } from './support/host.js';
import { installSdk, packSdk } from './support/packed-sdk.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const TEMPLATE = `import { defineDomain, procedure, t, view } from '@beds/sdk';

const note = t.row({ id: t.int(), text: t.string(), mark: t.string().optional() });

export default defineDomain({
  name: 'notes', version: '1.0.0', store: 'main', key: 'id',
  create: procedure('note_create', note.omit('id'), note),
  fetch: view('note_list', note.extend({ version: t.int() })),
  update: procedure('note_update', note.pick('id', 'text'), note),
  delete: procedure('note_delete', note.pick('id')),
});
`;
const TEST = `import assert from 'node:assert/strict';
import test from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import template from './template.js';

test('a note is created', async () => {
  const notes = testDomain(template, { objects: { create: ({ text }) => ({ id: 1, text, mark: null }) } });
  assert.deepEqual(await notes.create({ text: 'first' }), { id: 1, text: 'first', mark: null });
});
`;
const BUILD = `import { buildTemplate } from '@beds/sdk/build';
console.log((await buildTemplate({ entry: 'template.ts', outDir: 'bundles', form: 'file' })).path);
`;
const CALL = `import { connectBeds } from '@beds/sdk/client';
import type template from './template.js';

const [url = '', exchange = ''] = process.argv.slice(2);
const beds = await connectBeds({ url, exchange, name: 'shop' });
const notes = beds.domain<typeof template>('notes');
await notes.create({ text: 'first' });
const { rows } = await notes.fetch({ where: { text: { prefix: 'f' } } });
console.log(rows.map(({ text }) => text).join());
await beds.close();
`;

describe('a project with the packed SDK, in an empty folder', () => {
  it('compiles, tests and builds a template, drops it, and calls it', async (t) => {
    const directory = temporaryDirectory(t);
    const project = join(directory, 'project');
    mkdirSync(project);
    installSdk(packSdk(directory), project, ['@types/node', 'esbuild', '@esbuild']);
    const compilerOptions = { noEmit: false, outDir: 'out', rootDir: '.', types: ['node'] };
    const files = {
      'package.json': '{ "type": "module" }',
      'tsconfig.json': JSON.stringify({ extends: '@beds/sdk/tsconfig.template.json', compilerOptions }),
      ...{ 'template.ts': TEMPLATE, 'template.test.ts': TEST, 'build.ts': BUILD, 'call.ts': CALL },
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text);
    const compiler = join(process.cwd(), 'node_modules', 'typescript', 'bin', 'tsc');
    const run = async (...args: readonly string[]): Promise<string> => {
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project });
      return stdout.trim();
    };
    await run(compiler, '-p', '.');
    assert.match(await run('--test', '--test-reporter=tap', 'out/template.test.js'), /^# pass 1$/m);
    const host = await startTestHost(t, { services });
    cpSync(await run('out/build.js'), join(host.pluginsDirectory, 'notes-1.0.0.mjs'));
    await host.active('notes', '1.0.0');
    assert.equal(await run('out/call.js', host.config.amqp.url, `${host.prefix}.request`), 'first');
  });
});
