import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CallCounts,
  latencyBucket,
  LATENCY_BOUNDS_MS,
  OperationUsage,
  RequestCounts,
  type UsageCount,
} from '../host/request/observations.js';
import { UsageBook } from '../host/metrics/usage-book.js';

function counted(count: Partial<UsageCount>): UsageCount {
  return { domain: 'cities', version: '1.0.0', operation: 'fetch', calls: 1, failures: 0, latency: [0, 1], ...count };
}

const object = { name: 'city_list', kind: 'view', store: 'main' };

describe('calls', () => {
  it('are counted with their failures and latencies, and taken once', () => {
    const counts = new CallCounts();
    counts.ended(0.1, true);
    counts.ended(3, false);
    counts.ended(3, true);
    const bucket = latencyBucket(3);
    assert.deepEqual(counts.take(), { calls: 3, failures: 1, latency: [0, 1, bucket, 2] });
    assert.equal(counts.take(), undefined);
    counts.ended(3, true);
    assert.deepEqual(counts.take(), { calls: 1, failures: 0, latency: [bucket, 1] });
  });

  it('that are answered with a no have not failed', () => {
    const counts = new RequestCounts();
    const usage = new CallCounts();
    const noes = ['invalid', 'forbidden', 'not-found', 'conflict'] as const;
    const faults = ['fault', 'timeout', 'unavailable', 'overloaded', 'indeterminate'] as const;
    for (const status of [...noes, ...faults]) counts.failedWith(status, usage, 1);
    counts.succeeded(usage, 1);
    const taken = usage.take();
    assert.deepEqual([taken?.calls, taken?.failures], [10, faults.length]);
    // The guard compares all of them.
    assert.equal(counts.failed, 9);
  });

  it('of objects are counted by their alias', () => {
    const usage = new OperationUsage();
    usage.called('fetch', 1, true);
    usage.called('fetch', 1, false);
    usage.called('import', 1, true);
    usage.objects.get('import')?.failed.push(2);
    assert.equal(usage.take(), undefined);
    assert.deepEqual(
      [...usage.objects].map(([alias, counts]) => [alias, counts.take()?.calls]),
      [
        ['fetch', 2],
        ['import', 2],
      ],
    );
  });
});

describe('the book of what is used', () => {
  it('gives requests by domain and of all since the last time', () => {
    const book = new UsageBook();
    const slow = latencyBucket(40);
    book.add([
      counted({ calls: 99, latency: [0, 99] }),
      counted({ domain: 'orders', failures: 1, latency: [slow, 1] }),
    ]);
    book.add([counted({ object, calls: 500, latency: [0, 500] })]);
    const domains = new Map(book.takeDomains().map((each) => [each.domain, each]));
    assert.deepEqual([...domains.keys()].sort(), ['', 'cities', 'orders']);
    assert.equal(domains.get('')?.calls, 100);
    assert.equal(domains.get('')?.failures, 1);
    assert.equal(domains.get('')?.p95Ms, LATENCY_BOUNDS_MS[0]);
    assert.equal(domains.get('orders')?.p95Ms, Math.round((LATENCY_BOUNDS_MS[slow] ?? 0) * 1_000) / 1_000);
    assert.deepEqual(book.takeDomains(), []);
  });

  it('tells of each row all of its day, and only of those that changed', () => {
    const book = new UsageBook();
    book.add([counted({ object, calls: 2, latency: [0, 2] }), counted({})]);
    assert.deepEqual(
      book.takeChanged().map(({ object: name, calls }) => [name, calls]),
      [
        ['city_list', 2],
        ['', 1],
      ],
    );
    assert.deepEqual(book.takeChanged(), []);
    book.add([counted({ object, calls: 3, failures: 1, latency: [0, 3] })]);
    const [row, ...rest] = book.takeChanged();
    assert.deepEqual(rest, []);
    assert.equal(row?.calls, 5);
    assert.equal(row.failures, 1);
    assert.equal(row.kind, 'view');
    assert.equal(row.day, Math.floor(Date.now() / 86_400_000));
    assert.equal(book.rows('city_list')[0]?.calls, 5);
    assert.deepEqual(book.rows('city_create'), []);
  });

  it('counts together what thousands of versions would fill memory with', () => {
    const book = new UsageBook();
    for (let n = 0; n < 12_000; n += 1) book.add([counted({ version: `1.0.${String(n)}` })]);
    const rows = book.rows();
    assert.equal(rows.length, 10_001);
    assert.equal(rows.at(-1)?.version, '*');
    assert.equal(rows.at(-1)?.calls, 2_000);
  });
});
