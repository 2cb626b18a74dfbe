import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestScope } from '../host/request/request-scope.js';
import { type Sharer, GenerationRegistry, type Route } from '../host/template/registry.js';

interface Version {
  readonly id: number;
  readonly domain: string;
}

const ANYONE: Sharer = { side: (_salt, decide) => decide(50) };

function registryWith(...generations: readonly Version[]): GenerationRegistry<Version> {
  const registry = new GenerationRegistry<Version>();
  for (const generation of generations) registry.prepare(generation);
  return registry;
}

describe('the registry of generations', () => {
  const [first, second] = [1, 2].map((id) => ({ id, domain: 'notes' })) as [Version, Version];
  const tasks = { id: 3, domain: 'tasks' };

  it('serves a prepared version from its route on, and gives back what no route names any more', () => {
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

  it('changes nothing when one of the routes names a version that is not loaded for its domain', () => {
    const registry = registryWith(first, second, tasks);
    registry.apply([{ domain: 'notes', active: 1 }]);
    const withUnknown = (wrong: Route): unknown => registry.apply([{ domain: 'notes', active: 2 }, wrong]);
    assert.equal(withUnknown({ domain: 'tasks', active: 9 }), undefined);
    assert.equal(withUnknown({ domain: 'tasks', active: 2 }), undefined);
    const candidate = { generation: 9, percent: 1, salt: 1, shadowPercent: 0 };
    assert.equal(withUnknown({ domain: 'tasks', active: 3, candidate }), undefined);
    assert.equal(registry.choose('notes', ANYONE), first);
    assert.equal(registry.route('tasks'), undefined);
  });

  it('flips several domains at once and leaves the others alone', () => {
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

  it('keeps a candidate that becomes active, and ends one that no route names any more', () => {
    const registry = registryWith(first, second);
    const canary: Route = {
      domain: 'notes',
      active: 1,
      candidate: { generation: 2, percent: 10, salt: 1, shadowPercent: 0 },
    };
    registry.apply([canary]);
    assert.deepEqual(registry.apply([{ domain: 'notes', active: 1 }]), [second]);
    assert.equal(registry.apply([canary]), undefined, 'what drains does not come back');
    registry.forget(second);
    registry.prepare(second);
    registry.apply([canary]);
    assert.deepEqual(registry.apply([{ domain: 'notes', active: 2 }]), [first]);
  });

  it('discards a version that no route names, and no other', () => {
    const registry = registryWith(first, second);
    registry.apply([{ domain: 'notes', active: 1 }]);
    assert.equal(registry.discard(1), undefined);
    assert.equal(registry.discard(2), second);
    assert.equal(registry.apply([{ domain: 'notes', active: 2 }]), undefined);
    assert.equal(registry.choose('notes', ANYONE), first);
  });

  it('withholds a domain', () => {
    const registry = registryWith(first);
    registry.apply([{ domain: 'notes', active: 1 }]);
    assert.deepEqual(registry.apply([{ domain: 'notes', withheld: true }]), [first]);
    assert.equal(registry.choose('notes', ANYONE), undefined);
    assert.equal(registry.route('notes')?.withheld, true);
  });
});

describe('the choice between the active version and its candidate', () => {
  const active = { id: 1, domain: 'notes' };
  const candidate = { id: 2, domain: 'notes' };

  function routeOf(percent: number, salt = 1, domain = 'notes'): Route {
    return { domain, active: 1, candidate: { generation: 2, percent, salt, shadowPercent: 0 } };
  }

  function routed(percent: number, salt = 1): GenerationRegistry<Version> {
    const registry = registryWith(active, candidate);
    registry.apply([routeOf(percent, salt)]);
    return registry;
  }

  function caller(client: string | undefined, session?: string, requestId = 'r-1'): RequestScope {
    const user = session === undefined ? undefined : { id: 'ann', roles: [], session };
    return new RequestScope(requestId, 0, { client, user });
  }

  /** What the candidate answered of so many requests of so many clients in turn. */
  function taken(registry: GenerationRegistry<Version>, requests: number, clients: number): readonly number[] {
    const all = Array.from({ length: requests }, (_, index) => index);
    return all.filter((index) => registry.choose('notes', caller(`app-${String(index % clients)}`)) === candidate);
  }

  /** Where a caller stands in a rollout, whatever the share does. */
  function bucket(of: RequestScope, salt = 1): number {
    let seen = NaN;
    of.side(salt, (stands) => {
      seen = stands;
      return false;
    });
    return seen;
  }

  function inside(percent: number, salt = 1): ReadonlySet<number> {
    const clients = Array.from({ length: 10_000 }, (_, index) => index);
    return new Set(clients.filter((index) => bucket(caller(`app-${String(index)}`), salt) < percent));
  }

  it('gives the candidate its share of many clients', () => {
    for (const percent of [0.5, 1, 5, 10, 20, 50]) {
      const share = taken(routed(percent), 10_000, 10_000).length / 100;
      assert.ok(Math.abs(share - percent) < Math.max(0.3, percent / 10), `${String(share)} of ${String(percent)} %`);
    }
    assert.equal(taken(routed(0), 10_000, 10_000).length, 0);
    assert.equal(taken(routed(100), 10_000, 10_000).length, 10_000);
  });

  for (const percent of [5, 20]) {
    for (const clients of [1, 3, 10_000]) {
      it(`gives it about ${String(percent)} % of the requests of ${String(clients)} client(s), in every rollout`, () => {
        for (let salt = 1; salt <= 40; salt += 1) {
          const registry = routed(percent, salt);
          let count = 0;
          for (let requests = 500; requests <= 10_000; requests += 500) {
            count += taken(registry, 500, clients).length;
            const due = (requests * percent) / 100;
            const words = `${String(count)} of ${String(requests)}, salt ${String(salt)}`;
            assert.ok(count <= due * 1.25 + 20, words);
            assert.ok(count >= Math.floor(due * 0.5 - 20), words);
          }
        }
      });
    }
  }

  it('gives it single requests of callers of the other side, not one after the other', () => {
    const salt = Array.from({ length: 100 }, (_, index) => index).find((each) => bucket(caller('app-0'), each) >= 5);
    const which = taken(routed(5, salt), 10_000, 1);
    const apart = which.slice(1).map((index, at) => index - (which[at] ?? 0));
    assert.ok(which.length > 200, `${String(which.length)} requests`);
    assert.ok(Math.min(...apart) > 30, 'they are spread');
  });

  it('keeps on the side of the candidate who was there when its share grows', () => {
    const [few, many] = [inside(5), inside(20)];
    assert.deepEqual(
      [...few].filter((client) => !many.has(client)),
      [],
    );
    const registry = routed(5);
    const first = new Set(taken(registry, 10_000, 10_000));
    registry.apply([routeOf(20)]);
    const then = new Set(taken(registry, 10_000, 10_000));
    assert.ok([...first].every((index) => then.has(index)));
  });

  it('has other callers meet the candidate in another rollout', () => {
    const [first, second] = [inside(20, 7), inside(20, 8)];
    const both = [...first].filter((client) => second.has(client)).length;
    assert.ok(both > 300 && both < 500, `${String(both)} of 10000 are in both, 4 % are due`);
  });

  it('counts from the beginning when the share changes, and on when another domain is routed', () => {
    const registry = routed(5, 1);
    const client = Array.from({ length: 100 }, (_, index) => `c-${String(index)}`).find(
      (name) => bucket(caller(name)) < 5,
    );
    const ask = (): boolean => registry.choose('notes', caller(client)) === candidate;
    const burst = (): number => Array.from({ length: 100 }, ask).filter(Boolean).length;
    assert.equal(burst(), 26, '100 requests of 5 %: 6.25 and 20');
    registry.apply([routeOf(5)]);
    assert.ok(burst() <= 7, 'the same share goes on');
    registry.apply([routeOf(6)]);
    assert.equal(burst(), 27, '7.5 and 20');
  });

  it('puts a request on one side with all the calls that it makes', () => {
    const registry = registryWith(active, candidate, { id: 3, domain: 'tasks' }, { id: 4, domain: 'tasks' });
    const tasks = { domain: 'tasks', active: 3, candidate: { generation: 4, percent: 5, salt: 1, shadowPercent: 0 } };
    registry.apply([routeOf(5), tasks]);
    for (let index = 0; index < 5_000; index += 1) {
      const scope = caller('the only one');
      const side = registry.choose('notes', scope) === candidate;
      assert.equal(registry.choose('tasks', scope)?.id === 4, side);
      assert.equal(registry.choose('notes', scope) === candidate, side, 'also when it is called again');
    }
  });

  it('keeps a client and its session on one side, whatever it asks', () => {
    const of = (...who: Parameters<typeof caller>): number => bucket(caller(...who));
    assert.equal(of('web', 's-1', 'r-1'), of('web', 's-1', 'r-2'));
    assert.notEqual(of('web', 's-1'), of('web', 's-2'));
    assert.notEqual(of('web', 's'), of('webs', ''));
    assert.notEqual(of(undefined, undefined, 'r-1'), of(undefined, undefined, 'r-2'));
  });
});
