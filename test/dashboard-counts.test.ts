import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Board } from '../host/dashboard/board.js';
import { RequestCounts } from '../host/dashboard/request-counts.js';

interface Event {
  readonly whole: boolean;
  readonly parts: Readonly<Record<string, unknown>>;
  readonly gone: readonly string[];
}

function read(event: string): Event {
  return JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? '') as Event;
}

describe('the live state', () => {
  it('gives everything to who comes, and only what changed to who was here', () => {
    const board = new Board();
    assert.equal(
      board.replace(
        new Map([
          ['a', 1],
          ['b', 1],
        ]),
      ),
      true,
    );
    assert.equal(
      board.replace(
        new Map([
          ['a', 1],
          ['b', 1],
        ]),
      ),
      false,
    );
    const first = board.revision;
    board.replace(
      new Map([
        ['a', 2],
        ['c', 1],
      ]),
    );
    const all = read(board.eventSince(0));
    assert.deepEqual([all.whole, all.parts, all.gone], [true, { a: 2, c: 1 }, []]);
    const since = read(board.eventSince(first));
    assert.deepEqual([since.whole, since.parts, since.gone], [false, { a: 2, c: 1 }, ['b']]);
  });

  it('takes a place in it for none where it is of another run, from the future, or no place at all', () => {
    const board = new Board();
    board.replace(new Map([['a', 1]]));
    assert.equal(board.revisionOf(`${board.epoch}.1`), 1);
    for (const id of [undefined, '', 'x.1', `${board.epoch}.2`, `${board.epoch}.-1`, `${board.epoch}.1e3`, '.']) {
      assert.equal(board.revisionOf(id), 0, String(id));
    }
  });

  it('forgets what has gone in the end, and then gives everything anew', () => {
    const board = new Board();
    for (let round = 0; round < 1_200; round += 1) board.replace(new Map([[`domain:${String(round)}`, round]]));
    assert.equal(board.revisionOf(`${board.epoch}.3`), 0);
    assert.equal(board.revisionOf(`${board.epoch}.1190`), 1_190);
  });

  it('keeps names that mean something to objects', () => {
    const board = new Board();
    board.replace(new Map([['domain:__proto__', 1]]));
    assert.deepEqual(Object.keys(read(board.eventSince(0)).parts), ['domain:__proto__']);
  });
});

const line = (outcome: string, count: number, version = '1.0.0'): string =>
  `beds_requests_total{domain="notes",version="${version}",outcome="${outcome}",node="n"} ${String(count)}\n`;

describe('requests of the last hour', () => {
  it('are what came since the first look, by where and why', () => {
    const counts = new RequestCounts();
    counts.add('n1', line('ok', 100) + line('fault', 50));
    assert.deepEqual(counts.of('notes'), { requests: 0, failures: 0, refused: 0 });
    const stray = 'beds_stray_faults_total{domain="notes",version="1.0.0"} 2\n';
    const came = counts.add(
      'n1',
      line('ok', 110) + line('fault', 53) + line('invalid', 4) + line('timeout', 1, '1.1.0') + stray,
    );
    const sum = { requests: 18, failures: 6, refused: 4 };
    assert.deepEqual(came.get('notes'), sum);
    assert.deepEqual(counts.of('notes'), sum);
    assert.deepEqual(counts.failed('notes'), [
      { node: 'n1', version: '1.0.0', outcome: 'fault', count: 3 },
      { node: 'n1', version: '1.0.0', outcome: 'stray', count: 2 },
      { node: 'n1', version: '1.1.0', outcome: 'timeout', count: 1 },
    ]);
    assert.deepEqual(counts.failed('others'), []);
  });

  it('go on where a node has started again, and end after an hour', () => {
    let nowMs = 1_700_000_000_000;
    const counts = new RequestCounts(() => nowMs);
    counts.add('n1', line('fault', 50));
    counts.add('n1', line('fault', 3));
    assert.equal(counts.of('notes').failures, 3);
    nowMs += 59 * 60_000;
    assert.equal(counts.of('notes').failures, 3);
    nowMs += 2 * 60_000;
    assert.equal(counts.of('notes').failures, 0);
    assert.equal(nowMs - counts.sinceMs, 3_600_000);
  });
});
