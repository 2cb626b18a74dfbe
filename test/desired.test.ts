import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  agreed,
  type DesiredDomains,
  driftOf,
  isGone,
  type Member,
  type Run,
  withAgreed,
} from '../host/admin/desired.js';

const NOW = 1_000_000;
const HERE = { nowMs: NOW, serves: (roles: readonly string[]) => roles.includes('app') };
const [OLD, NEW] = ['a'.repeat(64), 'b'.repeat(64)];

const runOf = (more: Partial<Run> = {}): Run => ({
  ...{ domain: 'cities', hash: OLD, version: '1.0.0', state: 'serve', origin: 'deploy', at: 100_000 },
  ...more,
});
const memberOf = (node: string, runs: readonly Run[], more: Partial<Member> = {}): Member => ({
  ...{ node, at: NOW - 1_000, isNamed: true, roles: ['app'], runs },
  ...more,
});
const desired: DesiredDomains = {
  cities: { hash: OLD, version: '1.0.0', state: 'serve', at: 100_000, revision: 3, previous: [] },
};
const newer = { hash: NEW, version: '1.1.0', at: 200_000 };
const versions = (members: readonly Member[], before = desired): readonly string[] =>
  agreed(before, members, HERE).map(({ version, state }) => `${version} ${state}`);

describe('what all nodes shall run', () => {
  it('is what was ordered, once all that are there run it', () => {
    assert.deepEqual(versions([memberOf('a', [runOf(newer)]), memberOf('b', [runOf(newer)])]), ['1.1.0 serve']);
    assert.deepEqual(versions([memberOf('a', [runOf(newer)]), memberOf('b', [runOf()])]), [], 'one is not there yet');
    const away = memberOf('b', [runOf()], { at: NOW - 30_000 });
    assert.deepEqual(versions([memberOf('a', [runOf(newer)]), away]), ['1.1.0 serve'], 'one is away');
    assert.deepEqual(versions([memberOf('a', [runOf({ ...newer, pending: '1.2.0' })])]), [], 'more is on its way');
    assert.deepEqual(versions([memberOf('a', [runOf({ ...newer, isDown: true })])]), [], 'it does not answer');
    assert.deepEqual(versions([memberOf('a', [runOf()])]), [], 'nothing new');
  });

  it('is what was ordered last: a node that was away brings nothing back', () => {
    const behind = runOf({ hash: NEW, version: '0.9.0', at: 50_000 });
    assert.deepEqual(versions([memberOf('a', [behind])]), []);
    assert.deepEqual(versions([memberOf('a', [runOf({ hash: NEW, at: 0 })])]), []);
  });

  it('is what was dropped only where all that serve the domain run it, away or not', () => {
    const dropped = runOf({ ...newer, origin: 'directory' });
    const away = memberOf('b', [runOf()], { at: NOW - 30_000 });
    assert.deepEqual(versions([memberOf('a', [dropped]), away]), []);
    assert.deepEqual(versions([memberOf('a', [dropped]), memberOf('b', [])]), []);
    const elsewhere = memberOf('c', [], { roles: ['admin'] });
    assert.deepEqual(versions([memberOf('a', [dropped]), memberOf('b', [dropped]), elsewhere]), ['1.1.0 serve']);
  });

  it('is nothing where the domain was taken out, and nothing at all where nobody knew it', () => {
    const retired = runOf({ state: 'retired', at: 300_000 });
    assert.deepEqual(versions([memberOf('a', [retired])]), ['1.0.0 retired']);
    assert.deepEqual(versions([memberOf('a', [retired])], {}), []);
    assert.deepEqual(versions([memberOf('a', [runOf({ state: 'paused', at: 300_000 })])]), ['1.0.0 paused']);
    const origin = 'directory';
    assert.deepEqual(versions([memberOf('a', [runOf({ state: 'paused', at: 300_000, origin })])]), ['1.0.0 paused']);
  });

  it('keeps a few bundles of each domain, and says which are not needed any more', () => {
    let now: DesiredDomains = {};
    const dropped: string[] = [];
    for (let index = 0; index < 6; index += 1) {
      const next = withAgreed(now, [runOf({ hash: String(index).repeat(64) })], index + 1);
      now = next.desired;
      dropped.push(...next.dropped);
    }
    assert.equal(now['cities']?.revision, 6);
    assert.deepEqual(
      now['cities']?.previous.map(([first]) => first),
      ['4', '3', '2'],
    );
    assert.deepEqual(
      dropped.map(([first]) => first),
      ['0', '1'],
    );
    const again = withAgreed(now, [runOf({ hash: '3'.repeat(64) })], 7);
    assert.deepEqual(
      again.desired['cities']?.previous.map(([first]) => first),
      ['5', '4', '2'],
    );
    assert.deepEqual(again.dropped, []);
  });
});

describe('a node that deviates', () => {
  const driftWords = (members: readonly Member[], of = desired): readonly string[] =>
    driftOf(of, members, HERE).map(({ node, domain, does }) => `${node} ${domain}: ${does}`);

  it('is named, with what it runs', () => {
    assert.deepEqual(driftWords([memberOf('a', [runOf()])]), []);
    assert.deepEqual(driftWords([memberOf('a', [])]), ['a cities: has none']);
    const other = runOf({ hash: NEW, version: '0.9.0', at: 50_000, pending: '1.0.0' });
    assert.deepEqual(driftWords([memberOf('a', [other])]), [
      `a cities: 0.9.0 (${NEW.slice(0, 12)}), 1.0.0 is on its way`,
    ]);
    assert.deepEqual(driftWords([memberOf('a', [runOf({ isDown: true })])]), ['a cities: does not answer']);
    assert.deepEqual(driftWords([memberOf('a', [], { roles: ['admin'] })]), [], 'of another role');
    const retired: DesiredDomains = {
      cities: { ...(desired['cities'] as never as object), state: 'retired' } as never,
    };
    assert.deepEqual(driftWords([memberOf('a', [])], retired), []);
    assert.deepEqual(driftWords([memberOf('a', [runOf()])], retired), [`a cities: 1.0.0 (${OLD.slice(0, 12)})`]);
  });

  it('is no deviation for as long as what was ordered last may take to be kept', () => {
    assert.deepEqual(driftWords([memberOf('a', [runOf({ ...newer, at: NOW - 5_000 })])]), []);
    assert.equal(driftWords([memberOf('a', [runOf({ ...newer, at: NOW - 20_000 })])]).length, 1);
  });

  it('is missed where it has a name of its own, and is forgotten where it comes back as another one', () => {
    const gone = memberOf('a', [runOf()], { at: NOW - 90_000 });
    assert.deepEqual(driftWords([gone]), ['a : has not reported for 90 s']);
    assert.deepEqual([isGone(gone, NOW), isGone({ ...gone, isNamed: false }, NOW)], [false, true]);
    assert.deepEqual(driftWords([{ ...gone, isNamed: false }]), []);
  });
});
