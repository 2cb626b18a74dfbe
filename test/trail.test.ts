import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Trail, readTrail, SLOT_BYTES } from '../host/threads/trail.js';
import {
  clearTrails,
  ownTrailOf,
  readLastRun,
  trailDirectoryOf,
  TrialRecord,
} from '../host/deploy/watch/crash-trials.js';
import { makeCells } from '../host/deploy/watch/crash-trials.js';
import { Cells } from '../host/threads/pool.js';
import { temporaryDirectory } from './support/services.js';

function version(id: number, domain = `domain-${String(id)}`): Parameters<Trail['load']>[0] {
  return { id, hash: String(id).padStart(64, 'a'), manifest: { domain, version: '1.0.0' } };
}

interface Kept {
  readonly path: string;
  readonly trail: Trail;
  readonly faults: readonly unknown[];
  /** Domains whose code runs, as somebody else reads it. */
  readonly running: () => readonly string[];
}

function keepTrail(t: TestContext, isPrecise = false): Kept {
  const directory = temporaryDirectory(t);
  clearTrails(directory);
  const path = ownTrailOf(directory);
  const faults: unknown[] = [];
  const trail = new Trail({ path, isPrecise, onFault: (error) => faults.push(error) });
  t.after(() => trail.close());
  const running = (): readonly string[] =>
    readTrail(path)
      ?.entries.filter(({ isOpen }) => isOpen)
      .map(({ domain }) => domain) ?? [];
  return { path, trail, faults, running };
}

const isIdle = (): boolean => false;

describe('the trail of a thread', () => {
  it('names what is loaded, what was entered since the last look but one, and what is busy', (t) => {
    const { trail, running } = keepTrail(t);
    for (const id of [1, 2, 3]) trail.load(version(id));
    assert.deepEqual(running(), ['domain-1', 'domain-2', 'domain-3']);
    for (const id of [1, 2, 3]) trail.loaded(id);
    trail.sweep(isIdle);
    trail.enter(2);
    trail.sweep((id) => id === 3);
    assert.deepEqual(running(), ['domain-2', 'domain-3']);
    trail.sweep(isIdle);
    assert.deepEqual(running(), []);
    trail.enter(2);
    assert.deepEqual(running(), ['domain-2']);
  });

  it('writes nothing more for a version that is called all the time', (t) => {
    const { trail, path } = keepTrail(t);
    trail.load(version(1));
    trail.loaded(1);
    const bytes = readFileSync(path);
    writeFileSync(
      path,
      bytes.map(() => 0),
    );
    for (let asked = 0; asked < 1_000; asked += 1) {
      trail.enter(1);
      if (asked % 100 === 0) trail.sweep(isIdle);
    }
    assert.ok(readFileSync(path).every((byte) => byte === 0));
  });

  it('reuses the lines of versions that ended, and forgets those versions', (t) => {
    const { trail, path, running } = keepTrail(t);
    for (let id = 1; id <= 500; id += 1) {
      trail.load(version(id));
      if (id > 2) trail.forget(id - 2);
    }
    assert.deepEqual([...running()].sort(), ['domain-499', 'domain-500']);
    assert.ok(readFileSync(path).length <= 6 * SLOT_BYTES);
  });

  it('of a process of its own says whose code was entered last, and which suspect ran in which generation', (t) => {
    const { trail, path } = keepTrail(t, true);
    for (const id of [1, 2]) trail.load(version(id));
    trail.enter(1);
    trail.trying(-7, 1);
    assert.deepEqual(pick(path), [1, -7, 1]);
    trail.enter(2);
    trail.trying(0, 0);
    assert.deepEqual(pick(path), [2, 0, 0]);
  });

  it('is given up, said once, where it cannot be written', (t) => {
    const faults: unknown[] = [];
    const path = join(temporaryDirectory(t), 'missing', 'x.trail');
    const trail = new Trail({ path, onFault: (error) => faults.push(error) });
    trail.load(version(1));
    trail.enter(1);
    trail.sweep(isIdle);
    trail.enter(1);
    trail.close();
    assert.equal(faults.length, 1);
    const full = new Trail({ path: '/dev/full', onFault: (error) => faults.push(error) });
    full.load(version(1));
    full.close();
    assert.equal(faults.length, 2);
  });
});

function pick(path: string): readonly unknown[] {
  const view = readTrail(path);
  return [view?.last, view?.suspect, view?.suspectGeneration];
}

