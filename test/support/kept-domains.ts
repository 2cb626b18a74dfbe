import type { ReplyEnvelope, RequestEnvelope } from '#sdk/template';
import type { Json } from '@beds/sdk';
import { ADMIN_VERSION } from '../../host/admin/protocol.js';
import { makeNames } from '../../host/amqp/names.js';
import type { TestNodes } from './admin-nodes.js';

/** What an operation answers; throws what is sent as `{code, message, status}`. */
export type Operation = (input: Readonly<Record<string, unknown>>, request: RequestEnvelope) => Json;

/** What stands in for a host with domains that keep something: operations by `domain.operation`, or `domain.*`. Returns what was asked of it. */
export async function serveKept(
  { model, prefix }: Pick<TestNodes, 'model' | 'prefix'>,
  operations: Readonly<Record<string, Operation>>,
): Promise<readonly RequestEnvelope[]> {
  const asked: RequestEnvelope[] = [];
  const channel = await model.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const name of Object.keys(operations)) await channel.bindQueue(queue, makeNames(prefix).requests, name);
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const body = JSON.parse(message.content.toString()) as RequestEnvelope | readonly RequestEnvelope[];
      const requests = [body].flat();
      asked.push(...requests);
      const replies = requests.map((request) => replyTo(request, operations));
      const { replyTo: address, correlationId } = message.properties as Readonly<
        Record<'replyTo' | 'correlationId', string>
      >;
      const content = Buffer.from(JSON.stringify(Array.isArray(body) ? replies : replies[0]));
      channel.sendToQueue(address, content, { correlationId });
    },
    { noAck: true },
  );
  return asked;
}

/** What stands in for an admin node: what it answers itself, by `op`. */
export async function serveDesk(
  { model, prefix }: Pick<TestNodes, 'model' | 'prefix'>,
  answers: Readonly<Record<string, unknown>>,
): Promise<void> {
  const channel = await model.createChannel();
  // n.b. no exclusive one: whoever asks looks first whether it is there.
  const { queue } = await channel.assertQueue(makeNames(prefix).desk, { durable: true, autoDelete: true });
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return;
      const { op } = JSON.parse(message.content.toString()) as { readonly op: string };
      const said = { v: ADMIN_VERSION, op, node: 'admin-1', ok: true };
      const answer = { ...said, asker: { name: '', verified: true }, result: answers[op] };
      const content = Buffer.from(JSON.stringify({ ...said, answers: [answer], asked: [], nodeCount: 1 }));
      const { replyTo: address, correlationId } = message.properties as Readonly<
        Record<'replyTo' | 'correlationId', string>
      >;
      channel.sendToQueue(address, content, { correlationId });
    },
    { noAck: true },
  );
}

function replyTo(request: RequestEnvelope, operations: Readonly<Record<string, Operation>>): ReplyEnvelope {
  const { id, domain, op, payload, query } = request;
  const by = { node: 'kept-1', domain, version: '1.0.0', generation: 1 };
  try {
    const data =
      (operations[`${domain}.${op}`] ?? operations[`${domain}.*`])?.(
        (payload ?? query ?? {}) as Readonly<Record<string, unknown>>,
        request,
      ) ?? null;
    return { v: 1, id, ok: true, data, by };
  } catch (error) {
    const { code, message, status } = error as Readonly<Record<'code' | 'message', string>> & {
      readonly status: 'forbidden';
    };
    return { v: 1, id, ok: false, by, error: { code, message, status, retryable: false } };
  }
}
