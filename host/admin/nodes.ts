import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { settlesWithin, withTimeout } from '#sdk/time';
import { z } from 'zod';
import type { Names } from '../amqp/names.js';
import { adminErrors } from '../errors/admin.js';
import {
  type CommandDefinition,
  type CommandInput,
  type CommandName,
  commandResult,
  type CommandResult,
  COMMANDS,
} from './commands.js';
import { ORDER_HEADER, ORDER_MS } from './orders.js';
import { ADMIN_VERSION, type Answer, type Refusal } from './protocol.js';
import { QUERIES, type QueryDefinition, type QueryInput, type QueryName, type QueryResult } from './queries.js';

export interface QueryOptions {
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  /** Nodes that are known to be there; without it, as many as answer within moments of each other. */
  readonly expected?: number;
  /** Of a query that one node answers: this one. Default: any. */
  readonly node?: string;
}

export interface CommandOptions {
  /** Only this node. */
  readonly node?: string;
  /** Longest wait until it is known which nodes are there. */
  readonly timeoutMs: number;
  /** The nodes that are known. Default: they are discovered first. */
  readonly nodes?: readonly string[];
}

/** What nodes said to a command, as it came. */
export interface CommandAnswers {
  readonly answers: readonly (Answer<CommandResult> | Refusal)[];
  /** The nodes that it was given to. */
  readonly asked: readonly string[];
  /** Nodes that answer queries. */
  readonly nodeCount: number;
}

/** An order in the name of an operator. */
export interface SignedOrder {
  readonly id: string;
  /** Of two for one domain nodes take the one that has the higher one. */
  readonly revision: number;
  readonly by: string;
  readonly sign: (body: Buffer) => string;
}

/** Nodes answer a query within milliseconds of each other; where the first one took long, the machines are busy, and the others may take longer. */
const QUIET_MS = 300;
const QUIET_OF_FIRST = 4;
/** A node accepts or refuses a command within a minute. */
export const COMMAND_TIMEOUT_MS = 65_000;
/** Whoever does not answer is looked for so often, and is waited for no longer when he is gone at two looks: nobody says when a node was killed. */
const LOOK_MS = 3_000;
const LOOKS = 2;
const COUNT_MS = 5_000;
/** RabbitMQ reads nothing from a connection that it blocks, not even that it is closed. */
const CLOSE_TIMEOUT_MS = 500;
const DIRECT = 'amq.rabbitmq.reply-to';

export interface NodesOptions {
  readonly model: ChannelModel;
  readonly names: Names;
  readonly signal: AbortSignal;
  /** The account; RabbitMQ vouches for it to the nodes. */
  readonly userId: string | undefined;
  /** Aborted when RabbitMQ takes nothing from this connection any more. */
  readonly blocked: AbortSignal;
  /** Who asks, as he says. */
  readonly by: string;
}

/** All nodes, over one connection, one message after the other. */
export class Nodes {
  readonly #options: NodesOptions;

  constructor(options: NodesOptions) {
    this.#options = options;
    // n.b. every message that waits for its answers listens.
    setMaxListeners(0, options.signal, options.blocked);
  }

  /** What every node answers to a query; empty when none answers. */
  async query<N extends QueryName>(
    op: N,
    input: QueryInput<N>,
    options: QueryOptions,
  ): Promise<readonly (Answer<QueryResult<N>> | Refusal)[]> {
    const { timeoutMs } = options;
    const definition: QueryDefinition = QUERIES[op];
    const isOfOne = definition.byOneNode === true;
    const node = isOfOne ? (options.node ?? (await this.#names(timeoutMs))[0]) : undefined;
    if (isOfOne && node === undefined) return [];
    const expected = isOfOne ? 1 : options.expected;
    return this.#gather<QueryResult<N>>({
      exchange: this.#options.names.admin,
      message: { op, ...input, ...(node === undefined ? {} : { node }) },
      result: QUERIES[op].result,
      timeoutMs,
      quietMs: expected === undefined ? QUIET_MS : timeoutMs,
      expected: expected ?? Infinity,
    });
  }

