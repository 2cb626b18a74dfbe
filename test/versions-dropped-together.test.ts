import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readHistory } from '../host/deploy/history.js';
import { compareVersions } from '../host/deploy/compare-versions.js';
import { type BundleOptions, writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, startTestHost, type TestHost, type TransitionLine } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { RolloutOrders } from './support/rollout-orders.js';
import { sharedServices, temporaryDirectory, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/** Longer than any swap that is still to come takes. */
const QUIET_MS = 900;

/** Longer than a tick of the clock by which files are stamped. */
function nextStamp(): Promise<void> {
  return delay(20);
}
const VERSIONS = ['1.10.0', '1.8.0', '1.9.0'];

describe('semantic versions', () => {
  it('are ordered by their numbers, and what leads to a release comes before it', () => {
    const ordered = [
      ...['1.0.0-0', '1.0.0-9', '1.0.0-10', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta'],
      ...['1.0.0-beta.2', '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.0.1', '1.8.0', '1.9.0', '1.10.0'],
      ...['2.0.0-rc.1', '2.0.0', '10.0.0', '90071992547409910.0.0', '90071992547409911.0.0'],
    ];
    for (const [index, version] of ordered.entries()) {
      for (const [other, lower] of ordered.entries()) {
        assert.equal(Math.sign(compareVersions(version, lower)), Math.sign(index - other), `${version} and ${lower}`);
      }
    }
    assert.equal(compareVersions('1.0.0+linux', '1.0.0+darwin'), 0);
  });
});

interface Place {
  readonly host: TestHost;
  /** Versions in the order in which they became active, since the test began. */
  readonly active: () => readonly string[];
  readonly superseded: () => readonly TransitionLine[];
  readonly drop: (version: string, more?: BundleOptions) => Promise<{ readonly hash: string; readonly path: string }>;
}

async function open(t: Teardown, config: Readonly<Record<string, unknown>> = {}): Promise<Place> {
  const host = await startTestHost(t, { services, config });
  const inState = (state: string): readonly TransitionLine[] =>
    host.transitions().filter((line) => line.domain === 'notes' && line.state === state);
  return {
    host,
    active: () => inState('active').map(({ version }) => version),
    superseded: () => inState('superseded'),
    drop: (version, more = {}) =>
      writeBundle(host.pluginsDirectory, notesBundle({ version, name: `notes-${version}.mjs`, ...more })),
  };
}

/** Bundles of these versions, outside of the plugin directory. */
async function build(t: Teardown, versions: readonly string[], more: BundleOptions = {}): Promise<string> {
  const directory = temporaryDirectory(t);
  for (const version of versions) {
    const suffix = more.form === 'folder' ? '' : '.mjs';
    await writeBundle(directory, notesBundle({ version, name: `notes-${version}${suffix}`, ...more }));
  }
  return directory;
}

async function settled({ host }: Place): Promise<void> {
  const calledAt = Date.now();
  await eventually('nothing is on its way', () => {
    return Date.now() - Math.max(calledAt, host.transitions().at(-1)?.time ?? 0) > QUIET_MS;
  });
}

async function serves({ host }: Place): Promise<unknown> {
  const client = await host.connectClient({ batching: false });
  return client.domain('notes').call('version', {});
}

const WAYS: Readonly<Record<string, readonly [form: 'file' | 'folder', command: string]>> = {
  cp: ['file', 'cp "$from"/* "$to"'],
  'cp -r': ['folder', 'cp -r "$from"/* "$to"'],
  mv: ['file', 'mv "$from"/* "$to"'],
  tar: ['file', 'tar -C "$from" -c . | tar -C "$to" -x'],
  'git pull': [
    'file',
    'git -C "$to" init -q && git -C "$from" init -q && cd "$from" && git add . && git -c user.name=a -c user.email=a@a commit -qm a && git -C "$to" pull -q "$from" HEAD',
  ],
  'a slow cp': [
    'file',
    'for file in "$from"/*; do dd if="$file" of="$to/$(basename "$file")" bs=512 2>/dev/null; done',
  ],
};

describe('versions of a domain that are dropped together', () => {
  for (const [way, [form, command]] of Object.entries(WAYS)) {
    it(`end on the highest, by ${way}; what it superseded is said`, async (t) => {
      const place = await open(t);
      const from = await build(t, VERSIONS, { form });
      execFileSync('sh', ['-c', command], { env: { ...process.env, from, to: place.host.pluginsDirectory } });
      await place.host.active('notes', '1.10.0');
      await settled(place);
      assert.equal(place.active().at(-1), '1.10.0');
      assert.equal(await serves(place), '1.10.0');
      for (const version of ['1.8.0', '1.9.0']) {
        if (place.active().includes(version)) continue;
        const line =
          place.superseded().find((each) => each.version === version) ?? assert.fail(`${version} is not said`);
        assert.match(
          line.findings?.[0]?.message ?? '',
          new RegExp(`${version} .* together with 1\\.\\d+\\.0 .* higher`),
        );
      }
    });
  }

  it('at one moment: only the highest is ever admitted; after it goes, the next one serves, also after a restart', async (t) => {
    const place = await open(t);
    const { host } = place;
    await host.host.stop();
    for (const version of VERSIONS) {
      await place.drop(version);
      // The highest is not the newest.
      await nextStamp();
    }
    await host.startAgain();
    assert.equal(await serves(place), '1.10.0');
    await settled(place);
    assert.deepEqual(place.active(), ['1.10.0']);
    const received = host.transitions().filter(({ state }) => state === 'received');
    assert.deepEqual(
      received.map(({ version }) => version),
      ['1.10.0'],
    );
    assert.deepEqual(
      place.superseded().map(({ version }) => version),
      ['1.9.0', '1.8.0'],
    );
    const history = await readHistory(join(host.pluginsDirectory, '..', host.config.state.directory));
    const entry = history.find(({ state, version }) => state === 'superseded' && version === '1.9.0');
    const words = 'notes 1.9.0 (notes-1.9.0.mjs) was dropped together with 1.10.0 (notes-1.10.0.mjs), which is higher.';
    assert.equal(entry?.findings?.[0]?.message, words);
    const orders = new RolloutOrders(t, host);
    const [status, plugins] = [await orders.run('status'), await orders.run('versions', 'notes')];
    assert.equal(status.code, 0);
    assert.match(status.stdout, /1\.8\.0 .*superseded.*BEDS_ADMISSION_SUPERSEDED/);
    assert.match(
      plugins.stdout,
      /notes 1\.9\.0 is superseded[^]*notes 1\.9\.0 \(notes-1\.9\.0\.mjs\) was dropped together/,
    );
  });

  it('fall back to the highest that is left when the one that serves is removed, also after a restart', async (t) => {
    const place = await open(t);
    const { host } = place;
    const from = await build(t, ['1.10.0', '1.7.0', '1.8.0', '1.9.0']);
    execFileSync('sh', ['-c', `cp '${from}'/* '${host.pluginsDirectory}'`]);
    await host.active('notes', '1.10.0');
    await settled(place);
    await rm(join(host.pluginsDirectory, 'notes-1.10.0.mjs'));
    await host.active('notes', '1.9.0');
    await host.host.stop();
    const { length } = host.transitions();
    await host.startAgain();
    await settled(place);
    assert.equal(await serves(place), '1.9.0');
    assert.deepEqual(
      host
        .transitions()
        .slice(length)
        .map(({ version, state }) => `${version} ${state}`),
      ['1.9.0 received', '1.9.0 verified', '1.9.0 probed', '1.9.0 prepared', '1.9.0 active'],
    );
    await rm(join(host.pluginsDirectory, 'notes-1.9.0.mjs'));
    await host.active('notes', '1.8.0');
    assert.equal(await serves(place), '1.8.0');
  });

  it('leave what serves from the stage as it is, when one of them is removed', async (t) => {
    const place = await open(t);
    const { host } = place;
    const from = await build(t, VERSIONS);
    execFileSync('sh', ['-c', `cp '${from}'/* '${host.pluginsDirectory}'`]);
    await host.active('notes', '1.10.0');
    await settled(place);
    await host.host.stop();
    await rm(join(host.pluginsDirectory, 'notes-1.10.0.mjs'));
    await host.startAgain();
    await rm(join(host.pluginsDirectory, 'notes-1.9.0.mjs'));
    await quietFor(QUIET_MS);
    await settled(place);
    assert.equal(await serves(place), '1.10.0');
    assert.ok(!place.active().includes('1.8.0'));
  });

  it('may have build metadata, also in the names that `beds build` gives them', async (t) => {
    const place = await open(t);
    await place.host.host.stop();
    for (const version of ['1.9.0+2026.1', '1.10.0+2026.2', '1.10.0+2026.3']) {
      await place.drop(version);
      await nextStamp();
    }
    await place.host.startAgain();
    assert.equal(await serves(place), '1.10.0+2026.3');
    assert.match(JSON.stringify(place.superseded()), /2026\.2\.mjs and .*2026\.3\.mjs .* of equal rank/);
  });

  it('that come some moments apart, the highest first, end on the highest', async (t) => {
    const place = await open(t);
    for (const version of ['2.0.0', '2.0.0-rc.1', '1.9.0']) {
      await place.drop(version);
      await nextStamp();
    }
    await settled(place);
    assert.deepEqual(
      [place.active(), place.superseded().map(({ version }) => version)],
      [['2.0.0'], ['2.0.0-rc.1', '1.9.0']],
    );
  });

  it('while the host is down begin from what served: the highest of the new ones takes over', async (t) => {
    const place = await open(t);
    await place.drop('1.7.0');
    await place.host.active('notes', '1.7.0');
    await place.host.host.stop();
    for (const version of VERSIONS) await place.drop(version);
    await place.host.startAgain();
    await settled(place);
    assert.deepEqual(place.active(), ['1.7.0', '1.7.0', '1.10.0']);
    await place.host.host.stop().catch(() => undefined);
  });

  it('serve the next one where nothing serves and the highest is refused', async (t) => {
    const place = await open(t);
    await place.host.host.stop();
    await place.drop('1.8.0');
    await place.drop('1.9.0');
    await place.drop('1.10.0', { code: 'export const a = 1;' });
    await place.host.startAgain();
    await place.host.active('notes', '1.9.0');
    await settled(place);
    assert.deepEqual(place.active(), ['1.9.0']);
  });

  it('give way to the next one when the highest is taken away before it served', async (t) => {
    const place = await open(t);
    await place.drop('1.7.0');
    await place.host.active('notes', '1.7.0');
    const from = temporaryDirectory(t);
    const slow = notesBundle({
      version: '1.9.0',
      name: 'c.mjs',
      body: { setup: 'await new Promise((done) => setTimeout(done, 900));' },
    });
    await writeBundle(from, notesBundle({ version: '1.8.0', name: 'b.mjs' }));
    await writeBundle(from, slow);
    execFileSync('sh', ['-c', `mv '${from}'/* '${place.host.pluginsDirectory}'`]);
    await place.host.logged('it is probed', ({ msg }) => msg === 'notes 1.9.0 probed');
    await rm(join(place.host.pluginsDirectory, 'c.mjs'));
    await place.host.active('notes', '1.8.0');
    await settled(place);
    assert.deepEqual(place.active(), ['1.7.0', '1.8.0']);
  });
});

describe('a lower version that is dropped later', () => {
  it('is followed, as what was dropped last, and said', async (t) => {
    const place = await open(t);
    await place.drop('1.10.0');
    await place.host.active('notes', '1.10.0');
    await place.drop('1.9.0');
    const line = await place.host.active('notes', '1.9.0');
    assert.equal(line.level, 'warn');
    assert.match(JSON.stringify(line['findings']), /BEDS_ROLLOUT_DOWNGRADE.*notes 1\.9\.0 took the place of 1\.10\.0/);
    assert.equal(await serves(place), '1.9.0');
  });
});

describe('a lower version that is dropped while a higher one is on its way', () => {
  const words = /notes 1\.2\.0, which is higher, was on its way when 1\.1\.0 came/;

  it('takes the place of a canary, and that is said', async (t) => {
    const place = await open(t, { rollout: { canaryPercent: 50, canaryForMs: 60_000 } });
    await place.drop('1.0.0');
    await place.host.active('notes', '1.0.0');
    await place.drop('1.2.0');
    await place.host.logged('the canary', ({ msg }) => msg === 'notes 1.2.0 canary');
    await nextStamp();
    await place.drop('1.1.0');
    await place.host.logged('the next canary', ({ msg }) => msg === 'notes 1.1.0 canary');
    const [line] = place.superseded();
    assert.deepEqual([line?.version, line?.level], ['1.2.0', 'warn']);
    assert.match(JSON.stringify(line?.findings), words);
  });

  it('takes the place of one that waits for an object, and that is said', async (t) => {
    const place = await open(t);
    const objects = { fetch: { kind: 'view', name: 'not_there', columns: { id: { type: 'integer' } } } };
    await place.drop('1.2.0', { objects });
    await place.host.logged('it waits', ({ msg }) => msg === 'notes 1.2.0 waiting');
    await nextStamp();
    await place.drop('1.1.0');
    await place.host.active('notes', '1.1.0');
    assert.match(JSON.stringify(place.superseded()), words);
  });
});

describe('the same version with other bytes', () => {
  it('is said when it takes over, and when two come together', async (t) => {
    const place = await open(t);
    const first = await place.drop('1.0.0');
    await place.host.active('notes', '1.0.0');
    const second = await place.drop('1.0.0', { name: 'other.mjs', head: '// Another build.' });
    const fits = ({ hash, state }: Partial<TransitionLine>): boolean => hash === second.hash && state === 'active';
    const line = await place.host.logged('it serves', fits);
    assert.equal(line.level, 'warn');
    const [mine, other] = [second.hash.slice(0, 12), first.hash.slice(0, 12)];
    assert.match(JSON.stringify(line['findings']), new RegExp(`SAME_VERSION.*${mine}.*has other bytes.*${other}`));

    const from = temporaryDirectory(t);
    await mkdir(from, { recursive: true });
    for (const name of ['a.mjs', 'b.mjs'])
      await writeBundle(from, notesBundle({ version: '1.1.0', name, head: `// ${name}` }));
    for (const name of ['a.mjs', 'b.mjs']) await rename(join(from, name), join(place.host.pluginsDirectory, name));
    await eventually('one is superseded', () => place.superseded().length === 1);
    assert.match(place.superseded()[0]?.findings?.[0]?.message ?? '', /are both notes 1\.1\.0, with other bytes/);
  });
});
