import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { ServiceContext } from '../host/dev-servers/contract.js';
import { cacheFolder, cachedFolder } from '../host/dev-servers/provision/package-cache.js';
import { runCommand } from '../host/dev-servers/provision/programs.js';
import { unpackedPrograms } from '../host/dev-servers/provision/distribution-packages.js';
import { temporaryDirectory } from './support/services.js';

/** Servers of other commands run from it. */
describe('a cache of unpacked packages', () => {
  const write = (text: string) => (folder: string) => {
    writeFileSync(join(folder, 'program'), text);
    return Promise.resolve();
  };
  const contextOf = (cacheDirectory: string): ServiceContext => ({
    name: 'rabbitmq',
    title: 'RabbitMQ',
    folder: cacheDirectory,
    provision: { cacheDirectory },
    progress: () => undefined,
    signal: new AbortController().signal,
  });

  test('stays as it is when a check of its programs is not done in time', async (t) => {
    const context = contextOf(temporaryDirectory(t));
    const folder = await cachedFolder({ cache: cacheFolder(context), key: 'rabbitmq', context }, write('whole'));
    const before = statSync(folder).ino;
    const programs = await unpackedPrograms(context, {
      names: [],
      together: /^$/,
      programsIn: (root) => root,
      check: () => runCommand('sleep', { args: ['60'], timeoutMs: 20 }),
    });
    // Undefined on a system that has no such packages.
    assert.ok(programs === undefined || programs === join(folder, 'root'));
    assert.equal(statSync(folder).ino, before);
    assert.equal(readFileSync(join(folder, 'program'), 'utf8'), 'whole');
  });

  test('is replaced when it is damaged, once, and only when another one is ready', async (t) => {
    const context = contextOf(temporaryDirectory(t));
    const cache = join(context.folder, 'cache');
    const textIn = (folder: string): string => readFileSync(join(folder, 'program'), 'utf8');
    const entry = { cache, key: 'one', context, isDamaged: (each: string) => Promise.resolve(textIn(each) === 'bad') };
    const folder = await cachedFolder(entry, write('bad'));
    await assert.rejects(
      cachedFolder(entry, () => Promise.reject(new Error('no network'))),
      /no network/,
    );
    assert.equal(textIn(folder), 'bad');
    let fills = 0;
    const fill = async (draft: string): Promise<void> => {
      fills += 1;
      assert.equal(textIn(folder), 'bad');
      await write('good')(draft);
    };
    await Promise.all([cachedFolder(entry, fill), cachedFolder(entry, fill)]);
    assert.equal(fills, 1);
    assert.equal(textIn(folder), 'good');
    assert.deepEqual(readdirSync(cache), ['one']);
  });
});
