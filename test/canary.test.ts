import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import type { Route } from '../host/template/registry.js';
import { type FaultEvent, faultChannel } from '../host/observe/channels.js';
import type { BundleOptions } from './support/bundles.js';
import { type DataPlane, makeDataPlane, sourceOf } from './support/data-plane.js';
import { eventually } from './support/eventually.js';

const VERSION = { version: { mode: 'read', run: 'return VERSION;' } } as const;

function canary(percent: number, shadowPercent = 0, domain = 'notes'): Route {
  return { domain, active: 1, candidate: { generation: 2, percent, salt: 1, shadowPercent } };
}

async function planeWith(route: Route, ...bundles: readonly BundleOptions[]): Promise<DataPlane> {
  const plane = makeDataPlane();
  await plane.prepare(...bundles);
  plane.generations.route([route]);
  return plane;
}

async function dataOf(answer: ReturnType<DataPlane['ask']>): Promise<unknown> {
  const reply = await answer;
  return reply.ok ? reply.data : reply.error.code;
}

const metaOf = (client: string): { readonly meta: { readonly client: string } } => ({ meta: { client } });

describe('a canary', () => {
  it('answers its callers in every domain, and the calls that their requests make', async () => {
    const through = { mode: 'read', run: `return ctx.domain('notes').call('version', {});` } as const;
    const tasks = { domain: 'tasks', peers: ['notes'], operations: { ...VERSION, through } };
    const plane = makeDataPlane();
    await plane.prepare({ operations: VERSION }, { operations: VERSION }, tasks, tasks);
    plane.generations.route([
      canary(50),
      { domain: 'tasks', active: 3, candidate: { generation: 4, percent: 50, salt: 1, shadowPercent: 0 } },
    ]);
    const sides = new Set<string>();
    for (let index = 0; index < 40; index += 1) {
      const meta = metaOf(`app-${String(index)}`);
      const notes = await dataOf(plane.ask({ op: 'version', ...meta }));
      const ownTasks = await dataOf(plane.ask({ domain: 'tasks', op: 'version', ...meta }));
      const nested = await dataOf(plane.ask({ domain: 'tasks', op: 'through', ...meta }));
      assert.equal(nested, notes);
      assert.equal(ownTasks, notes === '1.0.0' ? '3.0.0' : '4.0.0');
      sides.add(String(notes));
    }
    assert.deepEqual([...sides].sort(), ['1.0.0', '2.0.0']);
  });

  it('answers for itself what it lacks', async () => {
    const plane = await planeWith(canary(100), { operations: VERSION }, {});
    const reply = await plane.ask({ op: 'version' });
    assert.ok(!reply.ok);
    assert.equal(reply.error.code, 'BEDS_REQUEST_UNKNOWN_OPERATION');
    assert.equal(reply.by.version, '2.0.0');
    const { tallies, callers } = plane.path.observe();
    assert.deepEqual([tallies[1]?.requests, tallies[1]?.failures], [1, { 'not-found': 1 }]);
    assert.deepEqual(callers, []);
  });

  it('drains with its last request when the route no longer names it', async () => {
    const slow = { mode: 'read', run: 'await new Promise((go) => setTimeout(go, 100)); return VERSION;' } as const;
    const plane = await planeWith(canary(100), {}, { operations: { slow } });
    const answer = dataOf(plane.ask({ op: 'slow' }));
    plane.generations.route([{ domain: 'notes', active: 1 }]);
    assert.deepEqual(plane.drained, []);
    assert.ok(
      plane.path.observe().tallies.some(({ generation }) => generation === 2),
      'what drains is observed',
    );
    assert.equal(await answer, '2.0.0');
    await eventually('it drained', () => plane.drained.length > 0);
    assert.deepEqual(plane.drained, [2]);
    assert.deepEqual(
      plane.path.observe().tallies.map(({ generation }) => generation),
      [1],
    );
  });

  it('is not routed when the thread has not loaded it, and nothing else changes', async () => {
    const plane = await planeWith({ domain: 'notes', active: 1 }, { operations: VERSION });
    const routes: readonly Route[] = [{ domain: 'notes' }, { domain: 'tasks', active: 7 }];
    assert.throws(() => plane.generations.route(routes), { code: 'BEDS_THREAD_PREPARE_FAILED' });
    assert.equal(await dataOf(plane.ask({ op: 'version' })), '1.0.0');
  });
});

