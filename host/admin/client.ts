import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import type { Channel, ChannelModel } from 'amqplib';
import { BedsError } from '#sdk/template';
import { endConnection } from '#sdk/amqp';
import { settlesWithin, withTimeout } from '#sdk/time';
import { z } from 'zod';
import { connect } from '../amqp/guarded-amqplib.js';
import { makeNames, type Names } from '../amqp/names.js';
import { adminErrors } from '../errors/admin.js';
import {
  type CommandDefinition,
  type CommandInput,
  type CommandName,
  commandResult,
  type CommandResult,
  COMMANDS,
} from './commands.js';
import { ADMIN_VERSION, type Answer, type Refusal } from './protocol.js';
import { QUERIES, type QueryDefinition, type QueryInput, type QueryName, type QueryResult } from './queries.js';

export interface AdminClientOptions {
  readonly url: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
}

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

/** What the nodes said to a command. */
export interface CommandOutcome {
  readonly accepted: readonly (CommandResult & { readonly node: string })[];
  readonly refused: readonly Refusal[];
  /** Nodes that were there before and did not answer. */
  readonly silent: readonly string[];
  /** Nodes that answer queries. */
  readonly nodeCount: number;
}

/** Nodes answer a query within milliseconds of each other. */
const QUIET_MS = 300;
const CONNECT_TIMEOUT_MS = 5_000;
/** A node accepts or refuses a command within a minute. */
const COMMAND_TIMEOUT_MS = 65_000;
/** RabbitMQ reads nothing from a connection that it blocks, not even that it is closed. */
const CLOSE_TIMEOUT_MS = 500;
const DIRECT = 'amq.rabbitmq.reply-to';

/** A connection over which all nodes are asked, one message after the other. */
export class AdminClient {
  readonly #model: ChannelModel;
  readonly #names: Names;
  readonly #signal: AbortSignal;
  readonly #userId: string | undefined;
  readonly #blocked = new AbortController();

  private constructor(model: ChannelModel, { url, prefix, signal }: AdminClientOptions) {
    this.#model = model;
    this.#names = makeNames(prefix);
    this.#signal = signal;
    this.#userId = userOf(url);
    model.on('blocked', () => this.#blocked.abort());
  }

  /** Connects to RabbitMQ. Throws BEDS_ADMIN_NO_NODES when it cannot be reached. */
  static async open(options: AdminClientOptions): Promise<AdminClient> {
    try {
      const model = await connect(options.url, { noDelay: true, timeout: CONNECT_TIMEOUT_MS });
      model.on('error', () => undefined);
      return new AdminClient(model, options);
    } catch (cause) {
      throw adminErrors.make('BEDS_ADMIN_NO_NODES', 'RabbitMQ could not be reached.', { cause });
    }
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
    const node = isOfOne ? (options.node ?? (await this.#nodes(timeoutMs))[0]) : undefined;
    if (isOfOne && node === undefined) return [];
    const expected = isOfOne ? 1 : options.expected;
    return this.#gather<QueryResult<N>>({
      exchange: this.#names.admin,
      message: { op, ...input, ...(node === undefined ? {} : { node }) },
      result: QUERIES[op].result,
      timeoutMs,
      quietMs: expected === undefined ? QUIET_MS : timeoutMs,
      expected: expected ?? Infinity,
    });
  }

  /**
   * Gives a command to all nodes, or to the one named. Throws BEDS_ADMIN_NO_NODES, BEDS_ADMIN_NODE_UNKNOWN, or what the nodes
   * refuse with when all of them refuse for the same reason.
   */
  async command<N extends CommandName>(
    op: N,
    input: CommandInput<N>,
    { node, timeoutMs, nodes: known }: CommandOptions,
  ): Promise<CommandOutcome> {
    const nodes = known ?? (await this.#nodes(timeoutMs));
    const [first] = nodes;
    if (first === undefined) throw adminErrors.make('BEDS_ADMIN_NO_NODES');
    if (node !== undefined && !nodes.includes(node)) throw nodeUnknown(node, nodes);
    const definition: CommandDefinition = COMMANDS[op];
    const asked = node === undefined ? (definition.byOneNode === true ? [first] : nodes) : [node];
    const only = asked.length === 1 && asked.length < nodes.length ? asked[0] : node;
    const answers = await this.#gather<CommandResult>({
      exchange: this.#names.operate,
      message: { op, ...input, ...(only === undefined ? {} : { node: only }) },
      result: commandResult,
      timeoutMs: COMMAND_TIMEOUT_MS,
      quietMs: COMMAND_TIMEOUT_MS,
      expected: asked.length,
    });
    return { ...sort(answers, asked), nodeCount: nodes.length };
  }