  /** Those that answer, in the order of their names. */
  async #names(timeoutMs: number): Promise<readonly string[]> {
    const answers = await this.query('quarantine', {}, { timeoutMs });
    return answers.map((answer) => answer.node).toSorted((a, b) => a.localeCompare(b));
  }

  /** Gives a command to all nodes, to one of them, or to the one named. Throws BEDS_ADMIN_NO_NODES or BEDS_ADMIN_NODE_UNKNOWN. */
  async command<N extends CommandName>(
    op: N,
    input: CommandInput<N>,
    { node, timeoutMs, nodes: known, signed }: CommandOptions & { readonly signed?: SignedOrder },
  ): Promise<CommandAnswers> {
    const nodes = known ?? (await this.#names(timeoutMs));
    const [first] = nodes;
    if (first === undefined) throw adminErrors.make('BEDS_ADMIN_NO_NODES');
    if (node !== undefined && !nodes.includes(node)) throw nodeUnknown(node, nodes);
    const definition: CommandDefinition = COMMANDS[op];
    const asked = node === undefined ? (definition.byOneNode === true ? [first] : nodes) : [node];
    const only = asked.length === 1 && asked.length < nodes.length ? asked[0] : node;
    const answered = new Set<string>();
    const over = new AbortController();
    const stillThere = async (): Promise<number> => {
      const found = await this.query('quarantine', {}, { timeoutMs: LOOK_MS, expected: Infinity });
      const seen = new Set(found.map((answer) => answer.node));
      return asked.filter((each) => !answered.has(each) && seen.has(each)).length;
    };
    void this.#lookFor(stillThere, over);
    try {
      const answers = await this.#gather<CommandResult>({
        exchange: this.#options.names.operate,
        message: { op, ...input, ...(only === undefined ? {} : { node: only }) },
        result: commandResult,
        timeoutMs: COMMAND_TIMEOUT_MS,
        quietMs: COMMAND_TIMEOUT_MS,
        expected: asked.length,
        onAnswer: (from) => answered.add(from),
        over: over.signal,
        ...(signed === undefined ? {} : { signed }),
      });
      return { answers, asked, nodeCount: nodes.length };
    } finally {
      over.abort();
    }
  }

  /** Ends a wait when nobody is there any more who could answer. */
  async #lookFor(countThere: () => Promise<number>, over: AbortController): Promise<void> {
    for (let looks = 0; looks < LOOKS;) {
      await delay(LOOK_MS, undefined, { ref: false });
      if (over.signal.aborted) return;
      // n.b. without a connection the wait ends by itself.
      const isAlone = await countThere().then(
        (count) => count === 0,
        () => false,
      );
      looks = isAlone ? looks + 1 : 0;
    }
    over.abort();
  }

  /** Sends one message to a queue that somebody consumes; undefined: no answer in time. */
  async ask(queue: string, message: object, timeoutMs: number): Promise<unknown> {
    const consumers = await this.#consumersOf(queue);
    if (consumers === 0) return AWAY;
    if (consumers === undefined) return NOBODY;
    let answer: unknown;
    const over = new AbortController();
    void this.#lookFor(async () => (await this.#consumersOf(queue)) ?? 0, over);
    try {
      await this.#exchange({
        ...{ exchange: '', routingKey: queue, body: this.#bodyOf(message), timeoutMs, over: over.signal },
        onReply: (content) => {
          answer = parseJson(content.toString('utf8'));
          return 'end';
        },
      });
    } finally {
      over.abort();
    }
    return answer;
  }

  /** Undefined: there is no such queue. n.b. RabbitMQ lets every account ask. */
  async #consumersOf(queue: string): Promise<number | undefined> {
    const channel = await withTimeout(this.#options.model.createChannel(), COUNT_MS, noAnswer);
    let isGone = false;
    channel.on('error', (error: unknown) => (isGone = hasCode(error, NOT_FOUND)));
    try {
      return (await withTimeout(channel.checkQueue(queue), COUNT_MS, noAnswer)).consumerCount;
    } catch (error) {
      if (isGone || hasCode(error, NOT_FOUND)) return undefined;
      throw error;
    } finally {
      if (!isGone) await settlesWithin(channel.close(), CLOSE_TIMEOUT_MS);
    }
  }

  async #gather<R>(asked: Broadcast): Promise<readonly (Answer<R> | Refusal)[]> {
    const { exchange, message, result, expected, timeoutMs, quietMs, signed, onAnswer, over } = asked;
    const answers: (Answer<R> | Refusal)[] = [];
    const askedAtMs = performance.now();
    let restMs = quietMs;
    const until = Date.now() + ORDER_MS;
    const order = signed === undefined ? {} : { order: { id: signed.id, revision: signed.revision, until } };
    const body = this.#bodyOf({ ...message, ...order }, signed?.by);
    await this.#exchange({
      ...{ exchange, routingKey: '', body, timeoutMs },
      ...(signed === undefined ? {} : { headers: { [ORDER_HEADER]: signed.sign(body) } }),
      onReply: (content) => {
        const answer = readAnswer(content, result) as Answer<R> | Refusal;
        if (answers.length === 0) {
          restMs = Math.max(quietMs, Math.min(timeoutMs, QUIET_OF_FIRST * (performance.now() - askedAtMs)));
        }
        answers.push(answer);
        onAnswer?.(answer.node);
        return answers.length >= expected ? 'end' : restMs;
      },
      hasAnswers: () => answers.length > 0,
      ...(over === undefined ? {} : { over }),
    });
    return answers;
  }

  #bodyOf(message: object, by = this.#options.by): Buffer {
    return Buffer.from(JSON.stringify({ v: ADMIN_VERSION, ...message, by }));
  }

  async #exchange(asked: Exchanged): Promise<void> {
    const channel = await withTimeout(this.#options.model.createChannel(), asked.timeoutMs, noAnswer);
    try {
      await exchangeOn(channel, asked, this.#options);
    } finally {
      await settlesWithin(channel.close(), CLOSE_TIMEOUT_MS);
    }
  }
}

