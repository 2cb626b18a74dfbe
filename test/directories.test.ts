import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { EXIT } from '#sdk/cli';
import { directoriesOf } from '../host/config/load.js';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

describe('an absolute directory of the configuration is meant as it is', () => {
  it('and a relative one from the checkout', () => {
    const settings = (services: string, plugins: string): Parameters<typeof directoriesOf>[1] =>
      ({ state: { directory: services }, plugins: { directory: plugins } }) as Parameters<typeof directoriesOf>[1];
    assert.deepEqual(directoriesOf('/srv/beds', settings('.beds', 'plugins')), {
      state: '/srv/beds/.beds',
      plugins: '/srv/beds/plugins',
    });
    assert.deepEqual(directoriesOf('/srv/beds', settings('/var/lib/beds', '/var/drops')), {
      state: '/var/lib/beds',
      plugins: '/var/drops',
    });
  });

  it('by `create`, `build` and `db apply`', async (t) => {
    const [projectRoot, outside] = [temporaryDirectory(t), temporaryDirectory(t)];
    const { mariadb, mongodb } = services;
    const env = {
      BEDS_PLUGINS_DIRECTORY: join(outside, 'domains'),
      BEDS_STATE_DIRECTORY: join(outside, 'state'),
      BEDS_MARIADB_ADMIN_URL: mariadb?.url ?? '',
      BEDS_MONGODB_URL: mongodb?.url ?? '',
    };
    mkdirSync(join(projectRoot, 'config'));
    writeFileSync(join(projectRoot, 'config', 'beds.toml'), '[stores.main]\nkind = "mysql"\n');
    writeFileSync(join(projectRoot, 'package.json'), '{ "dependencies": { "@beds/sdk": "*" } }');
    symlinkSync(resolve('node_modules'), join(outside, 'node_modules'));
    const run = (...args: readonly string[]): ReturnType<typeof beds> => beds(args, { projectRoot, env });

    const created = await run('create', 'abroad');
    assert.equal(created.code, EXIT.ok, created.stderr);
    assert.ok(existsSync(join(outside, 'domains', 'abroad', 'template.ts')));
    assert.ok(created.stdout.includes(`build abroad --file --out ${join(outside, 'domains')}`), created.stdout);
    const built = await run('build', 'abroad', '--file', '--out', env.BEDS_PLUGINS_DIRECTORY);
    assert.equal(built.code, EXIT.ok, built.stderr);
    const applied = await run('db', 'apply', 'nowhere');
    assert.match(applied.stderr, /BEDS_CLI_ARGUMENT_INVALID: There is no db in .*nowhere\. Known are abroad\./);
    assert.deepEqual(readdirSync(projectRoot).sort(), ['config', 'package.json']);
  });

  it('by a host', async (t) => {
    const outside = temporaryDirectory(t);
    const [plugins, state] = [join(outside, 'drops'), join(outside, 'state')];
    const config = { plugins: { directory: plugins }, state: { directory: state } };
    const host = await startTestHost(t, { services, config });
    await writeBundle(plugins, notesBundle());
    await host.active('notes', '1.0.0');
    assert.ok(existsSync(join(state, 'stage')));
    assert.deepEqual(readdirSync(dirname(host.pluginsDirectory)), ['plugins']);
  });
});
