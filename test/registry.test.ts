import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestScope } from '../host/dispatch/request-scope.js';
import { GenerationRegistry } from '../host/generation/registry.js';
import type { Route } from '../host/generation/route.js';

interface Version {
  readonly id: number;
  readonly domain: string;
}

const ANYONE = { bucket: 50 };

function registryWith(...generations: readonly Version[]): GenerationRegistry<Version> {
  const registry = new GenerationRegistry<Version>();
  for (const generation of generations) registry.prepare(generation);
  return registry;
}

void describe('the registry of generations', () => {
  const [first, second] = [1, 2].map((id) => ({ id, domain: 'notes' })) as [Version, Version];
  const tasks = { id: 3, domain: 'tasks' };

  void it('serves a prepared version from its route on, and gives back what no route names any more', () => {
    const registry = registryWith(first);
    assert.equal(registry.choose('notes', ANYONE), undefined);
    assert.deepEqual(registry.apply([{ domain: 'notes', active: 1 }]), []);
    registry.prepare(second);
    assert.equal(registry.choose('notes', ANYONE), first);
    assert.deepEqual(registry.apply([{ domain: 'notes', active: 2 }]), [first]);
    assert.equal(registry.choose('notes', ANYONE), second);
    assert.deepEqual(registry.all, [second, first], 'what drains is still known');
    registry.forget(first);
    assert.deepEqual(registry.apply([{ domain: 'notes' }]), [second]);
    assert.equal(registry.route('notes'), undefined);
  });

  void it('changes nothing when one of the routes names a version that is not loaded for its domain', () => {
    const registry = registryWith(first, second, tasks);
    registry.apply([{ domain: 'notes', active: 1 }]);
    const withUnknown = (wrong: Route): unknown => registry.apply([{ domain: 'notes', active: 2 }, wrong]);
    assert.equal(withUnknown({ domain: 'tasks', active: 9 }), undefined);
    assert.equal(withUnknown({ domain: 'tasks', active: 2 }), undefined);
    const candidate = { generation: 9, percent: 1, shadowPercent: 0 };
    assert.equal(withUnknown({ domain: 'tasks', active: 3, candidate }), undefined);
    assert.equal(registry.choose('notes', ANYONE), first);
    assert.equal(registry.route('tasks'), undefined);
  });

  void it('flips several domains at once and leaves the others alone', () => {
    const other = { id: 4, domain: 'tasks' };
    const cities = { id: 5, domain: 'cities' };
    const registry = registryWith(first, second, tasks, other, cities);
    registry.apply(
      [1, 3, 5].map((active) => ({ domain: ['', 'notes', '', 'tasks', '', 'cities'][active] ?? '', active })),
    );
    const flip: readonly Route[] = [
      { domain: 'notes', active: 2 },
      { domain: 'tasks', active: 4 },
    ];
    assert.deepEqual(registry.apply(flip), [first, tasks]);
    assert.deepEqual(
      ['notes', 'tasks', 'cities'].map((domain) => registry.choose(domain, ANYONE)),
      [second, other, cities],
    );
    assert.deepEqual(registry.apply(flip), [], 'the same routes again end nothing');
  });

  void it('keeps a candidate that becomes active, and ends one that no route names any more', () => {
    const registry = registryWith(first, second);
    const canary: Route = { domain: 'notes', active: 1, candidate: { generation: 2, percent: 10, shadowPercent: 0 } };
    registry.apply([canary]);
    assert.deepEqual(registry.apply([{ domain: 'notes', active: 1 }]), [second]);
    assert.equal(registry.apply([canary]), undefined, 'what drains does not come back');
    registry.forget(second);
    registry.prepare(second);
    registry.apply([canary]);
    assert.deepEqual(registry.apply([{ domain: 'notes', active: 2 }]), [first]);
  });

  void it('discards a version that no route names, and no other', () => {
    const registry = registryWith(first, second);
    registry.apply([{ domain: 'notes', active: 1 }]);
    assert.equal(registry.discard(1), undefined);
    assert.equal(registry.discard(2), second);
    assert.equal(registry.apply([{ domain: 'notes', active: 2 }]), undefined);
    assert.equal(registry.choose('notes', ANYONE), first);
  });

  void it('withholds a domain', () => {
    const registry = registryWith(first);
    registry.apply([{ domain: 'notes', active: 1 }]);
    assert.deepEqual(registry.apply([{ domain: 'notes', withheld: true }]), [first]);
    assert.equal(registry.choose('notes', ANYONE), undefined);
    assert.equal(registry.route('notes')?.withheld, true);
  });
});

void describe('the choice between the active version and its candidate', () => {
  const active = { id: 1, domain: 'notes' };
  const candidate = { id: 2, domain: 'notes' };

  function routed(percent: number): GenerationRegistry<Version> {
    const registry = registryWith(active, candidate);
    registry.apply([{ domain: 'notes', active: 1, candidate: { generation: 2, percent, shadowPercent: 0 } }]);
    return registry;
  }

  function caller(client: string | undefined, session?: string, requestId = 'r-1'): RequestScope {
    return new RequestScope({ requestId, client, session, expiresAtMs: 0 });
  }

  function canaries(percent: number): ReadonlySet<number> {
    const registry = routed(percent);
    const clients = Array.from({ length: 10_000 }, (_, index) => index);
    return new Set(clients.filter((index) => registry.choose('notes', caller(`app-${String(index)}`)) === candidate));
  }

  void it('gives the candidate its share of the clients', () => {
    for (const percent of [0.5, 1, 10, 50]) {
      const share = canaries(percent).size / 100;
      assert.ok(Math.abs(share - percent) < Math.max(0.3, percent / 10), `${String(share)} of ${String(percent)} %`);
    }
    assert.equal(canaries(0).size, 0);
    assert.equal(canaries(100).size, 10_000);
  });

  void it('keeps on the side of the candidate who was there when its share grows', () => {
    const few = canaries(5);
    const many = canaries(20);
    assert.deepEqual(
      [...few].filter((client) => !many.has(client)),
      [],
    );
  });

  void it('keeps a client and its session on one side, whatever it asks', () => {
    const bucket = (...of: Parameters<typeof caller>): number => caller(...of).bucket;
    assert.equal(bucket('web', 's-1', 'r-1'), bucket('web', 's-1', 'r-2'));
    assert.notEqual(bucket('web', 's-1'), bucket('web', 's-2'));
    assert.notEqual(bucket('web', 's'), bucket('webs', ''));
    assert.notEqual(bucket(undefined, undefined, 'r-1'), bucket(undefined, undefined, 'r-2'));
  });
});
