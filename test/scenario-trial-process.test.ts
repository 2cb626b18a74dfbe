import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { BundleOptions } from './support/bundles.js';
import { eventually } from './support/host.js';
import { childrenOf, type HostProcess } from './support/host-process.js';
import { begin, codeOf, type Lives, read } from './support/lives.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices, type Teardown } from './support/services.js';
import { HIDDEN, waysOutHead } from './support/ways-out.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const TEST_MS = 90_000;
const TRIED = 'tried in a process of its own';
const ENDED = 'broker thread ended; it is replaced';

interface Tried extends Lives {
  readonly second: HostProcess;
}

/** A host that was killed under this version, and that serves it now from a process of its own, for long. */
async function tryApart(t: Teardown, bundle: BundleOptions): Promise<Tried> {
  const lives = await begin(t, { services, trialMs: 60_000 }, bundle);
  const first = lives.next();
  await first.serving;
  const asked = codeOf(lives.client.domain('notes').call('slow', { ms: 300 }));
  await eventually('it runs', async () => (await codeOf(read(lives.client, 'version'))) === 'answered "1.0.0"');
  await first.kill();
  const second = lives.next();
  await second.serving;
  await second.logged('it is kept apart', ({ msg }) => msg === TRIED);
  assert.equal(await asked, 'answered {"waited":300}');
  return { ...lives, second };
}

/** The process that a trial runs in. */
function processOf({ pid }: HostProcess): number {
  const [found] = childrenOf(pid).filter((child) =>
    readFileSync(`/proc/${String(child)}/cmdline`, 'utf8').includes('threads/main'),
  );
  assert.ok(found !== undefined, 'there is one');
  return found;
}

describe('a version that is tried in a process of its own', { timeout: TEST_MS * 4 }, () => {
  it('reaches no secret and no module from there, as little as from a thread', async (t) => {
    const operations = {
      look: { mode: 'read', args: { way: { type: 'string' } }, run: `return await tryWay(input.way, ctx);` },
    } as const;
    const { client, second } = await tryApart(t, notesBundle({ head: waysOutHead(), operations }));
    const found: Record<string, unknown> = {};
    for (const way of Object.keys(HIDDEN)) {
      const answer = await client.domain('notes').call('look', { way });
      if (answer !== '') found[way] = answer;
    }
    assert.deepEqual(found, {});
    assert.deepEqual(
      second.log.filter(({ msg }) => msg === ENDED),
      [],
    );
  });

  it('ends that process by an exception that nobody catches, and is blamed for it', async (t) => {
    const late = `setTimeout(() => { throw new Error('late'); }, 50); return 'set';`;
    const nothing = `setTimeout(() => { throw undefined; }, 50); return 'set';`;
    const operations = { late: { mode: 'read', run: late }, nothing: { mode: 'read', run: nothing } } as const;
    const { client, second } = await tryApart(t, notesBundle({ operations }));
    for (const [index, op] of ['late', 'nothing'].entries()) {
      const before = processOf(second);
      assert.equal(await codeOf(read(client, op)), 'answered "set"');
      const ended = (): typeof second.log => second.log.filter(({ msg }) => msg === ENDED);
      await eventually(`it has ended by '${op}'`, () => ended().length > index, 20_000);
      assert.equal(ended()[index]?.['domain'], 'notes', JSON.stringify(ended()[index]));
      assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"');
      assert.notEqual(processOf(second), before);
    }
    assert.deepEqual(
      second.log.filter(({ msg }) => msg.includes('quarantined')),
      [],
    );
  });

  it('finishes what it has when a whole group of processes is stopped, and nobody is blamed', async (t) => {
    const lives = await tryApart(t, notesBundle());
    const { client, second } = lives;
    const asked = codeOf(client.domain('notes').call('slow', { ms: 1_000 }));
    await eventually('it runs', async () => (await codeOf(read(client, 'version'))) === 'answered "1.0.0"');
    const apart = processOf(second);
    process.kill(apart, 'SIGTERM');
    await second.stop();
    assert.equal(await asked, 'answered {"waited":1000}');
    await eventually('it is gone', () => !existsSync(`/proc/${String(apart)}`));
    assert.deepEqual(
      second.log.filter(({ msg }) => msg === ENDED || msg.includes('quarantined')),
      [],
    );
  });

  it('does not outlive a host that is killed, though its code is busy', async (t) => {
    const busy = `ctx.log.info('it is busy'); for (const until = Date.now() + 30_000; Date.now() < until; );`;
    const { client, second } = await tryApart(t, notesBundle({ operations: { busy: { mode: 'read', run: busy } } }));
    const apart = processOf(second);
    void codeOf(read(client, 'busy'));
    await second.logged('it is busy', ({ msg }) => msg === 'it is busy');
    await second.kill();
    await eventually('it is gone', () => !existsSync(`/proc/${String(apart)}`), 3_000);
  });
});
