import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { watchDrops } from '../host/deploy/sources/plugin-directory.js';
import { asPlainUser, startWatching, temporaryDirectory, type Watching } from './support/admission.js';
import { writeBundle } from './support/bundles.js';
import { eventually, quietFor } from './support/eventually.js';

/** Several looks, and longer than any removal takes. */
const QUIET_MS = 700;
const FEW_FILES = 256;
const ENOUGH_FILES = 1_024;
const OPTIONS = { scanIntervalMs: 40, incompleteMs: 200 };

/** A watcher over a directory that holds a bundle of each of these domains. */
async function watchDomains(t: TestContext, domains: readonly string[], form?: 'file'): Promise<Watching> {
  const directory = join(await temporaryDirectory(t), 'plugins');
  await mkdir(directory);
  // Others may go there, and nobody but root may write.
  await chmod(dirname(directory), 0o755);
  for (const domain of domains)
    await writeBundle(directory, { domain, name: nameOf(domain, form), ...(form && { form }) });
  const watching = await startWatching(t, { ...OPTIONS, directory });
  assert.equal(watching.record.seen.length, domains.length);
  return watching;
}

function nameOf(domain: string, form?: 'file'): string {
  return form === 'file' ? `${domain}.mjs` : domain;
}

/** That something was said once, nothing was taken for removed, and its end was said once. */
async function assertSaidAndOver(
  { record, watcher }: Watching,
  code: string,
  repair: () => Promise<unknown>,
): Promise<void> {
  const before = record.summary;
  await eventually(`${code} is said`, () => record.troubles.length > 0);
  await quietFor(QUIET_MS);
  assert.deepEqual([record.troubles, record.recovered], [[code], []]);
  await repair();
  await watcher.scan();
  await eventually('it is over', () => record.recovered.length > 0);
  await quietFor(QUIET_MS);
  assert.deepEqual([record.troubles, record.recovered.length, record.summary], [[code], 1, before]);
}

async function assertNoticed({ record, directory }: Watching): Promise<void> {
  const { length } = record.seen;
  await writeBundle(directory, { domain: 'later', name: 'later' });
  assert.equal((await record.at(length)).what, 'complete');
}

/** Opens as many files as this process may have, after it was allowed fewer. Returns what closes them. */
function takeAllFiles(): () => void {
  const allow = (count: number): unknown =>
    execFileSync('prlimit', [`--nofile=${String(count)}:`, '--pid', String(process.pid)]);
  allow(FEW_FILES);
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EMFILE');
  }
  return () => {
    for (const file of taken.splice(0)) closeSync(file);
    allow(ENOUGH_FILES);
  };
}

describe('a failed look at the plugin directory is no removal, is said once, and its end is said', () => {
  it('when the directory may be listed but not searched', async (t) => {
    const watching = await watchDomains(t, ['notes', 'tasks']);
    await chmod(watching.directory, 0o444);
    await asPlainUser((becomeOwner) =>
      assertSaidAndOver(watching, 'DIRECTORY_UNREADABLE', async () => {
        becomeOwner();
        await chmod(watching.directory, 0o755);
      }),
    );
    await assertNoticed(watching);
  });

  for (const form of [undefined, 'file'] as const) {
    it(`when the directory may not even be listed (${form ?? 'folder'})`, async (t) => {
      const watching = await watchDomains(t, ['notes', 'tasks'], form);
      await chmod(watching.directory, 0o000);
      await asPlainUser((becomeOwner) =>
        assertSaidAndOver(watching, 'DIRECTORY_UNREADABLE', async () => {
          becomeOwner();
          await chmod(watching.directory, 0o755);
        }),
      );
      await assertNoticed(watching);
    });
  }

  for (const mode of [0o000, 0o444]) {
    it(`when the folder of a bundle that serves has mode ${mode.toString(8)}`, async (t) => {
      const watching = await watchDomains(t, ['notes', 'tasks']);
      const folder = join(watching.directory, 'notes');
      await chmod(folder, mode);
      await asPlainUser((becomeOwner) =>
        assertSaidAndOver(watching, 'DIRECTORY_UNREADABLE', async () => {
          becomeOwner();
          await chmod(folder, 0o755);
        }),
      );
      await rm(folder, { recursive: true });
      assert.equal((await watching.record.at(2)).what, 'removed');
    });
  }

  it('when this process may open no more files', async (t) => {
    const watching = await watchDomains(t, ['notes', 'tasks']);
    const release = takeAllFiles();
    t.after(release);
    await assertSaidAndOver(watching, 'DIRECTORY_UNREADABLE', async () => release());
    await assertNoticed(watching);
  });
});

