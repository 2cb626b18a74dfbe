import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { link, mkdir, open, rename, rm, symlink, writeFile, chmod, cp, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { watchDrops } from '../host/deploy/sources/plugin-directory.js';
import { startWatching, temporaryDirectory, type DropRecord } from './support/admission.js';
import { eventually, quietFor } from './support/eventually.js';
import { ownTimeMs } from './support/own-time.js';
import { describeBundle, writeBundle, type BundleOptions } from './support/bundles.js';

/** From the last byte to the report, in own time. */
const NOTICED_MS = 300;

function onlyFile(options: BundleOptions): { readonly name: string; readonly text: string } {
  const { name, files } = describeBundle({ ...options, form: 'file' });
  return { name, text: files.get(name) ?? '' };
}

async function assertNoticed(record: DropRecord, index: number, finishedAt: number): Promise<string> {
  const event = await record.at(index);
  assert.ok(event.what === 'complete', JSON.stringify(event));
  assert.ok(event.at - finishedAt < NOTICED_MS, `noticed after ${Math.round(event.at - finishedAt)} ms`);
  return event.drop.hash;
}

describe('a drop is noticed within 300 ms of being complete', () => {
  for (const form of ['file', 'folder'] as const) {
    it(`when it appears by an atomic rename (${form}), and when another takes its place so`, async (t) => {
      const { directory, record } = await startWatching(t);
      const one = await writeBundle(directory, { form, name: form === 'file' ? 'notes.mjs' : 'notes' });
      assert.equal(await assertNoticed(record, 0, ownTimeMs()), one.hash);
      const two = await writeBundle(directory, { form, version: '1.1.0', name: one.name });
      assert.equal(await assertNoticed(record, 1, ownTimeMs()), two.hash);
      await quietFor(500);
      assert.deepEqual(record.summary, [`complete ${one.name}`, `complete ${one.name}`]);
    });
  }

  it('when it was there before', async (t) => {
    const directory = await temporaryDirectory(t);
    await chmod(directory, 0o755);
    await writeBundle(directory, { version: '1.0.0', form: 'file' });
    // Longer than a tick of the clock by which files are stamped.
    await sleep(20);
    await writeBundle(directory, { version: '0.9.0' });
    const { record } = await startWatching(t, { directory });
    assert.deepEqual(record.summary, ['complete notes-1.0.0.mjs', 'complete notes-0.9.0']);
  });

  it('when it is copied slowly, and never before', async (t) => {
    const { directory, record } = await startWatching(t, { incompleteMs: 400 });
    const { name, text } = onlyFile({});
    const file = await open(join(directory, name), 'w');
    const step = Math.ceil(text.length / 40);
    for (let at = 0; at < text.length; at += step) {
      assert.deepEqual(record.summary, []);
      await file.write(text.slice(at, at + step));
      // Slower than the watcher looks: it sees the file at many lengths.
      await sleep(40);
    }
    const finishedAt = ownTimeMs() - 40;
    await file.close();
    await assertNoticed(record, 0, finishedAt);
    assert.equal(record.seen.length, 1);
  });

  it('when the files of a folder are copied one after the other, in any order', async (t) => {
    const { directory, record } = await startWatching(t, { incompleteMs: 400 });
    for (const order of [1, -1]) {
      const { name, files } = describeBundle({ version: `1.${order + 1}.0`, sourceMap: '{}' });
      await mkdir(join(directory, name));
      for (const [file, text] of [...files].sort(([a], [b]) => order * a.localeCompare(b))) {
        await writeFile(join(directory, name, file), text);
        // The watcher looks in between, and sees a folder that lacks files.
        await sleep(120);
      }
      await assertNoticed(record, order === 1 ? 0 : 1, ownTimeMs() - 120);
    }
    assert.equal(record.seen.length, 2);
  });

  it('when it is overwritten in place, longer or shorter', async (t) => {
    const { directory, record } = await startWatching(t);
    const texts = [1, 400, 10].map((size, index) => {
      return onlyFile({ version: `1.0.${index}`, head: `/* ${'x'.repeat(size)} */`, name: 'notes.mjs' }).text;
    });
    for (const [index, text] of texts.entries()) {
      await writeFile(join(directory, 'notes.mjs'), text);
      await assertNoticed(record, index, ownTimeMs());
    }
  });

  it('when a folder is replaced while it is being read', async (t) => {
    const { directory, record } = await startWatching(t, { maxBundleBytes: 8_000_000 });
    const big = { head: `/* ${'x'.repeat(3_000_000)} */`, name: 'notes' };
    await writeBundle(directory, { ...big, version: '1.0.0' });
    // So much that the first one is being read; there is no event for that.
    await sleep(18);
    const last = await writeBundle(directory, { ...big, version: '1.1.0' });
    const finishedAt = ownTimeMs();
    while (record.seen.at(-1)?.drop.hash !== last.hash) await record.at(record.seen.length);
    assert.ok(ownTimeMs() - finishedAt < 2 * NOTICED_MS);
    assert.ok(record.seen.every(({ what }) => what === 'complete'));
  });
});

describe('the same bytes', () => {
  it('are reported once, however often they are touched or copied over themselves', async (t) => {
    const { directory, record } = await startWatching(t, { scanIntervalMs: 50 });
    const { name, text } = onlyFile({});
    for (let time = 0; time < 4; time += 1) {
      await writeFile(join(directory, name), text);
      // Longer than from one look to the next.
      await sleep(80);
    }
    await quietFor(300);
    assert.deepEqual(record.summary, [`complete ${name}`]);
  });

  it('are reported again after they were removed, or after others took their place', async (t) => {
    const { directory, record } = await startWatching(t);
    const [a, b] = ['1.0.0', '1.1.0'].map((version) => describeBundle({ version, name: 'notes' }));
    for (const [index, version] of ['1.0.0', '1.1.0', '1.0.0'].entries()) {
      await writeBundle(directory, { version, name: 'notes' });
      await record.at(index);
    }
    assert.deepEqual(
      record.seen.map(({ drop }) => drop.hash),
      [a?.hash, b?.hash, a?.hash],
    );
    await rm(join(directory, 'notes'), { recursive: true });
    assert.equal((await record.at(3)).what, 'removed');
    await writeBundle(directory, { version: '1.0.0', name: 'notes' });
    await record.at(4);
    assert.equal(record.summary.at(-1), 'complete notes');
  });

  it('end with the last of 30 drops in a second', async (t) => {
    const { directory, record } = await startWatching(t);
    let last = '';
    for (let index = 0; index < 30; index += 1) {
      const form = index % 2 === 0 ? 'file' : 'folder';
      last = (await writeBundle(directory, { version: `1.0.${index}`, form, name: form === 'file' ? 'n.mjs' : 'n' }))
        .hash;
      // Faster than versions are reported.
      await sleep(25);
    }
    await quietFor(NOTICED_MS);
    assert.equal(record.seen.at(-1)?.drop.hash, last);
    assert.ok(
      record.seen.every(({ what }) => what === 'complete'),
      record.summary.join(),
    );
  });
});

describe('a removal', () => {
  it('is reported with what is left of the domain', async (t) => {
    const { directory, record } = await startWatching(t);
    await writeBundle(directory, { version: '1.0.0' });
    await record.at(0);
    const { path, hash } = await writeBundle(directory, { version: '1.1.0', form: 'file' });
    await record.at(1);
    await rm(path);
    const event = await record.at(2);
    const expected = { entry: 'notes-1.1.0.mjs', hash, domain: 'notes', others: ['notes-1.0.0'] };
    assert.deepEqual([event.what, event.drop], ['removed', expected]);
  });

  it('is not made of a new name: the new one is reported first', async (t) => {
    const { directory, record } = await startWatching(t);
    const { path } = await writeBundle(directory);
    await record.at(0);
    await rename(path, join(directory, 'renamed'));
    await record.at(2);
    assert.deepEqual(record.summary, ['complete notes-1.0.0', 'complete renamed', 'removed notes-1.0.0']);
  });

  it('is not made of a folder that is emptied and filled again', async (t) => {
    const { directory, record } = await startWatching(t);
    const { path, files } = await writeBundle(directory, { name: 'notes' });
    await record.at(0);
    for (const name of files.keys()) await rm(join(path, name));
    // The watcher sees the empty folder, for a shorter time than a removal takes.
    await sleep(350);
    for (const [name, text] of describeBundle({ version: '1.1.0' }).files) await writeFile(join(path, name), text);
    await record.at(1);
    assert.deepEqual(record.summary, ['complete notes', 'complete notes']);
  });

  it('of what was refused is said as such', async (t) => {
    const { directory, record } = await startWatching(t);
    await writeFile(join(directory, 'plain.mjs'), 'export default 1;');
    await record.at(0);
    await rm(join(directory, 'plain.mjs'));
    await record.at(1);
    assert.deepEqual(record.summary, ['refused plain.mjs', 'withdrawn plain.mjs']);
  });
});

describe('a drop is refused', () => {
  it('when it stays incomplete', async (t) => {
    const { directory, record } = await startWatching(t);
    const { name, text } = onlyFile({});
    await writeFile(join(directory, name), text.slice(0, -10));
    assert.deepEqual(await record.codesAt(0), ['INCOMPLETE']);
    assert.equal(record.seen[0]?.what === 'refused' && record.seen[0].drop.domain, 'notes');
    await writeFile(join(directory, name), text);
    assert.equal((await record.at(1)).what, 'complete');
    await truncate(join(directory, name), 30);
    assert.deepEqual(await record.codesAt(2), ['INCOMPLETE']);
  });

  it('when its bytes are not those that were built', async (t) => {
    const { directory, record } = await startWatching(t);
    const { name, text } = onlyFile({});
    await writeFile(join(directory, name), text.replace('return payload', 'return tampers'));
    assert.deepEqual(await record.codesAt(0), ['HASH_MISMATCH']);
  });

  it('when it has no manifest, or a wrong one: all that is wrong at once', async (t) => {
    const { directory, record } = await startWatching(t);
    await writeFile(join(directory, 'plain.mjs'), 'export default 1;');
    assert.deepEqual(await record.codesAt(0), ['MANIFEST_MISSING']);
    await writeBundle(directory, { manifest: { manifestVersion: 1, key: 7, surprise: 1 } });
    assert.deepEqual(new Set(await record.codesAt(1)), new Set(['MANIFEST_INVALID']));
    assert.ok((await record.codesAt(1)).length >= 3);
  });

  it('when it is too large, without reading it', async (t) => {
    const { directory, record } = await startWatching(t);
    const before = process.memoryUsage().arrayBuffers;
    const file = await open(join(directory, 'junk.mjs'), 'w');
    await file.truncate(50_000_000);
    await file.close();
    assert.deepEqual(await record.codesAt(0), ['TOO_LARGE']);
    assert.ok(process.memoryUsage().arrayBuffers - before < 5_000_000);
  });

  it('when it has too many files, or one too many', async (t) => {
    const { directory, record } = await startWatching(t, { maxFiles: 4 });
    const { path } = await writeBundle(directory);
    await record.at(0);
    await writeFile(join(path, 'extra.txt'), '');
    assert.deepEqual(await record.codesAt(1), ['FILE_EXTRA']);
    for (const name of ['a', 'b', 'c']) await writeFile(join(path, name), '');
    // n.b. in between, what was refused by the name of its domain is withdrawn: too many files are not read.
    assert.deepEqual(await record.codesAt(3), ['TOO_MANY_FILES']);
  });

  it('when it is a link, a pipe, has a second name, an odd name, or is open to everyone', async (t) => {
    const { directory, record } = await startWatching(t);
    const outside = await temporaryDirectory(t);
    const { path } = await writeBundle(outside, { form: 'file' });
    const folder = await writeBundle(outside, { version: '2.0.0' });
    await symlink(path, join(directory, 'link.mjs'));
    await symlink(folder.path, join(directory, 'linked-folder'));
    await link(path, join(directory, 'hard.mjs'));
    execFileSync('mkfifo', [join(directory, 'pipe.mjs')]);
    await writeBundle(directory, { form: 'file', version: '3.0.0', name: 'odd name.mjs' });
    const open = await writeBundle(outside, { version: '4.0.0', name: 'open' });
    await chmod(join(open.path, 'index.mjs'), 0o666);
    await cp(open.path, join(directory, 'open'), { recursive: true, preserveTimestamps: true });
    await chmod(join(directory, 'open', 'index.mjs'), 0o666);
    await record.at(5);
    await quietFor(300);
    const codes = Object.fromEntries(
      await Promise.all(record.seen.map(async ({ drop }, index) => [drop.entry, (await record.codesAt(index)).join()])),
    ) as Record<string, string>;
    assert.deepEqual(codes, {
      'link.mjs': 'NOT_REGULAR',
      'linked-folder': 'NOT_REGULAR',
      'hard.mjs': 'HARD_LINK',
      'pipe.mjs': 'NOT_REGULAR',
      'odd name.mjs': 'NAME_INVALID',
      open: 'WRITABLE',
    });
  });

  it('when a folder holds links, pipes or folders', async (t) => {
    const { directory, record } = await startWatching(t);
    const outside = await temporaryDirectory(t);
    const { path } = await writeBundle(outside, { name: 'notes' });
    await symlink('/etc/hostname', join(path, 'link'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    await mkdir(join(path, 'folder'));
    execFileSync('cp', ['-R', path, directory]);
    assert.deepEqual(await record.codesAt(0), ['NOT_REGULAR', 'NOT_REGULAR', 'NOT_REGULAR']);
  });
});

describe('the plugin directory', () => {
  it('may hold sources, hidden names and text beside the bundles', async (t) => {
    const { directory, record } = await startWatching(t, { incompleteMs: 100 });
    await mkdir(join(directory, 'cities'));
    await writeFile(join(directory, 'cities', 'template.ts'), '');
    await writeFile(join(directory, 'README.md'), '');
    await writeFile(join(directory, '.hidden.mjs'), '');
    await mkdir(join(directory, 'empty'));
    await quietFor(500);
    assert.deepEqual(record.summary, []);
    assert.deepEqual(record.errors, []);
  });

  it('may go away and come back: nothing is taken for removed meanwhile, and it is said once', async (t) => {
    const { directory, record, watcher } = await startWatching(t, { scanIntervalMs: 30 });
    await writeBundle(directory, { version: '1.0.0' });
    await record.at(0);
    await rename(directory, `${directory}.away`);
    await eventually('it is said', () => record.errors.length > 0);
    await rename(`${directory}.away`, directory);
    await writeBundle(directory, { version: '1.1.0' });
    await record.at(1);
    await Promise.all([watcher.close(), watcher.close()]);
    assert.deepEqual(record.summary, ['complete notes-1.0.0', 'complete notes-1.1.0']);
    assert.equal(record.errors.length, 1);
  });

  it('is left alone after close(), also when its bundles vanish at that moment', async (t) => {
    const watches = (): number => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;
    const before = watches();
    // How many turns of the event loop later the system's reports are under way differs.
    for (const turns of [1, 2, 3]) {
      const { directory, watcher } = await startWatching(t);
      const names = ['notes.mjs', 'tasks.mjs', 'cities.mjs'];
      for (const name of names) await writeBundle(directory, { form: 'file', name });
      // The watcher has found them, or is about to: both are meant.
      await sleep(100);
      for (const name of names) rmSync(join(directory, name));
      for (let turn = 0; turn < turns; turn += 1) await nextTurn();
      await watcher.close();
      await quietFor(200);
      assert.equal(watches(), before, `closed ${turns} turns later`);
    }
  });

  it('must not be a link, nor open to everyone', async (t) => {
    const parent = await temporaryDirectory(t);
    await mkdir(join(parent, 'open'));
    await chmod(join(parent, 'open'), 0o777);
    await symlink(join(parent, 'open'), join(parent, 'link'));
    const limits = { scanIntervalMs: 1_000, incompleteMs: 100, maxBundleBytes: 1_000, maxFiles: 2 };
    const none = () => undefined;
    const handlers = { complete: none, refused: none, removed: none, withdrawn: none, error: none };
    for (const name of ['open', 'link']) {
      const watching = watchDrops({ ...limits, directory: join(parent, name) }, handlers);
      await assert.rejects(watching, { code: 'BEDS_ADMISSION_DIRECTORY_UNSAFE' });
    }
  });
});