/** What `ask` gives where there is no such queue. */
export const NOBODY = Symbol('nobody');
/** What `ask` gives where nobody consumes it now. */
export const AWAY = Symbol('away');

export function nodeUnknown(node: string, others: readonly string[]): Error {
  const message = `No node ${JSON.stringify(node)} answered; those that did: ${others.join(', ')}.`;
  return adminErrors.make('BEDS_ADMIN_NODE_UNKNOWN', message);
}

function noAnswer(): Error {
  return adminErrors.make('BEDS_ADMIN_NO_NODES', 'RabbitMQ did not answer in time.');
}

/** One message to all nodes, and how long their answers are waited for. */
interface Broadcast {
  readonly exchange: string;
  readonly message: object;
  readonly result: z.ZodType;
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  /** After this much silence no more is expected. */
  readonly quietMs: number;
  readonly expected: number;
  readonly signed?: SignedOrder;
  readonly onAnswer?: (node: string) => void;
  /** Aborted when no more can come. */
  readonly over?: AbortSignal;
}

/** A message, and what is done with what comes back. */
interface Exchanged {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  /** How long the next one is waited for. */
  readonly onReply: (content: Buffer) => number | 'end';
  readonly hasAnswers?: () => boolean;
  readonly over?: AbortSignal;
}

async function exchangeOn(
  channel: Channel,
  { exchange, routingKey, body, headers, timeoutMs, onReply, hasAnswers, over }: Exchanged,
  { userId, signal, blocked }: NodesOptions,
): Promise<void> {
  const correlationId = randomUUID();
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  let timer: NodeJS.Timeout | undefined = setTimeout(end, timeoutMs);
  const endings = over === undefined ? [signal, blocked] : [signal, blocked, over];
  for (const each of endings) each.addEventListener('abort', end);
  let refusal: unknown;
  channel.on('error', (error: unknown) => {
    refusal = error;
  });
  channel.on('close', end);
  channel.on('return', end);
  const take = (reply: ConsumeMessage | null): void => {
    if (reply?.properties.correlationId !== correlationId) return;
    clearTimeout(timer);
    const next = onReply(reply.content);
    timer = next === 'end' ? undefined : setTimeout(end, next);
    if (next === 'end') end();
  };
  try {
    await withTimeout(channel.consume(DIRECT, take, { noAck: true }), timeoutMs, noAnswer);
    channel.publish(exchange, routingKey, body, {
      ...{ contentType: 'application/json', replyTo: DIRECT, correlationId, mandatory: true, expiration: timeoutMs },
      ...(headers === undefined ? {} : { headers }),
      ...(userId === undefined ? {} : { userId }),
    });
    if (signal.aborted || blocked.aborted) end();
    await ended;
    if (blocked.aborted && hasAnswers?.() !== true) throw adminErrors.make('BEDS_ADMIN_BROKER_BLOCKED');
    if (hasCode(refusal, ACCESS_REFUSED)) throw adminErrors.make('BEDS_ADMIN_FORBIDDEN', undefined, { cause: refusal });
  } finally {
    clearTimeout(timer);
    for (const each of endings) each.removeEventListener('abort', end);
  }
}

const ACCESS_REFUSED = 403;
const NOT_FOUND = 404;

function hasCode(error: unknown, code: number): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

const answerBase = z.looseObject({ v: z.number(), op: z.string(), node: z.string() });
const finding = z.looseObject({ code: z.string(), message: z.string() });
const refused = answerBase.extend({ ok: z.literal(false), error: finding });

/** What cannot be read counts as a refusal: the other nodes may have more to say. */
function readAnswer(content: Buffer, result: z.ZodType): Answer<unknown> | Refusal {
  return checkAnswer(parseJson(content.toString('utf8')), result);
}

/** The answer of a node, or a refusal in place of what is none. */
export function checkAnswer(value: unknown, result: z.ZodType): Answer<unknown> | Refusal {
  const answer = z.union([answerBase.extend({ ok: z.literal(true), result }), refused]).safeParse(value);
  if (answer.success) return value as Answer<unknown> | Refusal;
  const base = answerBase.partial().catch({}).parse(value);
  const { code, message, hint } = adminErrors.make('BEDS_ADMIN_ANSWER_INVALID');
  return {
    v: base.v ?? ADMIN_VERSION,
    op: base.op ?? '',
    node: base.node ?? 'a node',
    asker: { name: '', verified: false },
    ok: false,
    error: { code, message, ...(hint === undefined ? {} : { hint }) },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
