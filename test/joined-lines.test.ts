import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Joined, JoinedLines, joinedText, type Line, type LineKind } from '../host/observe/joined-lines.js';

interface Written extends Joined {
  readonly line: Line;
  readonly kind: LineKind;
}

const HOUR_MS = 3_600_000;

function joining(maxLines?: number): { readonly joined: JoinedLines; readonly written: Written[] } {
  const written: Written[] = [];
  const joined = new JoinedLines({
    intervalMs: HOUR_MS,
    write: (line, kind, counted) => written.push({ line, kind, ...counted }),
    ...(maxLines === undefined ? {} : { maxLines }),
  });
  return { joined, written };
}

const lineOf = (message: string, fields: Line['fields'] = {}): Line => ({ level: 'error', message, fields });
const kindOf = (key: string, writer = 'notes 1.0.0'): LineKind => ({ key, writer });

describe('equal lines of a log', () => {
  it('are two: the first at once, and how many more there were', () => {
    const { joined, written } = joining();
    for (let index = 0; index < 2_570; index += 1) joined.add(lineOf('fault'), kindOf('a'));
    assert.deepEqual(
      written.map(({ count, isFirst }) => ({ count, isFirst })),
      [{ count: 1, isFirst: true }],
    );
    joined.flush();
    const [, rest] = written;
    assert.ok(rest);
    assert.deepEqual(joinedText(rest.line, rest.kind, { ...rest, intervalMs: 10_000 }), {
      message: 'fault: 2,569 more like it in 10 s',
      fields: { more: 2_569 },
    });
    joined.flush();
    assert.equal(written.length, 2, 'nothing came since');
    joined.add(lineOf('fault'), kindOf('a'));
    assert.equal(written.at(-1)?.isFirst, true, 'it is a new one after a while');
    joined.flush();
  });

  it('lose what is of one of them alone', () => {
    const { joined, written } = joining();
    const fields = { domain: 'notes', requestId: 'r-1', thread: 'default-1', error: 'x'.repeat(100_000) };
    for (let index = 0; index < 2; index += 1) joined.add(lineOf('fault', fields), kindOf('a'));
    joined.flush();
    assert.equal(written[0]?.line.fields, fields);
    assert.deepEqual(Object.keys(written[1]?.line.fields ?? {}), ['domain', 'error']);
    assert.ok(String(written[1]?.line.fields['error']).length <= 1_000);
  });

  it('are compared by more than their beginning', () => {
    const { joined, written } = joining();
    for (const end of ['a', 'b', 'a']) joined.add(lineOf(end), kindOf(`${'x'.repeat(10_000)}${end}`));
    joined.flush();
    assert.deepEqual(
      written.map(({ line, count }) => [line.message, count]),
      [
        ['a', 1],
        ['b', 1],
        ['a', 1],
      ],
    );
  });
});

describe('lines of a log that are not equal', () => {
  it('are bounded for each writer, and what is left out is counted', () => {
    const { joined, written } = joining(100);
    for (let index = 0; index < 10_000; index += 1) joined.add(lineOf(`no ${index}`), kindOf(`no ${index}`));
    joined.add(lineOf('other'), kindOf('other', 'tasks 1.0.0'));
    assert.equal(written.length, 101);
    joined.flush();
    const rest = written.at(-1);
    assert.ok(rest);
    assert.equal(written.length, 102);
    assert.deepEqual(joinedText(rest.line, rest.kind, { ...rest, intervalMs: 10_000 }), {
      message: 'further lines of notes 1.0.0 were left out: 9,900',
      fields: { leftOut: 9_900 },
    });
    joined.add(lineOf('later'), kindOf('later'));
    assert.equal(written.at(-1)?.line.message, 'later', 'the next interval has room');
    joined.flush();
  });

  it('are counted all the same when there are more kinds than are joined, and more writers', () => {
    const { joined, written } = joining();
    let added = 0;
    for (let writer = 0; writer < 1_200; writer += 1) {
      for (let index = 0; index < 5; index += 1, added += 1) {
        joined.add(lineOf('x'), kindOf(`${writer} ${index}`, `domain-${writer}`));
      }
    }
    joined.flush();
    assert.equal(
      written.reduce((sum, { count }) => sum + count, 0),
      added,
    );
  });
});
