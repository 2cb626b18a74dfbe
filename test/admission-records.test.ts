import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { appendFile, chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseManifest } from '#sdk/template';
import { loadStaged, pruneStage, stageBundle, type BundleBytes } from '../host/deploy/admit/stage.js';
import { openHistory, readHistory, type HistoryEntry } from '../host/deploy/history.js';
import { temporaryDirectory } from './support/admission.js';
import { type FaultEvent, faultChannel } from '../host/observe/channels.js';
import { claimState } from '../host/deploy/state-claim.js';
import { identify } from '../host/process-identity.js';
import { describeBundle } from './support/bundles.js';

const received = { domain: 'notes', version: '1.0.0', hash: 'a', state: 'received' } as const;
const finding = { code: 'BEDS_ADMISSION_SYNTAX', message: 'No.' };

/** Runs `work` in a directory whose disk is small enough to be filled; skips the test where none may be mounted. */
async function onSmallDisk(t: TestContext, work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await temporaryDirectory(t);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'beds-test', directory]);
  if (mounted.status !== 0) {
    t.skip('only root may mount a disk that is small enough to be full');
    return;
  }
  try {
    await work(directory);
  } finally {
    spawnSync('umount', [directory]);
  }
}

async function fillAndMend(directory: string): Promise<void> {
  const filler = join(directory, 'filler');
  const history = await openHistory({ directory });
  await history.append([received]);
  // Less is left than a line takes.
  await fillDisk(filler);
  const long = { ...received, state: 'rejected', findings: [{ ...finding, message: 'x'.repeat(8_000) }] } as const;
  await assert.rejects(history.append([long]), { code: 'BEDS_ADMISSION_HISTORY_UNWRITABLE' });
  assert.deepEqual(statesOf(history.entries), ['notes received', 'notes rejected'], 'it is known all the same');
  await history.close();
  await appendFile(join(directory, 'history.jsonl'), '{"torn').catch(() => undefined);

  const again = await openHistory({ directory });
  assert.deepEqual(statesOf(again.entries), ['notes received']);
  await rm(filler);
  await again.append([{ ...received, state: 'active' }]);
  assert.deepEqual(statesOf(await readHistory(directory)), ['notes received', 'notes active']);
  await again.close();
}

async function fillDisk(path: string): Promise<void> {
  for (let free = true; free;) {
    free = await appendFile(path, 'x'.repeat(4_096)).then(
      () => true,
      () => false,
    );
  }
}

function statesOf(entries: readonly HistoryEntry[]): string[] {
  return entries.map(({ domain, state }) => `${domain} ${state}`);
}

describe('the directory of stage and history', () => {
  it('belongs to one live process at a time', async (t) => {
    const directory = join(await temporaryDirectory(t), '.beds');
    const release = claimState(directory);
    const path = join(directory, 'host.pid');
    assert.match(await readFile(path, 'utf8'), new RegExp(`^${String(process.pid)} .+\\n$`));
    const parents = `${String(process.ppid)} ${identify(process.ppid)?.startedAt ?? ''}\n`;
    await writeFile(path, parents);
    assert.throws(() => claimState(directory), { code: 'BEDS_ADMISSION_STATE_IN_USE' });
    release();
    assert.equal(await readFile(path, 'utf8'), parents);
  });

  it('is taken over where a later process has the id of the one that is gone', async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'host.pid'), `${String(process.ppid)} 1\n`);
    claimState(directory)();
    await assert.rejects(stat(join(directory, 'host.pid')), { code: 'ENOENT' });
  });

  it('is taken over from a process that is gone', async (t) => {
    const directory = await temporaryDirectory(t);
    const gone = spawnSync(process.execPath, ['-e', '']);
    await writeFile(join(directory, 'host.pid'), `${String(gone.pid)} 1\n`);
    claimState(directory)();
    await assert.rejects(stat(join(directory, 'host.pid')), { code: 'ENOENT' });
  });

  it('does not keep a host from starting where its disk is full, and says so', async (t) => {
    const faults: FaultEvent[] = [];
    const note = (fault: unknown): number => faults.push(fault as FaultEvent);
    subscribe(faultChannel.name, note);
    t.after(() => unsubscribe(faultChannel.name, note));
    await onSmallDisk(t, async (directory) => {
      await fillDisk(join(directory, 'filler'));
      claimState(directory)();
      assert.deepEqual(
        faults.map(({ error }) => (error as { readonly code?: string }).code),
        ['BEDS_ADMISSION_STATE_UNWRITABLE'],
      );
      await rm(join(directory, 'filler'));
      claimState(directory)();
      assert.equal(faults.length, 1);
    });
  });
});