// Much of them is waiting, and none changes what the others may do.
describe(
  'a directory that is no longer what it was is not removed, is said once, and its end is said',
  { concurrency: true },
  () => {
    it('when the directory is moved away and an empty one is put back, and when it is back', async (t) => {
      for (const domains of [['notes'], ['notes', 'tasks']]) {
        const watching = await watchDomains(t, domains);
        const { directory } = watching;
        await rename(directory, `${directory}.away`);
        await mkdir(directory);
        await assertSaidAndOver(watching, 'DIRECTORY_REPLACED', async () => {
          await rm(directory, { recursive: true });
          await rename(`${directory}.away`, directory);
        });
        await rm(join(directory, 'notes'), { recursive: true });
        assert.equal((await watching.record.at(domains.length)).what, 'removed');
      }
    });

    it('when the directory is removed with all that is in it, and made anew', async (t) => {
      const watching = await watchDomains(t, ['notes']);
      await rm(watching.directory, { recursive: true });
      await quietFor(QUIET_MS);
      await mkdir(watching.directory);
      await eventually('it is said', () => watching.record.troubles.includes('DIRECTORY_REPLACED'));
      await quietFor(QUIET_MS);
      assert.deepEqual(watching.record.summary, ['complete notes']);
    });

    it('when that happens in one moment', async (t) => {
      const watching = await watchDomains(t, ['notes']);
      for (let round = 0; round < 3; round += 1) {
        execFileSync('sh', ['-c', `rm -r '${watching.directory}' && mkdir '${watching.directory}'`]);
        await quietFor(QUIET_MS);
        assert.deepEqual(
          [watching.record.summary, watching.record.troubles],
          [['complete notes'], ['DIRECTORY_REPLACED']],
        );
      }
    });

    it('when a file or a link takes the place of the directory', async (t) => {
      const watching = await watchDomains(t, ['notes', 'tasks']);
      const { directory } = watching;
      const away = `${directory}.away`;
      for (const replace of [() => writeFile(directory, ''), () => symlink(away, directory)]) {
        await rename(directory, away);
        await replace();
        watching.record.errors.length = 0;
        watching.record.recovered.length = 0;
        await eventually('it is said', () => watching.record.troubles.includes('DIRECTORY_UNSAFE'));
        await quietFor(QUIET_MS);
        await rm(directory);
        await rename(away, directory);
        await eventually('it is over', () => watching.record.recovered.some((words) => words.includes('trusted')));
      }
      assert.deepEqual(watching.record.summary, ['complete notes', 'complete tasks']);
      await assertNoticed(watching);
    });

    it('when its volume is unmounted', async (t) => {
      const directory = join(await temporaryDirectory(t), 'plugins');
      await mkdir(directory);
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', directory], { stdio: 'ignore' });
      } catch {
        t.skip('volumes cannot be mounted here');
        return;
      }
      t.after(() => {
        execFileSync('sh', ['-c', `umount '${directory}' 2>/dev/null || true`]);
      });
      await writeBundle(directory, { name: 'notes' });
      const watching = await startWatching(t, { ...OPTIONS, directory });
      await watching.record.at(0);
      execFileSync('umount', [directory]);
      await eventually('it is said', () => watching.record.troubles.includes('DIRECTORY_REPLACED'));
      await quietFor(QUIET_MS);
      assert.deepEqual(watching.record.summary, ['complete notes']);
      assert.deepEqual(watching.record.troubles, ['DIRECTORY_REPLACED']);
    });

    it('when all versions of the only domain go at once', async (t) => {
      const watching = await watchDomains(t, ['notes']);
      const { directory, record } = watching;
      await writeBundle(directory, { version: '1.1.0' });
      await record.at(1);
      execFileSync('sh', ['-c', `mkdir '${directory}.aside' && mv '${directory}'/* '${directory}.aside'`]);
      await assertSaidAndOver(watching, 'DIRECTORY_EMPTIED', async () => {
        execFileSync('sh', ['-c', `mv '${directory}.aside'/* '${directory}'`]);
      });
    });

    it('when the bundles of all domains go at once; not when one goes, and then the other', async (t) => {
      const watching = await watchDomains(t, ['notes', 'tasks']);
      const { directory, record } = watching;
      execFileSync('sh', ['-c', `mkdir '${directory}.aside' && mv '${directory}'/* '${directory}.aside'`]);
      await assertSaidAndOver(watching, 'DIRECTORY_EMPTIED', async () => {
        execFileSync('sh', ['-c', `mv '${directory}.aside'/* '${directory}'`]);
      });
      await rm(join(directory, 'notes'), { recursive: true });
      assert.equal((await record.at(2)).what, 'removed');
      await rm(join(directory, 'tasks'), { recursive: true });
      assert.equal((await record.at(3)).what, 'removed');
    });

    it('when a folder loses its bundle but is still there', async (t) => {
      const watching = await watchDomains(t, ['notes', 'tasks']);
      const folder = join(watching.directory, 'notes');
      execFileSync('sh', ['-c', `mkdir '${folder}/.aside' && mv '${folder}'/*.* '${folder}/.aside'`]);
      await assertSaidAndOver(watching, 'FOLDER_EMPTIED', async () => {
        execFileSync('sh', ['-c', `mv '${folder}/.aside'/* '${folder}' && rmdir '${folder}/.aside'`]);
      });
    });
  },
);

