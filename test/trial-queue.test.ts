import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrialQueue } from '../host/amqp/reply-trials.js';

interface Item {
  readonly name: string;
  readonly group: string | undefined;
  readonly bytes: number;
}

const item = (name: string, group: string | undefined, bytes = 1): Item => ({ name, group, bytes });

function makeQueue(): { readonly queue: TrialQueue<Item>; readonly dropped: string[] } {
  const dropped: string[] = [];
  const queue = new TrialQueue<Item>({
    groupOf: ({ group }) => group,
    bytesOf: ({ bytes }) => bytes,
    onDropped: ({ name }) => dropped.push(name),
  });
  return { queue, dropped };
}

describe('what waits for its trial', () => {
  it('comes in the order: likely harmless, shared by most, alone', () => {
    const { queue } = makeQueue();
    queue.add(item('alone', undefined));
    queue.add(item('alone too', undefined));
    queue.add(item('of a small group', 'small'));
    queue.add(item('of a large group', 'large'));
    queue.add(item('of a large group too', 'large'));
    queue.addLikely(item('likely', 'small'));
    const order = Array.from({ length: 7 }, () => queue.take()?.name);
    assert.deepEqual(order, [
      ...['likely', 'of a large group', 'of a small group', 'of a large group too', 'alone', 'alone too', undefined],
    ]);
  });

  it('drops of the smallest group when too many wait, and none that is likely harmless', () => {
    const { queue, dropped } = makeQueue();
    queue.addLikely(item('likely', 'good'));
    queue.add(item('good', 'good'));
    queue.add(item('good too', 'good'));
    for (let index = 0; index < 1_500; index += 1) queue.add(item(`bad ${index}`, `bad ${index}`));
    assert.equal(dropped.length, 502);
    assert.equal(dropped[0], 'bad 0');
    assert.deepEqual([queue.take()?.name, queue.take()?.name], ['likely', 'good']);
    const left = Array.from({ length: 1_100 }, () => queue.take()?.name).filter((name) => name !== undefined);
    assert.equal(left.length, 999);
    assert.ok(left.includes('good too'));
  });

  it('is bounded by its bytes as well, and forgets what need not be sent', () => {
    const { queue, dropped } = makeQueue();
    const large = [0, 1, 2].map((index) => item(`large ${index}`, undefined, 16_000_000));
    for (const each of large) queue.add(each);
    assert.deepEqual(dropped, ['large 0']);
    for (const each of large) queue.delete(each);
    assert.equal(queue.take(), undefined);
    for (const each of large.slice(1)) queue.add(each);
    assert.deepEqual(dropped, ['large 0']);
  });
});