describe('a domain that is withheld', () => {
  it('says so, as one that no route names is unknown', async () => {
    const plane = await planeWith({ domain: 'notes', active: 1 }, {});
    plane.generations.route([{ domain: 'notes', withheld: true }]);
    assert.equal(await dataOf(plane.ask({ op: 'fetch' })), 'BEDS_REQUEST_WITHHELD');
    plane.generations.route([{ domain: 'notes' }]);
    assert.equal(await dataOf(plane.ask({ op: 'fetch' })), 'BEDS_REQUEST_UNKNOWN_DOMAIN');
    await eventually('it drained', () => plane.drained.includes(1));
    await plane.generations.prepare(await sourceOf(2, {}));
    plane.generations.route([{ domain: 'notes', active: 2 }]);
    assert.notEqual(await dataOf(plane.ask({ op: 'fetch' })), 'BEDS_REQUEST_WITHHELD');
  });
});

describe('what a thread saw', () => {
  const fail = { mode: 'read', run: `throw new Error('no');` } as const;
  const hang = { mode: 'read', run: 'await new Promise((go) => setTimeout(go, 200)); return 1;' } as const;

  it('counts requests and failures by class, and who called what', async () => {
    const operations = { ...VERSION, fail, hang };
    const plane = await planeWith({ domain: 'notes', active: 1 }, { operations });
    await plane.ask({ op: 'version', ...metaOf('web') });
    await plane.ask({ op: 'version', ...metaOf('web') });
    await plane.ask({ op: 'version' });
    await plane.ask({ op: 'nothing', ...metaOf('web') });
    await plane.ask({ op: 'fail', ...metaOf('web') });
    await plane.ask({ op: 'hang', meta: { client: 'app', deadlineMs: 20 } });
    const { tallies, callers, shadows } = plane.path.observe();
    const [{ latency, ...tally } = assert.fail('no tally')] = tallies;
    const failures = { 'not-found': 1, fault: 1, timeout: 1 };
    assert.deepEqual(tally, { generation: 1, requests: 6, failures });
    assert.ok(latency.every((count) => count === 0));
    const domain = 'notes';
    assert.deepEqual(callers, [
      { domain, operation: 'version', client: 'web', calls: 2 },
      { domain, operation: 'version', client: '', calls: 1 },
      { domain, operation: 'fail', client: 'web', calls: 1 },
      { domain, operation: 'hang', client: 'app', calls: 1 },
    ]);
    assert.deepEqual(shadows, []);
    assert.deepEqual(plane.path.observe().callers, []);
  });

  it('counts the calls of a domain across its versions', async () => {
    const plane = await planeWith({ domain: 'notes', active: 1 }, { operations: VERSION }, { operations: VERSION });
    await plane.ask({ op: 'version' });
    plane.generations.route([{ domain: 'notes', active: 2 }]);
    await plane.ask({ op: 'version' });
    await eventually('the first drained', () => plane.drained.includes(1));
    assert.equal(plane.path.observe().callers[0]?.calls, 2);
  });

  it('measures latency on both sides while there is a candidate', async () => {
    const plane = await planeWith(canary(50), { operations: VERSION }, { operations: VERSION });
    for (let index = 0; index < 40; index += 1) await plane.ask({ op: 'version', ...metaOf(`app-${String(index)}`) });
    const measured = plane.path.observe().tallies.map(({ requests, latency }) => {
      assert.equal(
        latency.reduce((sum, count) => sum + count, 0),
        requests,
      );
      return requests;
    });
    assert.equal(measured[0], 40 - (measured[1] ?? 0));
    assert.ok(measured.every((requests) => requests > 5));
  });
});