  /** Those that answer, in the order of their names. */
  async #nodes(timeoutMs: number): Promise<readonly string[]> {
    const answers = await this.query('quarantine', {}, { timeoutMs });
    return answers.map((answer) => answer.node).toSorted((a, b) => a.localeCompare(b));
  }

  /** Ends within moments, whatever RabbitMQ does. */
  async close(): Promise<void> {
    await endConnection(this.#model, CLOSE_TIMEOUT_MS);
  }

  async #gather<R>(asked: Broadcast): Promise<readonly (Answer<R> | Refusal)[]> {
    const channel = await withTimeout(this.#model.createChannel(), asked.timeoutMs, noAnswer);
    try {
      const gathering = { userId: this.#userId, signal: this.#signal, blocked: this.#blocked.signal };
      return (await gather(channel, asked, gathering)) as readonly (Answer<R> | Refusal)[];
    } finally {
      await settlesWithin(channel.close(), CLOSE_TIMEOUT_MS);
    }
  }
}

export interface AskOptions extends AdminClientOptions {
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  /** Only what this node says. */
  readonly node?: string;
}

/**
 * Asks every node one query, over a connection of its own. Throws BEDS_ADMIN_NO_NODES when none answers, or without RabbitMQ;
 * BEDS_ADMIN_NODE_UNKNOWN when the one named does not; and what the nodes refuse with when all of them refuse.
 */
export async function askNodes<N extends QueryName>(
  op: N,
  input: QueryInput<N>,
  options: AskOptions,
): Promise<readonly Answer<QueryResult<N>>[]> {
  const client = await AdminClient.open(options);
  try {
    const answers = await client.query(op, input, options);
    const { node } = options;
    const asked = node === undefined ? answers : answers.filter((answer) => answer.node === node);
    if (node !== undefined && answers.length > 0 && asked.length === 0) {
      throw nodeUnknown(
        node,
        answers.map((answer) => answer.node),
      );
    }
    const good = asked.flatMap((answer) => (answer.ok ? [answer] : []));
    const [refused] = asked.flatMap((answer) => (answer.ok ? [] : [answer]));
    if (good.length > 0) return good;
    throw refused === undefined ? adminErrors.make('BEDS_ADMIN_NO_NODES') : refusalError(refused);
  } finally {
    await client.close();
  }
}

function nodeUnknown(node: string, others: readonly string[]): Error {
  const message = `No node ${JSON.stringify(node)} answered; those that did: ${others.join(', ')}.`;
  return adminErrors.make('BEDS_ADMIN_NODE_UNKNOWN', message);
}

function sort(
  answers: readonly (Answer<CommandResult> | Refusal)[],
  asked: readonly string[],
): Omit<CommandOutcome, 'nodeCount'> {
  const accepted = answers.flatMap((answer) => (answer.ok ? [{ node: answer.node, ...answer.result }] : []));
  const refusals = answers.flatMap((answer) => (answer.ok ? [] : [answer]));
  const silent = asked.filter((node) => !answers.some((answer) => answer.node === node));
  // A node of another role has nothing to do with the domain.
  const isElsewhere = ({ error }: Refusal): boolean => error.code === 'BEDS_ROLLOUT_NOT_SERVED';
  const refused = accepted.length > 0 ? refusals.filter((answer) => !isElsewhere(answer)) : refusals;
  const [first] = refused;
  const isUnanimous = refused.every(({ error }) => error.code === first?.error.code);
  const hasFindings = refused.some(({ error }) => (error.findings ?? []).length > 0);
  if (first !== undefined && accepted.length + silent.length === 0 && isUnanimous && !hasFindings) {
    throw refusalError(first);
  }
  return { accepted, refused, silent };
}

/** The error that a node answered with. */
function refusalError({ node, error }: Refusal): BedsError {
  const { code, message, hint } = error;
  const spec = { message, status: 'fault', action: hint ?? 'Ask the node again.' } as const;
  return new BedsError(code, spec, { message: `${node}: ${message}` });
}

function noAnswer(): Error {
  return adminErrors.make('BEDS_ADMIN_NO_NODES', 'RabbitMQ did not answer in time.');
}

/** Undefined where the URL leaves it to the client. */
function userOf(url: string): string | undefined {
  const name = URL.canParse(url) ? new URL(url).username : '';
  return name === '' ? undefined : decodeURIComponent(name);
}

/** The person at this machine, for the log of the nodes. */
function whoAsks(): string {
  try {
    return `${userInfo().username}@${hostname()}`.slice(0, 200);
  } catch {
    return hostname().slice(0, 200);
  }
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
}

interface Gathering {
  /** The account; RabbitMQ vouches for it to the nodes. */
  readonly userId: string | undefined;
  readonly signal: AbortSignal;
  /** Aborted when RabbitMQ takes nothing from this connection any more. */
  readonly blocked: AbortSignal;
}

async function gather(
  channel: Channel,
  { exchange, message, result, expected, timeoutMs, quietMs }: Broadcast,
  { userId, signal, blocked }: Gathering,
): Promise<readonly (Answer<unknown> | Refusal)[]> {
  const correlationId = randomUUID();
  const answers: (Answer<unknown> | Refusal)[] = [];
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
        answers.push(readAnswer(reply.content, result));
        clearTimeout(timer);
        timer = answers.length >= expected ? undefined : setTimeout(end, quietMs);
        if (answers.length >= expected) end();
      },
      { noAck: true },
    );
    await withTimeout(consuming, timeoutMs, noAnswer);
    channel.publish(exchange, '', Buffer.from(JSON.stringify({ v: ADMIN_VERSION, ...message, by: whoAsks() })), {
      contentType: 'application/json',
      replyTo: DIRECT,
      correlationId,
      mandatory: true,
      expiration: timeoutMs,
      ...(userId === undefined ? {} : { userId }),
    });
    if (signal.aborted || blocked.aborted) end();
    await ended;
    if (blocked.aborted && answers.length === 0) throw adminErrors.make('BEDS_ADMIN_BROKER_BLOCKED');
    if (isForbidden(refusal)) throw adminErrors.make('BEDS_ADMIN_FORBIDDEN', undefined, { cause: refusal });
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

const answerBase = z.looseObject({ v: z.number(), op: z.string(), node: z.string() });
const finding = z.looseObject({ code: z.string(), message: z.string() });
const refused = answerBase.extend({ ok: z.literal(false), error: finding });

/** What cannot be read counts as a refusal: the other nodes may have more to say. */
function readAnswer(content: Buffer, result: z.ZodType): Answer<unknown> | Refusal {
  const value = parseJson(content.toString('utf8'));
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
