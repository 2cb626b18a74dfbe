import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { PublishBarrier } from '../host/amqp/reply-publisher.js';
import { quietFor } from './support/eventually.js';

/** A channel whose answers are given by hand. */
function makeChannel() {
  const questions: { answer: () => void; fail: (error: Error) => void }[] = [];
  const prefetch = (): Promise<Record<string, never>> =>
    new Promise((resolve, reject) => questions.push({ answer: () => resolve({}), fail: reject }));
  return { prefetch, questions };
}

describe('a barrier of a channel without confirms', () => {
  it('asks once for all that is published in a turn, and tells of each when it is answered', async () => {
    const { questions, ...channel } = makeChannel();
    const passed: number[] = [];
    const barrier = new PublishBarrier<number>(channel, (item) => passed.push(item));
    for (const item of [1, 2, 3]) barrier.add(item, true);
    await turn();
    assert.equal(questions.length, 1);
    assert.deepEqual(passed, []);
    questions[0]?.answer();
    await turn();
    assert.deepEqual(passed, [1, 2, 3]);
  });

  it('does not confirm what was published after the question', async () => {
    const { questions, ...channel } = makeChannel();
    const passed: number[] = [];
    const barrier = new PublishBarrier<number>(channel, (item) => passed.push(item));
    barrier.add(1, true);
    await turn();
    barrier.add(2, true);
    barrier.add(3, false);
    await turn();
    assert.equal(questions.length, 1, 'one question at a time');
    questions[0]?.answer();
    await turn();
    assert.deepEqual(passed, [1]);
    assert.equal(questions.length, 2, 'what waited is asked for at once');
    questions[1]?.answer();
    await turn();
    assert.deepEqual(passed, [1, 2, 3]);
  });

  it('asks by itself after 5 ms where nothing is urgent, also after a question was under way', async (t) => {
    const { timers } = t.mock;
    timers.enable({ apis: ['setTimeout'] });
    const { questions, ...channel } = makeChannel();
    const passed: number[] = [];
    const barrier = new PublishBarrier<number>(channel, (item) => passed.push(item));
    barrier.add(1, false);
    timers.tick(4);
    assert.equal(questions.length, 0, 'others may come');
    timers.tick(1);
    assert.equal(questions.length, 1);
    barrier.add(2, false);
    timers.tick(30);
    assert.equal(questions.length, 1, 'one question at a time');
    questions[0]?.answer();
    await turn();
    timers.tick(5);
    assert.equal(questions.length, 2, 'the question that was under way has not swallowed this one');
    questions[1]?.answer();
    await turn();
    assert.deepEqual(passed, [1, 2]);
  });

  it('tells nothing of a channel that closed', async () => {
    const { questions, ...channel } = makeChannel();
    const passed: number[] = [];
    const barrier = new PublishBarrier<number>(channel, (item) => passed.push(item));
    barrier.add(1, true);
    await turn();
    questions[0]?.fail(new Error('Channel closed'));
    await turn();
    barrier.add(2, true);
    await quietFor(30);
    assert.deepEqual(passed, []);
    assert.equal(questions.length, 1, 'nor asks it again');
  });
});