describe('what the run before has left', () => {
  it('is nothing after an end in order', (t) => {
    const directory = temporaryDirectory(t);
    assert.deepEqual(readLastRun(directory), { isKilled: false, suspects: [] });
    clearTrails(directory);
    assert.deepEqual(readLastRun(directory), { isKilled: false, suspects: [] });
  });

  it('is read as far as it can be: torn, overwritten, of another format, or unreadable', (t) => {
    const directory = temporaryDirectory(t);
    clearTrails(directory);
    const of = (name: string): string => join(trailDirectoryOf(directory), name);
    const trail = new Trail({ path: of('default-1.trail'), onFault: () => undefined });
    for (const id of [1, 2, 3]) trail.load(version(id));
    trail.close();
    const whole = readFileSync(of('default-1.trail'));
    writeFileSync(of('torn.trail'), whole);
    truncateSync(of('torn.trail'), 2 * SLOT_BYTES + 40);
    writeFileSync(of('empty.trail'), '');
    writeFileSync(of('newer.trail'), whole.toString().replace('beds-trail 1', 'beds-trail 2'));
    writeFileSync(of('noise.trail'), Buffer.alloc(4_000, 0x7b));
    appendFileSync(of('default-1.trail'), '> {"id":4,"hash":7}\n> null\n> []\n\0\0\n');
    mkdirSync(of('folder.trail'));
    chmodSync(of('empty.trail'), 0);
    const { isKilled, suspects } = readLastRun(directory);
    assert.ok(isKilled);
    assert.deepEqual(
      suspects.map(({ domain }) => domain),
      ['domain-1', 'domain-2', 'domain-3'],
    );
    clearTrails(directory);
  });

  it('outlives the start that reads it, until it is tried', async (t) => {
    const directory = temporaryDirectory(t);
    const { hash, manifest } = version(1);
    const accused = { hash, ...manifest };
    const first = await TrialRecord.open(directory);
    await first.killed([accused]);
    await (await TrialRecord.open(directory)).killed([]);
    const third = await TrialRecord.open(directory);
    assert.deepEqual([third.shortLives, third.open.map(({ ends }) => ends)], [2, [1]]);
    third.tried('domain-1');
    third.lives();
    await third.close();
    const fourth = await TrialRecord.open(directory);
    assert.deepEqual([fourth.shortLives, fourth.open], [0, []]);
    await fourth.killed([accused]);
    assert.deepEqual(
      fourth.open.map(({ ends }) => ends),
      [2],
    );
  });
});

describe('the processes for suspects', () => {
  const manifest = (domain: string, ...peers: readonly string[]): never => ({ domain, peers }) as never;
  const sorted = (domains: ReadonlySet<string> = new Set()): readonly string[] => [...domains].sort();

  it('have those together that call each other, and know what else they call', () => {
    const manifests = [manifest('a', 'b'), manifest('b', 'c'), manifest('c'), manifest('d', 'a'), manifest('e')];
    const [one, two, ...more] = makeCells(new Set(['b', 'e']), manifests);
    assert.deepEqual([sorted(one?.domains), sorted(one?.needs), one?.isSole], [['a', 'b', 'd'], ['c'], true]);
    assert.deepEqual([sorted(two?.domains), sorted(two?.needs), two?.isSole], [['e'], [], true]);
    assert.deepEqual(more, []);
  });

  it('are few, however many are suspected', () => {
    const domains = Array.from({ length: 50 }, (_, index) => `domain-${String(index)}`);
    const cells = makeCells(new Set(domains), []);
    assert.equal(cells.length, 4);
    assert.ok(cells.every(({ isSole }) => !isSole));
    assert.deepEqual(cells.flatMap(({ domains: own }) => [...own]).sort(), [...domains].sort());
  });

  it('keep a domain from all others until it is let back, and end with their last', () => {
    const cells = new Cells();
    cells.set(makeCells(new Set(['b', 'e']), [manifest('b', 'c'), manifest('d', 'b')]));
    const group = cells.groupOf('b') ?? '';
    assert.equal(cells.groupOf('d'), group);
    const seen = (): readonly boolean[] => ['b', 'c', 'x'].map((domain) => cells.loads('default', domain));
    assert.deepEqual([seen(), cells.loads(group, 'c'), cells.serves(group, 'c')], [[false, true, true], true, false]);
    assert.equal(cells.delete('b'), undefined);
    assert.deepEqual(seen(), [true, true, true]);
    assert.equal(cells.delete('d'), group);
    assert.equal(cells.get(group), undefined);
  });
});
