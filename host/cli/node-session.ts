import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel } from 'amqplib';
import { BedsError } from '@beds/sdk';
import { settlesWithin, withTimeout } from '#sdk/time';
import { connect } from '../amqp/driver.js';
import { makeNames, type Names } from '../amqp/names.js';
import { cliErrors } from '../errors/cli.js';
import type { AdminQuestion, OrderAnswer, OrderName, RefusedAnswer } from '../admin/protocol.js';

export interface SessionOptions {
  readonly url: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/** An order as JSON; a deploy has its bundles in base64. */
export interface OrderMessage {
  readonly v: 1;
  readonly op: OrderName;
  readonly [member: string]: unknown;
}

/** Nodes answer a question within milliseconds of each other. */
const QUIET_MS = 300;
const CONNECT_TIMEOUT_MS = 5_000;
/** RabbitMQ reads nothing from a connection that it blocks, not even that it is closed. */
const CLOSE_TIMEOUT_MS = 500;
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
  readonly #userId: string | undefined;
  readonly #blocked = new AbortController();

  constructor(model: ChannelModel, { url, prefix, signal }: SessionOptions) {
    this.#model = model;
    this.#names = makeNames(prefix);
    this.#signal = signal;
    this.#userId = userOf(url);
    model.on('blocked', () => this.#blocked.abort());
  }

  /**
   * What the nodes answer to a question, refusals among it; empty when none answers. `expected`: how many are known; without
   * it, as many as answer within moments of each other.
   */
  ask<A>(question: AdminQuestion, timeoutMs: number, expected?: number): Promise<readonly (A | RefusedAnswer)[]> {
    const quietMs = expected === undefined ? QUIET_MS : timeoutMs;
    return this.#gather(this.#names.admin, question, { timeoutMs, quietMs, expected: expected ?? Infinity });
  }

  /** What the nodes answer to an order; `expected`: how many shall. */
  order(order: OrderMessage, timeoutMs: number, expected: number): Promise<readonly OrderAnswer[]> {
    return this.#gather(this.#names.operate, order, { timeoutMs, quietMs: timeoutMs, expected });
  }

  /** Ends within moments, whatever RabbitMQ does. */
  async close(): Promise<void> {
    await settlesWithin(this.#model.close(), CLOSE_TIMEOUT_MS);
    // n.b. amqplib has no other way to let go of the socket.
    (this.#model.connection as unknown as { stream?: { destroy(): void } }).stream?.destroy();
  }

  async #gather<A>(
    exchange: string,
    message: object,
    patience: Pick<Gathering, 'timeoutMs' | 'quietMs' | 'expected'>,
  ): Promise<readonly A[]> {
    const channel = await withTimeout(this.#model.createChannel(), patience.timeoutMs, noAnswer);
    const blocked = this.#blocked.signal;
    const asking = { ...patience, exchange, message, userId: this.#userId, signal: this.#signal, blocked };
    try {
      return await gather<A>(channel, asking);
    } finally {
      await settlesWithin(channel.close(), CLOSE_TIMEOUT_MS);
    }
  }
}

function noAnswer(): Error {
  return cliErrors.make('BEDS_CLI_NO_NODES', 'RabbitMQ did not answer in time.');
}

/** Undefined where the URL leaves it to the client. */
function userOf(url: string): string | undefined {
  const name = URL.canParse(url) ? new URL(url).username : '';
  return name === '' ? undefined : decodeURIComponent(name);
}

interface Gathering {
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  /** After this much silence no more is expected. */
  readonly quietMs: number;
  readonly exchange: string;
  readonly message: object;
  readonly expected: number;
  /** The account; RabbitMQ vouches for it to the nodes. */
  readonly userId: string | undefined;
  readonly signal: AbortSignal;
  /** Aborted when RabbitMQ takes nothing from this connection any more. */
  readonly blocked: AbortSignal;
}

async function gather<A>(channel: Channel, options: Gathering): Promise<readonly A[]> {
  const { exchange, message, expected, userId, signal, blocked, timeoutMs, quietMs } = options;
  const correlationId = randomUUID();
  const answers: A[] = [];
  let timer: NodeJS.Timeout | undefined;
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  timer = setTimeout(end, timeoutMs);
  for (const each of [signal, blocked]) each.addEventListener('abort', end);
  let refusal: unknown;
  channel.on('error', (error: unknown) => {
    refusal = error;
  });
  channel.on('close', end);
  // Nobody is bound to the exchange: no host runs.
  channel.on('return', end);
  try {
    const consuming = channel.consume(
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
    await withTimeout(consuming, timeoutMs, noAnswer);
    channel.publish(exchange, '', Buffer.from(JSON.stringify(message)), {
      ...{ contentType: 'application/json', replyTo: DIRECT, correlationId, mandatory: true },
      ...{ expiration: timeoutMs, ...(userId === undefined ? {} : { userId }) },
    });
    if (signal.aborted || blocked.aborted) end();
    await ended;
    if (blocked.aborted && answers.length === 0) throw cliErrors.make('BEDS_CLI_BROKER_BLOCKED');
    if (isForbidden(refusal)) throw cliErrors.make('BEDS_CLI_FORBIDDEN', undefined, { cause: refusal });
    return answers;
  } finally {
    clearTimeout(timer);
    for (const each of [signal, blocked]) each.removeEventListener('abort', end);
  }
}

const ACCESS_REFUSED = 403;

function isForbidden(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === ACCESS_REFUSED;
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
