import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import type { ChannelModel } from 'amqplib';
import { HandOver } from '../host/amqp/hand-over.js';
import { ProgramPolicy } from '../host/access/programs.js';
import { AbsentRoles, type AbsentRolesOptions } from '../host/request/absent-roles.js';
import { eventually } from './support/eventually.js';

const MANY = 150;

/** Queues that nobody consumes, with writes in them that nobody waits for; what is asked of one called `refused` RabbitMQ refuses. */
class Abandoned {
  readonly acked: string[] = [];
  refusals = 0;
  readonly #left = new Map<string, number>();

  readonly model = { createChannel: () => Promise.resolve(this.#channel()) } as unknown as ChannelModel;

  #channel(): EventEmitter {
    const delivered: string[] = [];
    const channel: EventEmitter = Object.assign(new EventEmitter(), {
      get: (queue: string) => {
        if (queue.startsWith('refused')) {
          this.refusals += 1;
          if (this.refusals === 1) channel.emit('error', new Error('ACCESS_REFUSED'));
          channel.emit('close');
          return Promise.reject(new Error('ACCESS_REFUSED'));
        }
        const number = (this.#left.get(queue) ?? 0) + 1;
        this.#left.set(queue, number);
        if (number > MANY) return Promise.resolve(false);
        const text = `${queue} ${String(number)}`;
        const deliveryTag = delivered.push(text);
        const fields = { deliveryTag, redelivered: false, exchange: 'x', routingKey: queue };
        return Promise.resolve({ content: Buffer.from(text), fields, properties: { userId: 'shop', headers: {} } });
      },
      ack: ({ fields }: { readonly fields: { readonly deliveryTag: number } }, isUpTo: boolean) => {
        const { deliveryTag } = fields;
        this.acked.push(...delivered.slice(isUpTo ? 0 : deliveryTag - 1, deliveryTag));
      },
      nack: () => assert.fail('what is given back so is marked as delivered before'),
    });
    return channel;
  }
}

interface Answering {
  readonly abandoned: Abandoned;
  readonly roles: AbsentRoles;
  readonly looks: () => number;
}

function answering(domains: readonly string[], publish: HandOver['publish']): Answering {
  const abandoned = new Abandoned();
  let looks = 0;
  const options: AbsentRolesOptions = {
    domains,
    remote: {
      look: (domain) => {
        looks += 1;
        return Promise.resolve([{ queue: `${domain}.write`, ready: MANY, consumers: 0 }]);
      },
      isAway: () => true,
      rest: () => Promise.resolve(undefined),
    },
    model: () => abandoned.model,
    refuse: () => assert.fail('nobody waits for an answer'),
    handOver: Object.assign(new HandOver(), { publish }),
    programs: new ProgramPolicy({}, 'amqp://host:secret@localhost'),
    exchange: 'requests',
    holdMs: 600_000,
  };
  return { abandoned, roles: new AbsentRoles(options), looks: () => looks };
}

const writesOf = (queue: string): readonly string[] =>
  Array.from({ length: MANY }, (_, at) => `${queue} ${String(at + 1)}`);

// Much of them is waiting.
describe('writes for a role that nobody plays', { concurrency: true }, () => {
  it('go back together and in their order when the thread ends: none waits for the confirmation of another', async () => {
    const sent: string[] = [];
    const confirm: (() => void)[] = [];
    const { abandoned, roles, looks } = answering(['notes'], ({ body, properties: { userId, headers } }, onSettled) => {
      const named: unknown = (headers as Readonly<Record<string, unknown>> | undefined)?.['beds-in-name-of'];
      assert.deepEqual([userId, named], ['host', 'shop']);
      sent.push(String(body));
      confirm.push(() => onSettled('confirmed'));
    });
    await eventually('all are held', () => looks() > 1);
    const stopped = roles.stop();
    await eventually('all are sent', () => sent.length === MANY, 5_000);
    assert.deepEqual(sent, writesOf('notes.write'));
    for (const each of confirm) each();
    await stopped;
    await eventually('all are acknowledged', () => abandoned.acked.length === MANY, 5_000);
  });

  it('are kept from what RabbitMQ does to the queue of another role', async () => {
    const sent: string[] = [];
    const { abandoned, roles, looks } = answering(['notes', 'refused', 'songs'], ({ body }, onSettled) => {
      sent.push(String(body));
      onSettled('confirmed');
    });
    await eventually('all have been looked at more than once', () => looks() > 6);
    await roles.stop();
    assert.deepEqual(sent.toSorted(), [...writesOf('notes.write'), ...writesOf('songs.write')].toSorted());
    await eventually('all are acknowledged', () => abandoned.acked.length === 2 * MANY, 5_000);
    assert.ok(abandoned.refusals <= MANY, 'what is refused is not asked for again and again');
  });
});
