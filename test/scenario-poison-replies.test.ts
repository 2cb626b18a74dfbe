import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { PlainCaller } from './support/plain-caller.js';
import { directReplyTo, forgedNode, poisonAddresses } from './support/poison-addresses.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const CALLERS = 10;
const ROUNDS = 30;
const PAUSE_MS = 100;
/** Of each kind in each thread the first at once, and every ten seconds how many there were. */
const MOST_LINES = 30;
/** More than what is prefetched. */
const FORGED = 400;

const body = { v: 1, id: 'a', domain: 'notes', op: 'version' } as const;

describe('reply addresses that RabbitMQ closes the connection over', () => {
  it('cost no caller an answer, and no operator', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
    const channel = await host.plainChannel();
    const { replyTo } = await directReplyTo(await host.plainChannel());
    const poison = poisonAddresses(replyTo);
    const callers = await Promise.all(Array.from({ length: CALLERS }, () => PlainCaller.open(host)));

    for (let round = 0; round < ROUNDS; round += 1) {
      for (const replyTo of poison) {
        const properties = { contentType: 'application/json', correlationId: randomUUID(), replyTo };
        channel.publish(`${host.prefix}.request`, 'notes.version', Buffer.from(JSON.stringify(body)), properties);
        if (round % 10 === 0) {
          const question = Buffer.from(JSON.stringify({ v: 2, op: 'history' }));
          channel.publish(`${host.prefix}.admin`, '', question, properties);
        }
      }
      // n.b. somebody who came just now is not known to be good either.
      const latest = await PlainCaller.open(host);
      const replies = await Promise.all(
        [...callers, latest].map((caller) => caller.ask({ routingKey: 'notes.version', body })),
      );
      assert.deepEqual(
        replies.map(({ ok }) => ok),
        replies.map(() => true),
        `round ${round}`,
      );
      // Spreads the rounds over the time in which the hostile ones are tried.
      await delay(PAUSE_MS);
    }
    const { code, stderr } = await beds(['status', '--json'], { env });
    assert.equal(code, 0, stderr);
    const lost = host.log.filter(
      ({ msg, connection }) => msg === 'connection waiting' && !String(connection).endsWith('reply-trial'),
    );
    assert.deepEqual(lost, [], 'no other connection was lost');
    const said = host.log.filter(({ msg }) => msg.startsWith('connection waiting'));
    assert.ok(said.length > 0 && said.length <= MOST_LINES, `${said.length} lines, and no flood`);
  });

  it('keep nobody waiting who comes after more of them than the host takes at once', async (t) => {
    const config = { threads: { default: { count: 1 } } };
    const host = await startTestHost(t, { services, config });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const channel = await host.plainChannel();
    for (let index = 0; index < FORGED; index += 1) {
      const properties = { contentType: 'application/json', correlationId: 'x', replyTo: forgedNode(1_000 + index) };
      channel.publish(`${host.prefix}.request`, 'notes.version', Buffer.from(JSON.stringify(body)), properties);
    }
    const caller = await PlainCaller.open(host);
    const { ok } = await caller.ask({ routingKey: 'notes.version', body });
    assert.equal(ok, true);
    const startedAtMs = performance.now();
    await host.host.stop();
    const tookMs = performance.now() - startedAtMs;
    assert.ok(tookMs < host.config.supervisor.drainTimeoutMs, `the host ends in order, after ${tookMs} ms`);
  });
});
