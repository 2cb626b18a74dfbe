import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import type { ServiceContext } from '../host/dev-servers/contract.js';
import { cacheFolder, cachedFolder } from '../host/dev-servers/provision/package-cache.js';
import { runCommand } from '../host/dev-servers/provision/programs.js';
import { giveOwnLoader } from '../host/dev-servers/provision/newer-servers.js';
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
    newer: undefined,
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

describe('an unpacked tree with a C library of its own', () => {
  const [library, loader] = ['/usr/lib/x86_64-linux-gnu/libc.so.6', '/lib64/ld-linux-x86-64.so.2'];
  const skip = existsSync(library) && existsSync(loader) ? false : 'needs a Linux with glibc of Debian on x64';

  test('runs its programs with it, wherever it is, with their arguments and their own name', { skip }, async (t) => {
    const made = join(temporaryDirectory(t), 'made');
    for (const file of [library, join('/usr', loader), '/usr/bin/cat', '/usr/bin/env']) {
      mkdirSync(dirname(join(made, file)), { recursive: true });
      copyFileSync(file, join(made, file));
    }
    giveOwnLoader(made);
    const root = join(dirname(made), 'moved');
    renameSync(made, root);
    const text = 'two  words "quoted" $HOME';
    const run = (name: string, args: readonly string[]): Promise<string> =>
      runCommand(join(root, 'usr', 'bin', name), { args, timeoutMs: 10_000 });
    const maps = await run('cat', ['/proc/self/maps']);
    const mapped = new Set(maps.match(/\/\S+\.so\S*/g));
    assert.deepEqual(
      [...mapped].filter((file) => !file.startsWith(root)),
      [],
    );
    assert.ok(mapped.has(join(root, library)));
    assert.equal(await run('env', ['printf', '%s', text]), text);
    // What it starts is the system's.
    assert.doesNotMatch(await run('env', ['cat', '/proc/self/maps']), new RegExp(root));
    assert.match(await run('cat', ['/proc/self/cmdline']), /--argv0\0[^\0]*moved\/usr\/bin\/cat\0/);
  });
});
