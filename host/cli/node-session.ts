import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel } from 'amqplib';
import { BedsError } from '@beds/sdk';
import { connect } from '../amqp/driver.js';
import { makeNames, type Names } from '../amqp/names.js';
import { cliErrors } from '../errors/cli.js';
import type { AdminQuestion, RefusedAnswer } from '../supervisor/operate/protocol.js';

export interface SessionOptions {
  readonly url: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
}

export interface OrderMessage {
  readonly v: 1;
  readonly op: string;
  readonly node?: string;
}

/** How long to wait for answers, milliseconds. */
export interface Patience {
  /** For the first one. */
  readonly timeoutMs: number;
  /** After this much silence no more is expected. */
  readonly quietMs: number;
}

/** Nodes answer a question within milliseconds of each other. */
const QUIET_MS = 300;
const CONNECT_TIMEOUT_MS = 5_000;
const DIRECT = 'amq.rabbitmq.reply-to';

/** Connects to RabbitMQ. Throws BEDS_CLI_NO_NODES when it cannot be reached. */
export async function openNodes(options: SessionOptions): Promise<NodeSession> {
  try {
    const model = await connect(options.url, { noDelay: true, timeout: CONNECT_TIMEOUT_MS });
    model.on('error', () => undefined);
    return new NodeSession(model, options);
  } catch (cause) {
    throw cliErrors.make('BEDS_CLI_NO_NODES', 'RabbitMQ could not be reached.', { cause });
  }
}

/** A connection over which all nodes are asked, one message after the other. */
export class NodeSession {
  readonly #model: ChannelModel;
  readonly #names: Names;
  readonly #signal: AbortSignal;

  constructor(model: ChannelModel, { prefix, signal }: SessionOptions) {
    this.#model = model;
    this.#names = makeNames(prefix);
    this.#signal = signal;
  }

  /** What the nodes answer to a question, refusals among it; empty when none answers. `expected`: nodes that are known. */
  ask<A>(question: AdminQuestion, timeoutMs: number, expected?: number): Promise<readonly (A | RefusedAnswer)[]> {
    const patience = { timeoutMs, quietMs: expected === undefined ? QUIET_MS : timeoutMs };
    return this.#gather(this.#names.admin, question, { ...patience, expected: expected ?? Infinity });
  }

  /** What the nodes answer to an order. */
  order<A>(order: OrderMessage, patience: Patience): Promise<readonly (A | RefusedAnswer)[]> {
    const expected = order.node === undefined ? Infinity : 1;
    return this.#gather(this.#names.operate, order, { ...patience, expected });
  }

  async close(): Promise<void> {
    await this.#model.close().catch(() => undefined);
  }

  async #gather<A>(
    exchange: string,
    message: object,
    patience: Patience & { readonly expected: number },
  ): Promise<readonly A[]> {
    const channel = await this.#model.createChannel();
    try {
      return await gather<A>(channel, { ...patience, exchange, message, signal: this.#signal });
    } finally {
      await channel.close().catch(() => undefined);
    }
  }
}

interface Gathering extends Patience {
  readonly exchange: string;
  readonly message: object;
  readonly expected: number;
  readonly signal: AbortSignal;
}

async function gather<A>(channel: Channel, options: Gathering): Promise<readonly A[]> {
  const { exchange, message, expected, signal, timeoutMs, quietMs } = options;
  const correlationId = randomUUID();
  const answers: A[] = [];
  let timer: NodeJS.Timeout | undefined;
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  timer = setTimeout(end, timeoutMs);
  signal.addEventListener('abort', end);
  channel.on('error', () => undefined);
  channel.on('close', end);
  // Nobody is bound to the exchange: no host runs.
  channel.on('return', end);
  try {
    await channel.consume(
      DIRECT,
      (reply) => {
        if (reply?.properties.correlationId !== correlationId) return;
        answers.push(JSON.parse(reply.content.toString('utf8')) as A);
        clearTimeout(timer);
        timer = answers.length >= expected ? undefined : setTimeout(end, quietMs);
        if (answers.length >= expected) end();
      },
      { noAck: true },
    );
    channel.publish(exchange, '', Buffer.from(JSON.stringify(message)), {
      ...{ contentType: 'application/json', replyTo: DIRECT, correlationId, mandatory: true },
      expiration: timeoutMs,
    });
    if (signal.aborted) end();
    await ended;
    return answers;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

export function isRefused(answer: object): answer is RefusedAnswer {
  return 'ok' in answer && answer.ok === false;
}

/** The answers that are no refusals. Throws the first refusal when there is nothing else, BEDS_CLI_NO_NODES without any. */
export function requireOneAnswer<A extends object>(answers: readonly (A | RefusedAnswer)[]): readonly A[] {
  const good = answers.flatMap((answer) => (isRefused(answer) ? [] : [answer]));
  const [refused] = answers.filter(isRefused);
  if (good.length > 0) return good;
  throw refused === undefined ? cliErrors.make('BEDS_CLI_NO_NODES') : refusalError(refused);
}

/** The error that a node answered with. */
export function refusalError({ node, error }: RefusedAnswer): BedsError {
  const { code, message, hint } = error;
  const spec = { message, status: 'fault', action: hint ?? 'Ask the node again.' } as const;
  return new BedsError(code, spec, { message: `${node}: ${message}` });
}
