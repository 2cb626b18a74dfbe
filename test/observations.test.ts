import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Json } from '@beds/sdk';
import { Callers, LATENCY_BOUNDS_MS, latencyBucket } from '../host/request/observations.js';
import type { Target } from '../host/request/serving-generation.js';
import { ShadowReports, shapeOf } from '../host/request/shadows.js';

describe('the bucket of a latency', () => {
  it('is the first whose bound is not below it, or the one above all bounds', () => {
    for (const [index, boundMs] of LATENCY_BOUNDS_MS.entries()) {
      assert.equal(latencyBucket(boundMs * 0.999), index);
      assert.equal(latencyBucket(boundMs * 1.001), index + 1);
    }
    assert.equal(latencyBucket(0), 0);
    assert.equal(latencyBucket(Infinity), LATENCY_BOUNDS_MS.length);
  });
});

describe('the callers of an operation', () => {
  it('are counted by name since the last time, and names that fell silent make room', () => {
    const callers = new Callers();
    for (const client of ['web', 'app', 'web']) callers.count(client);
    assert.deepEqual(callers.take(), [
      { client: 'web', calls: 2 },
      { client: 'app', calls: 1 },
    ]);
    callers.count('app');
    assert.deepEqual(callers.take(), [{ client: 'app', calls: 1 }]);
    assert.deepEqual(callers.take(), []);
  });

  it('are kept apart up to 1,000 names, and the rest is counted together', () => {
    const callers = new Callers();
    for (let index = 0; index < 1_003; index += 1) callers.count(`app-${String(index)}`);
    callers.count('app-0');
    const counts = new Map(callers.take().map(({ client, calls }) => [client, calls]));
    assert.equal(counts.size, 1_001);
    assert.deepEqual([counts.get('app-0'), counts.get('app-999'), counts.get('*')], [2, 1, 3]);
  });
});

describe('the shape of an answer', () => {
  const shapes: readonly (readonly [Json, string])[] = [
    [null, 'null'],
    [1, 'integer'],
    [1.5, 'number'],
    ['secret', 'string'],
    [[], '[0]'],
    [{ b: true, a: 'x' }, '{a: string, b: boolean}'],
    [
      [
        { id: 1, name: 'x' },
        { id: 2, name: null, note: 'y' },
      ],
      '{id: integer, name: null|string, note?: string}[2]',
    ],
    [[1, 'x', 2.5], '(integer|number|string)[3]'],
    [{ rows: [[1], [2, 3]] }, '{rows: integer[1-2][2]}'],
    [{ 'a b': {} }, '{"a b": {}}'],
    [[[[[[[[1]]]]]]], '…[1][1][1][1][1][1]'],
  ];

  for (const [value, shape] of shapes) {
    it(`of ${JSON.stringify(value)} is ${shape}`, () => {
      assert.equal(shapeOf(value), shape);
    });
  }

  it('is bounded', () => {
    const wide = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`field-${String(index)}`, { index }]));
    assert.equal(shapeOf(wide).length, 2_000);
    assert.ok(shapeOf({ ['x'.repeat(1_000)]: 1 }).length < 100);
  });
});

describe('the reports of a shadow', () => {
  const target = { generation: { domain: 'notes', id: 2 }, operation: { name: 'peek' } } as unknown as Target;
  const answer = (data: Json, hasCursor = false): { data: string; hasCursor: boolean } => ({
    data: JSON.stringify(data),
    hasCursor,
  });

  it('distinguish at most 50 kinds of differences, and count the others together', () => {
    const reports = new ShadowReports();
    for (let index = 1; index <= 60; index += 1) {
      for (const data of [Array<Json>(index).fill(0), [0.5]]) reports.compare(target, answer('x'), answer(data));
    }
    const [report] = reports.take();
    assert.equal(report?.compared, 120);
    assert.equal(report?.differences.length, 50);
    assert.deepEqual(report?.differences[1], { active: 'string', candidate: 'number[1]', count: 60 });
    assert.deepEqual(report?.differences.at(-1), { active: '…', candidate: '…', count: 12 });
  });

  it('name other values of the same shape, a cursor that is missing, and another error', () => {
    const reports = new ShadowReports();
    reports.compare(target, answer(1), answer(2));
    reports.compare(target, answer([1], true), answer([1]));
    reports.compare(target, { code: 'A' }, { code: 'B' });
    reports.compare(target, { code: 'A' }, { code: 'A' });
    assert.deepEqual(reports.take()[0]?.differences, [
      { active: 'integer', candidate: 'integer', count: 1 },
      { active: 'integer[1] + cursor', candidate: 'integer[1]', count: 1 },
      { active: 'A', candidate: 'B', count: 1 },
    ]);
    assert.deepEqual(reports.take(), []);
  });
});