describe('the history', () => {
  it('is noticed and repaired after the disk was full, which does not keep a host from starting', async (t) => {
    await onSmallDisk(t, fillAndMend);
  });

  it('survives the process that wrote it, and is read by others meanwhile', async (t) => {
    const directory = join(await temporaryDirectory(t), 'new', '.beds');
    assert.deepEqual(await readHistory(directory), []);
    const history = await openHistory({ directory });
    await history.append([received]);
    await history.append([{ ...received, state: 'rejected', findings: [finding], ms: 12 }]);
    assert.match(history.entries.at(-1)?.at ?? '', /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.deepEqual(await readHistory(directory), history.entries);
    await history.close();
    const again = await openHistory({ directory });
    assert.deepEqual(statesOf(again.entries), ['notes received', 'notes rejected']);
    assert.deepEqual(again.entries.at(-1)?.findings, [finding]);
    await Promise.all([again.close(), again.close()]);
  });

  it('loses no line to one that was torn, wherever it was torn', async (t) => {
    const directory = await temporaryDirectory(t);
    const history = await openHistory({ directory });
    await history.append([received]);
    await history.append([{ ...received, state: 'active' }]);
    await history.close();
    const path = join(directory, 'history.jsonl');
    const whole = await readFile(path, 'utf8');
    const second = whole.indexOf('\n') + 1;
    for (let length = second; length < whole.length; length += 7) {
      await writeFile(path, whole.slice(0, length));
      assert.deepEqual(statesOf(await readHistory(directory)), ['notes received']);
      const mended = await openHistory({ directory });
      await mended.append([{ ...received, state: 'draining' }]);
      await mended.close();
      assert.deepEqual(statesOf(await readHistory(directory)), ['notes received', 'notes draining']);
    }
    await writeFile(path, whole.slice(0, -1));
    const mended = await openHistory({ directory });
    await mended.append([{ ...received, state: 'draining' }]);
    await mended.close();
    assert.deepEqual(statesOf(await readHistory(directory)), ['notes received', 'notes active', 'notes draining']);
  });

  it('skips lines that are not its own', async (t) => {
    const directory = await temporaryDirectory(t);
    await appendFile(join(directory, 'history.jsonl'), 'null\n7\n{"domain":"x"}\n\n{"domain":"x","state":"odd"}\n');
    assert.deepEqual(await readHistory(directory), []);
  });

  it('keeps the newest entries of every domain, and stays small', async (t) => {
    const directory = await temporaryDirectory(t);
    const history = await openHistory({ directory, keepPerDomain: 3 });
    await history.append([{ ...received, domain: 'quiet' }]);
    await Promise.all(
      Array.from({ length: 450 }, (_, index) => history.append([{ ...received, version: `1.0.${index}` }])),
    );
    await history.close();
    const kept = await readHistory(directory);
    assert.ok(kept.length < 250, `${kept.length} lines are left`);
    assert.equal(kept[0]?.domain, 'quiet');
    assert.equal(kept.at(-1)?.version, '1.0.449');
  });

  it('says so when it cannot be written', async (t) => {
    const directory = await temporaryDirectory(t);
    await writeFile(join(directory, 'file'), '');
    const opening = openHistory({ directory: join(directory, 'file') });
    await assert.rejects(opening, { code: 'BEDS_ADMISSION_HISTORY_UNWRITABLE' });
  });
});

describe('the stage', () => {
  function bytesOf(version: string, domain = 'notes'): BundleBytes {
    const { files, hash } = describeBundle({ version, domain });
    const manifestText = files.get('manifest.json') ?? '';
    const parsed = parseManifest(manifestText);
    assert.ok(parsed.ok);
    const code = Buffer.from(files.get('index.mjs') ?? '');
    return { hash, manifest: parsed.manifest, manifestText, files: new Map([['index.mjs', code]]) };
  }

  it('holds a private, read-only copy named by its hash', async (t) => {
    const stageDirectory = await temporaryDirectory(t);
    const bytes = bytesOf('1.0.0');
    const staged = await stageBundle(bytes, stageDirectory);
    assert.equal(staged.directory, join(stageDirectory, bytes.hash));
    assert.equal((await stat(join(staged.directory, 'index.mjs'))).mode & 0o777, 0o400);
    assert.deepEqual(await loadStaged(bytes.hash, stageDirectory), staged);
    assert.deepEqual(await stageBundle(bytes, stageDirectory), staged);
    assert.deepEqual(await readdir(stageDirectory), [bytes.hash]);
  });

  it('notices a copy that was changed, and makes a new one', async (t) => {
    const stageDirectory = await temporaryDirectory(t);
    const bytes = bytesOf('1.0.0');
    const { directory } = await stageBundle(bytes, stageDirectory);
    await chmod(join(directory, 'index.mjs'), 0o600);
    await writeFile(join(directory, 'index.mjs'), 'process.exit(1)');
    for (const hash of [bytes.hash, 'f'.repeat(64), '../..']) {
      await assert.rejects(loadStaged(hash, stageDirectory), { code: 'BEDS_ADMISSION_STAGE_DAMAGED' });
    }
    await stageBundle(bytes, stageDirectory);
    await loadStaged(bytes.hash, stageDirectory);
  });

  it('keeps the newest versions of each domain, and whatever is in use', async (t) => {
    const stageDirectory = await temporaryDirectory(t);
    const hashes: string[] = [];
    for (const version of ['1.0.0', '1.1.0', '1.2.0', '1.3.0']) {
      hashes.push((await stageBundle(bytesOf(version), stageDirectory)).hash);
      // Longer than a tick of the clock by which files are stamped.
      await sleep(15);
    }
    const other = await stageBundle(bytesOf('1.0.0', 'other'), stageDirectory);
    const inUse = new Set([hashes[0] ?? '']);
    await pruneStage({ stageDirectory, keepVersions: 2, inUse });
    const expected = [hashes[0], hashes[2], hashes[3], other.hash].sort();
    assert.deepEqual((await readdir(stageDirectory)).sort(), expected);
  });
});
