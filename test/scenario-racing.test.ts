import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { rmSync } from 'node:fs';
import { appendFile, chmod, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type LifecycleEvent, lifecycleChannel } from '../host/observe/channels.js';
import { describeBundle, writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { Load } from './support/load.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** Longer than any removal or settling takes. */
const QUIET_MS = 800;

describe('drops that race, under a load on the domain that they are of', () => {
  let host: TestHost;
  let load: Load;
  let nextMinor = 1;
  const ends: (() => unknown)[] = [];
  // n.b. what `after` is told within `before` would happen at its end.
  const teardown = { after: (end: () => unknown) => void ends.push(end) };
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });

  before(async () => {
    const plugins = { incompleteMs: 700, maxBundleBytes: 200_000 };
    host = await startTestHost(teardown, { services, config: { plugins } });
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.0.0' }));
    await host.active('notes', '1.0.0');
    load = await Load.start(teardown, host, { callers: 1, pauseMs: 10 });
  });

  /** A version that was not there before. */
  const fresh = (): string => `1.${nextMinor++}.0`;
  const dropAs = (name: string, version: string): ReturnType<typeof writeBundle> =>
    writeBundle(host.pluginsDirectory, notesBundle({ version, name }));
  const place = (name: string): string => join(host.pluginsDirectory, name);
  const serving = (): string | undefined => host.transitions().findLast(({ state }) => state === 'active')?.version;

  /** The version that serves in the end: when no version has changed its state for a while, the old ones are gone. */
  async function endsOn(...versions: readonly string[]): Promise<string> {
    const calledAt = Date.now();
    // n.b. on a busy machine the last drop may not have been noticed yet when all else is quiet.
    await eventually(`nothing is on its way, and ${versions.join(' or ')} serves`, () => {
      const quietMs = Date.now() - Math.max(calledAt, host.transitions().at(-1)?.time ?? 0);
      return quietMs > QUIET_MS && versions.includes(serving() ?? '');
    });
    const version = serving() ?? '';
    const asked = load.asked.length;
    await load.more(10);
    const self = load.asked.slice(asked).find(({ op, reply }) => op === 'version' && reply?.ok === true)?.reply;
    if (self?.ok === true) assert.equal(self.data, version);
    assert.deepEqual(load.codes, { ok: load.asked.length });
    return version;
  }

  const refusedSince = (count: number): string[] =>
    host
      .transitions()
      .slice(count)
      .filter(({ state }) => state === 'rejected')
      .flatMap(({ findings }) => (findings ?? []).map(({ code }) => code));

  for (const stage of ['received', 'verified', 'probed', 'prepared', 'active'] as const) {
    it(`end on the version before when the bundle is removed at '${stage}'`, async () => {
      const count = host.transitions().length;
      const before = serving() ?? '';
      const version = fresh();
      const remove = (message: unknown): void => {
        const event = message as LifecycleEvent;
        if (event.version === version && event.state === stage) rmSync(place('other.mjs'), { force: true });
      };
      subscribe(lifecycleChannel.name, remove);
      try {
        await dropAs('other.mjs', version);
        await eventually('the stage is reached', () =>
          host.transitions().some((line) => line.version === version && line.state === stage),
        );
        await endsOn(before);
        assert.deepEqual(refusedSince(count), []);
      } finally {
        unsubscribe(lifecycleChannel.name, remove);
      }
    });
  }

  it('end on one of two entries that come at the same instant, and on the other when that one goes', async () => {
    const count = host.transitions().length;
    const versions = [fresh(), fresh()] as const;
    const before = serving() ?? '';
    await Promise.all([dropAs('left.mjs', versions[0]), dropAs('right.mjs', versions[1])]);
    const first = await endsOn(...versions);
    const isLeft = first === versions[0];
    await rm(place(isLeft ? 'left.mjs' : 'right.mjs'));
    await endsOn(isLeft ? versions[1] : versions[0]);
    await rm(place(isLeft ? 'right.mjs' : 'left.mjs'));
    await endsOn(before);
    assert.deepEqual(refusedSince(count), []);
  });

  it('change nothing when one version is there under two names and one of them goes', async () => {
    const version = fresh();
    await dropAs('notes.mjs', version);
    await endsOn(version);
    const count = host.transitions().length;
    await dropAs('twin.mjs', version);
    await quietFor(QUIET_MS);
    await rm(place('notes.mjs'));
    await quietFor(QUIET_MS);
    await rename(place('twin.mjs'), place('notes.mjs'));
    await endsOn(version);
    const moved = host.transitions().slice(count);
    assert.deepEqual(
      moved.filter(({ state }) => state !== 'retired'),
      [],
    );
  });

  it('change nothing when an entry is renamed but for the case of a letter', async () => {
    const version = serving() ?? '';
    const count = host.transitions().length;
    await rename(place('notes.mjs'), place('Notes.mjs'));
    await quietFor(QUIET_MS);
    await rename(place('Notes.mjs'), place('notes.mjs'));
    await endsOn(version);
    assert.deepEqual(host.transitions().slice(count), []);
  });

  it('end on the last of 50 in a second', async () => {
    const count = host.transitions().length;
    let last = '';
    for (let n = 0; n < 50; n += 1) {
      last = fresh();
      await dropAs('notes.mjs', last);
      // 50 of them in about a second.
      await delay(15);
    }
    await endsOn(last);
    assert.deepEqual(refusedSince(count), []);
  });

  it('leave the old version alone when a file grows for ever, which is refused while it grows', async () => {
    const before = serving() ?? '';
    const count = host.transitions().length;
    const growing = new AbortController();
    const { files, name } = describeBundle(notesBundle({ version: fresh() }));
    await writeFile(place('grows.mjs'), files.get(name) ?? '');
    const grow = async (): Promise<void> => {
      while (!growing.signal.aborted) {
        await appendFile(place('grows.mjs'), ' '.repeat(20_000));
        // Paces the writer, so that the watcher sees it at many lengths.
        await delay(20);
      }
    };
    const grown = grow();
    await eventually('it is refused', () => refusedSince(count).includes('BEDS_ADMISSION_TOO_LARGE'));
    await quietFor(QUIET_MS * 2);
    growing.abort();
    await grown;
    await rm(place('grows.mjs'));
    await endsOn(before);
    assert.deepEqual(refusedSince(count), ['BEDS_ADMISSION_TOO_LARGE']);
  });

  it('serve on when a link takes the place of the bundle, and take the next bundle there', async () => {
    const before = serving() ?? '';
    const count = host.transitions().length;
    const { files, name } = describeBundle(notesBundle({ version: fresh() }));
    await writeFile(place('elsewhere.txt'), files.get(name) ?? '');
    await symlink(place('elsewhere.txt'), place('.link'));
    await rename(place('.link'), place('notes.mjs'));
    await eventually('it is refused', () => refusedSince(count).includes('BEDS_ADMISSION_NOT_REGULAR'));
    await endsOn(before);
    const version = fresh();
    await dropAs('notes.mjs', version);
    await endsOn(version);
  });

  it('serve as soon as a bundle that nobody could read can be read', async (t) => {
    if (process.getuid?.() === 0) {
      t.skip('nothing is unreadable for root');
      return;
    }
    const version = fresh();
    const { files, name } = describeBundle(notesBundle({ version }));
    const draft = place('.draft');
    await writeFile(draft, files.get(name) ?? '');
    await chmod(draft, 0o000);
    const count = host.transitions().length;
    await rename(draft, place('notes.mjs'));
    await eventually('it is refused', () => refusedSince(count).includes('BEDS_ADMISSION_UNREADABLE'));
    await chmod(place('notes.mjs'), 0o644);
    await endsOn(version);
  });

  it('have lost no write and done none twice', async () => {
    await load.stop();
    await load.assertWrites();
    load.assertVersionsWereLive();
  });
});
