import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WrittenLines } from '../host/observe/log.js';
import { levelName, lineIdAt, LogTap, placeOf } from '../host/observe/log-tap.js';

function open(): { readonly tap: LogTap; readonly lines: WrittenLines } {
  const lines = new WrittenLines();
  return { tap: new LogTap({ source: 'abcd', lines }), lines };
}

function line(msg: string, more: object = {}): string {
  return JSON.stringify({ level: 'info', time: '2027-01-15T08:00:00.000Z', node: 'n', ...more, msg });
}

describe('what is taken of a log for others', () => {
  it('is each line, with what it is about and the rest as JSON', () => {
    const { tap, lines } = open();
    lines.add(
      line('slow', {
        ...{ level: 'warn', domain: 'cities', version: '1.0.0', requestId: 'r1', ms: 12 },
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      }),
    );
    const [taken, ...rest] = tap.take();
    assert.deepEqual(rest, []);
    assert.deepEqual(taken, {
      id: `${lineIdAt(1_800_000_000_000)}-abcd-000001`,
      at: 1_800_000_000_000,
      level: 40,
      message: 'slow',
      domain: 'cities',
      version: '1.0.0',
      requestId: 'r1',
      traceId: '0af7651916cd43dd8448eb211c80319c',
      fields: '{"ms":12}',
    });
    assert.deepEqual(tap.take(), []);
  });

  it('sorts by time, also beyond the instants that ids are long enough for now', () => {
    const ids = [0, 1, 35, 36, 1_800_000_000_000, 9_000_000_000_000].map(lineIdAt);
    assert.deepEqual(ids.toSorted(), ids);
    assert.equal(levelName(45), 'warn');
  });

  it('is in a flood of lines with the same template some of them, and how many there were', () => {
    const { tap, lines } = open();
    for (let n = 0; n < 1_000; n += 1) lines.add(line(`order ${String(n)} of "c${String(n)}" was late`));
    lines.add(line('something else'));
    const taken = tap.take();
    assert.equal(taken.length, 22);
    const joined = taken.at(-1);
    assert.equal(joined?.count, 980);
    assert.equal(joined.message, 'order 999 of "c999" was late');
    assert.equal(tap.dropped, 0);
    assert.deepEqual(tap.take(), []);
  });

  it('is bounded in lines and in characters, and what is beyond is counted', () => {
    const { tap, lines } = open();
    for (let n = 0; n < 6_000; n += 1) lines.add(line('x'.repeat(n % 50)));
    assert.equal(tap.dropped, 1_000);
    const counted = (): number => tap.take().reduce((sum, { count = 1 }) => sum + count, 0);
    // n.b. no more at once, so that whoever looks holds up nobody for long.
    assert.deepEqual([counted(), counted(), counted(), counted()], [2_000, 2_000, 1_000, 0]);
    const long = line('y', { long: 'x'.repeat(1_048_576) });
    for (let n = 0; n < 10; n += 1) lines.add(long);
    assert.equal(tap.dropped, 1_006);
    assert.equal(counted(), 4);
    lines.add(long);
    assert.equal(counted(), 1);
  });

  it('names the cause of a fault and the line of the author, and joins by cause', () => {
    const { tap, lines } = open();
    const stack = (id: string): string =>
      `TypeError: no ${id}\n    at run (/host/request.js:1:2)\n    at price (plugins/orders/template.ts:12:7)`;
    const fault = (id: string): string =>
      line('fault in orders.create', {
        level: 'error',
        domain: 'orders',
        version: '2.0.0',
        error: { stack: stack(id) },
      });
    lines.add(fault('a'));
    lines.add(fault('b'));
    const [one, other] = tap.take();
    assert.equal(one?.place, 'plugins/orders/template.ts:12:7');
    assert.match(one.cause ?? '', /^[0-9a-f]{16}$/);
    assert.equal(one.cause, other?.cause);
    assert.equal(one.level, 50);
  });

  it('finds the author in a stack, by his source or his bundle, and not the host', () => {
    const host = '    at run (/srv/beds/host/request/operation.ts:106:23)\n    at new Promise (node:internal/x:1:2)';
    const inDist = '    at run (file:///srv/beds/dist/host/request/operation.js:106:23)';
    for (const place of ['template.ts:12:7', '../../lib/a.ts:1:2', 'beds://orders@1.0.0/index.js:3:4']) {
      assert.equal(placeOf(`Error: x\n${host}\n${inDist}\n    at Object.fail (${place})\n${host}`), place);
      assert.equal(placeOf(`Error: x\n    at async ${place}\n${host}`), place);
    }
    assert.equal(placeOf(`Error: x\n${host}`), '/srv/beds/host/request/operation.ts:106:23');
    assert.equal(placeOf('Error: x'), undefined);
  });

  it('goes on after a line that cannot be read', () => {
    const { tap, lines } = open();
    lines.add('{"level":"info","msg":');
    lines.add(line('well'));
    assert.deepEqual(
      tap.take().map(({ message }) => message),
      ['well'],
    );
    assert.equal(tap.dropped, 1);
  });
});