describe('a shadow', () => {
  const read = (run: string): BundleOptions => ({ operations: { peek: { mode: 'read', run } } });

  /** Asks so often, and gives the reports when all copies were compared. */
  async function reports(plane: DataPlane, times = 1): Promise<ReturnType<DataPlane['path']['observe']>['shadows']> {
    const answers = Array.from({ length: times }, () => plane.ask({ op: 'peek', payload: {}, ...metaOf('web') }));
    await Promise.all(answers);
    const taken: ReturnType<DataPlane['path']['observe']>['shadows'][number][] = [];
    const seen = (): number => taken.reduce((sum, { compared, skipped }) => sum + compared + skipped, 0);
    await eventually('the copies were compared', () => {
      taken.push(...plane.path.observe().shadows);
      return seen() >= times;
    });
    return taken;
  }

  it('answers copies of reads that nobody sees, and its differences are reported without values', async () => {
    const plane = await planeWith(
      canary(0, 100),
      read(`return [{ id: 1, name: 'x' }];`),
      read(`return [{ id: 1, name: 'x', note: 'secret' }];`),
    );
    const reply = await plane.ask({ op: 'peek' });
    assert.ok(reply.ok);
    assert.deepEqual([reply.data, reply.by.version], [[{ id: 1, name: 'x' }], '1.0.0']);
    await eventually('the copy ran', () => plane.entered.includes(2));
    const [report] = await reports(plane, 2);
    assert.ok(report);
    const { differences, compared, ...rest } = report;
    assert.deepEqual(rest, { domain: 'notes', operation: 'peek', generation: 2, skipped: 0 });
    assert.deepEqual(differences, [
      {
        active: '{id: integer, name: string}[1]',
        candidate: '{id: integer, name: string, note: string}[1]',
        count: compared,
      },
    ]);
    const { tallies } = plane.path.observe();
    assert.deepEqual([tallies[0]?.requests, tallies[1]?.requests], [3, 0]);
    assert.deepEqual(plane.path.observe().shadows, [], 'since the last time');
  });

  it('does not differ by the order of fields, nor by what the version before it did to its input', async () => {
    const plane = await planeWith(
      canary(0, 100),
      { body: { fetchRecords: `query.where.id = 9; return { rows: [{ a: 1, b: query.where.id }] };` } },
      { body: { fetchRecords: `return { rows: [{ b: query.where.id + 1, a: 1 }] };` } },
    );
    await plane.ask({ op: 'fetch', query: { where: { id: 8 } } });
    let compared = plane.path.observe().shadows;
    await eventually('the copy was compared', () => (compared = plane.path.observe().shadows).length > 0);
    assert.deepEqual([compared[0]?.compared, compared[0]?.differences], [1, []]);
  });

  it('that fails is a difference, a fault that is reported once, and no failure of the candidate', async (t) => {
    const faults: FaultEvent[] = [];
    const collect = (event: unknown): unknown => faults.push(event as FaultEvent);
    subscribe(faultChannel.name, collect);
    t.after(() => unsubscribe(faultChannel.name, collect));
    const plane = await planeWith(canary(0, 100), read('return 1;'), read(`throw new RangeError('no');`));
    const [report] = await reports(plane, 3);
    const code = 'BEDS_REQUEST_TEMPLATE_FAULT';
    assert.deepEqual(report?.differences, [{ active: 'integer', candidate: code, count: 3 }]);
    assert.deepEqual(plane.path.observe().tallies[1]?.failures, {});
    const told = faults.map(({ where, version, hash }) => ({ where, version, isNamed: hash?.length === 64 }));
    assert.deepEqual(told, [{ where: 'shadow of notes.peek', version: '2.0.0', isNamed: true }]);
  });

  it('is not waited for, gets at most 16 copies at once, and keeps its generation until they end', async () => {
    const wait = 'await new Promise((go) => setTimeout(go, 2_000)); return 1;';
    const plane = await planeWith(canary(0, 100), read('return 1;'), read(wait));
    const answers = Array.from({ length: 20 }, () => plane.ask({ op: 'peek' }));
    await Promise.all(answers);
    await eventually('the copies run', () => plane.entered.filter((id) => id === 2).length === 16);
    plane.generations.route([{ domain: 'notes', active: 1 }]);
    assert.equal(plane.registry.all.find(({ id }) => id === 2)?.inFlight, 16, 'nobody waited for them');
    await eventually('it drained', () => plane.drained.includes(2));
    const [report] = plane.path.observe().shadows;
    assert.deepEqual([report?.compared, report?.skipped, report?.differences], [16, 4, []]);
  });

  it('gets no writes, nothing that was delivered before, and nothing that the candidate answered', async () => {
    const plane = await planeWith(canary(0, 100), read('return 1;'), read('return 2;'));
    await plane.ask({ op: 'create', payload: { id: 1 } });
    await plane.ask({ op: 'peek', redelivered: true });
    plane.generations.route([canary(100, 100)]);
    await plane.ask({ op: 'peek' });
    plane.generations.route([canary(0, 100)]);
    const [report] = await reports(plane);
    assert.equal(report?.compared, 1);
    assert.equal(plane.entered.filter((id) => id === 2).length, 2);
  });
});
