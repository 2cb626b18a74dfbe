import assert from 'node:assert/strict';
import type { Manifest } from '@beds/sdk';
import type { Channel, ConsumeMessage } from 'amqplib';
import template from '../domains/echo/template.js';
import { Delivery } from '../../host/amqp/queue-consumer.js';
import { type Reply, ReplyPublisher, type ReplySettled } from '../../host/amqp/reply-publisher.js';
import { configSchema } from '../../host/config/schema.js';
import { CallerBook } from '../../host/request/observations.js';
import { ServingGeneration } from '../../host/request/serving-generation.js';
import type { StoreAdapter } from '../../host/stores/contract.js';
import { GenerationRegistry } from '../../host/template/registry.js';
import { bareRequestPath } from './bare-request-path.js';

/** The request path with nothing before and nothing behind it. */
export interface DispatchProbe {
  /** The body of every message. */
  readonly body: Buffer;
  /** Hands in so many messages at once; resolves when the last is settled. */
  burst(count: number): Promise<void>;
}

/** Takes replies, and remembers the last. */
class NoReplies extends ReplyPublisher {
  last: Reply | undefined;

  override publish(reply: Reply, onSettled: ReplySettled): void {
    this.last = reply;
    onSettled('confirmed');
  }
}

export async function makeDispatchProbe(): Promise<DispatchProbe> {
  const config = configSchema.parse({});
  const registry = new GenerationRegistry<ServingGeneration>();
  const manifest: Manifest = { ...template.definition, entry: 'index.mjs', files: {} };
  const source = { id: 1, hash: '', manifest, code: '', sourceMap: '', objects: {} };
  const callers = new CallerBook();
  const adapter = {} as StoreAdapter;
  registry.prepare(
    new ServingGeneration(source, template, { node: 'bench', adapter, callers, defaultAccess: 'anyone' }),
  );
  registry.apply([{ domain: manifest.domain, active: 1 }]);
  const replies = new NoReplies();
  const path = bareRequestPath(config, { registry, replies, callers });
  const message = makeMessage(config.amqp.prefix);
  const channel = { ack: () => undefined, nack: () => undefined, reject: () => undefined } as unknown as Channel;
  const burst = (count: number): Promise<void> =>
    new Promise((resolve) => {
      let left = count;
      const intake = {
        nearPrefetchLimit: false,
        settled: (): void => {
          left -= 1;
          if (left === 0) resolve();
        },
      };
      for (let n = 0; n < count; n++) path.handle(new Delivery(channel, message, intake));
    });
  await burst(1);
  assert.match(String(replies.last?.body), /"ok":true/, 'the probe answers');
  return { body: message.content, burst };
}

function makeMessage(prefix: string): ConsumeMessage {
  const payload = { text: 'a text that is as long as what people send, give or take', number: 42, flag: true };
  const envelope = { v: 1, id: 'b-1', domain: 'echo', op: 'echo', payload, meta: { client: 'bench' } };
  const fields = { exchange: `${prefix}.request`, routingKey: 'echo.echo', redelivered: false, deliveryTag: 1 };
  const properties = {
    contentType: 'application/json',
    correlationId: 'b-1',
    replyTo: 'amq.rabbitmq.reply-to.g1h2AA5yZXBseUA4OTU2MDI0NgAAFAAAAAAAZQ.Jx5u8J2jv0Xb',
    headers: {},
  };
  return { content: Buffer.from(JSON.stringify(envelope)), fields, properties } as unknown as ConsumeMessage;
}