describe('a directory that takes the place of the one before', () => {
  it('is watched, its versions take over, and what it lacks serves on', async (t) => {
    const watching = await watchDomains(t, ['notes', 'tasks']);
    const { directory, record } = watching;
    const green = `${directory}.green`;
    await mkdir(green);
    await writeBundle(green, { version: '1.1.0', name: 'notes-new' });
    await rename(directory, `${directory}.blue`);
    await rename(green, directory);
    await record.at(3);
    await eventually('it is said', () => record.troubles.includes('DIRECTORY_REPLACED'));
    assert.deepEqual(record.summary.slice(2), ['complete notes-new', 'removed notes']);
    assert.match(String(record.errors.at(-1)), /Missing: tasks, of tasks\./);
    // No interval scan: only an event tells of it so soon.
    const droppedAt = performance.now();
    await assertNoticed(watching);
    assert.ok(performance.now() - droppedAt < 1_000);
    await rm(join(directory, 'notes-new'), { recursive: true });
    assert.equal((await record.at(5)).what, 'removed');
  });

  it('may be swapped by a link above it', async (t) => {
    const root = await temporaryDirectory(t);
    for (const colour of ['blue', 'green']) {
      await mkdir(join(root, colour, 'plugins'), { recursive: true });
      await writeBundle(join(root, colour, 'plugins'), {
        name: 'notes',
        version: colour === 'blue' ? '1.0.0' : '1.1.0',
      });
    }
    await symlink('blue', join(root, 'current'));
    const directory = join(root, 'current', 'plugins');
    const watching = await startWatching(t, { ...OPTIONS, directory });
    await watching.record.at(0);
    await symlink('green', join(root, 'next'));
    await rename(join(root, 'next'), join(root, 'current'));
    await watching.record.at(1);
    await assertNoticed(watching);
    assert.deepEqual(watching.record.summary, ['complete notes', 'complete notes', 'complete later']);
    assert.deepEqual(watching.record.errors, []);
  });
});

describe('a plugin directory that everyone may write to', () => {
  it('is not read while a host runs either, until its permissions are fixed', async (t) => {
    const watching = await watchDomains(t, ['notes']);
    const { directory, record } = watching;
    await chmod(directory, 0o777);
    await writeBundle(directory, { domain: 'planted', name: 'planted' });
    await eventually('it is said', () => record.troubles.length > 0);
    await quietFor(QUIET_MS);
    assert.deepEqual([record.troubles, record.summary], [['DIRECTORY_UNSAFE'], ['complete notes']]);
    await chmod(directory, 0o755);
    await record.at(1);
    assert.deepEqual(record.summary, ['complete notes', 'complete planted']);
  });

  it('is reported instead of refused where something serves already, and so is one that is no directory', async (t) => {
    const parent = await temporaryDirectory(t);
    const open = join(parent, 'open');
    await mkdir(open);
    await chmod(open, 0o777);
    await writeFile(join(parent, 'file'), '');
    for (const name of ['open', 'file']) {
      const directory = join(parent, name);
      const { record } = await startWatching(t, { ...OPTIONS, directory, isOptional: true });
      assert.deepEqual(record.troubles, ['DIRECTORY_UNSAFE']);
      const none = (): undefined => undefined;
      const handlers = { complete: none, refused: none, removed: none, withdrawn: none, error: none };
      const limits = { maxBundleBytes: 1_000, maxFiles: 2 };
      await assert.rejects(watchDrops({ ...OPTIONS, ...limits, directory }, handlers), {
        code: 'BEDS_ADMISSION_DIRECTORY_UNSAFE',
      });
    }
  });
});
