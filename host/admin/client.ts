import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import type { ErrorStatus } from '@beds/sdk';
import type { ChannelModel } from 'amqplib';
import { z } from 'zod';
import { endConnection } from '#sdk/amqp';
import { BedsError } from '#sdk/template';
import { connect } from '../amqp/guarded-amqplib.js';
import { makeNames, type Names } from '../amqp/names.js';
import { adminErrors } from '../errors/admin.js';
import { type AuditPage, auditPage, type FleetView, fleetView, type KeptName } from './desk-queries.js';
import { type CommandInput, type CommandName, commandResult, type CommandResult } from './commands.js';
import {
  AWAY,
  checkAnswer,
  COMMAND_TIMEOUT_MS,
  type CommandAnswers,
  type CommandOptions,
  NOBODY,
  Nodes,
  nodeUnknown,
  type QueryOptions,
} from './nodes.js';
import { type Answer, deskAnswer, type DeskAnswer, type Refusal } from './protocol.js';
import { QUERIES, type QueryInput, type QueryName, type QueryResult } from './queries.js';

export interface AdminClientOptions {
  readonly url: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
  /**
   * Token of the session of who asks. Where there is an admin node, orders go through it, and with a session questions as well; without
   * such a node all goes straight to the nodes. A function is asked once.
   */
  readonly session?: string | (() => Promise<string | undefined>) | undefined;
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

const CONNECT_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 500;
/** What an admin node needs for itself: it asks who that is, and writes the audit. */
const DESK_MS = 15_000;
const AWAY_WORDS = 'No admin node is there now. Nothing was done.';

/** A connection over which all nodes are asked, one message after the other. */
export class AdminClient {
  readonly #model: ChannelModel;
  readonly #names: Names;
  readonly #nodes: Nodes;
  readonly #session: string | undefined;
  /** There is no admin node. */
  #isDirect = false;

  private constructor(
    model: ChannelModel,
    { url, prefix, signal, session }: AdminClientOptions & { readonly session: string | undefined },
  ) {
    const blocked = new AbortController();
    model.on('blocked', () => blocked.abort());
    this.#model = model;
    this.#names = makeNames(prefix);
    this.#session = session;
    this.#nodes = new Nodes({
      ...{ model, names: this.#names, signal, userId: userOf(url), blocked: blocked.signal, by: whoAsks() },
    });
  }

  /** Connects to RabbitMQ. Throws BEDS_ADMIN_NO_NODES when it cannot be reached. */
  static async open(options: AdminClientOptions): Promise<AdminClient> {
    const session = typeof options.session === 'function' ? await options.session() : options.session;
    try {
      const model = await connect(options.url, { noDelay: true, timeout: CONNECT_TIMEOUT_MS });
      model.on('error', () => undefined);
      return new AdminClient(model, { ...options, session });
    } catch (cause) {
      throw adminErrors.make('BEDS_ADMIN_NO_NODES', 'RabbitMQ could not be reached.', { cause });
    }
  }

  /** What every node answers to a query; empty when none answers. Throws what an admin node refuses with. */
  async query<N extends QueryName>(
    op: N,
    input: QueryInput<N>,
    options: QueryOptions,
  ): Promise<readonly (Answer<QueryResult<N>> | Refusal)[]> {
    const { timeoutMs, expected, node } = options;
    const wait = { forMs: timeoutMs, ...(expected === undefined ? {} : { expected }) };
    const message = { op, ...input, wait, ...(node === undefined ? {} : { node }) };
    // n.b. also while no admin node is there: that is when somebody has to see what is going on.
    const answer = this.#session === undefined ? undefined : await this.#askDesk(message, timeoutMs);
    if (answer === undefined || answer === AWAY) return this.#nodes.query(op, input, options);
    const answers = answer.answers.map((each) => checkAnswer(each, QUERIES[op].result));
    return answers as (Answer<QueryResult<N>> | Refusal)[];
  }

  /**
   * Gives a command to all nodes, or to the one named. Throws BEDS_ADMIN_NO_NODES, BEDS_ADMIN_NODE_UNKNOWN, what an admin node refuses
   * with, or what the nodes refuse with when all of them refuse for the same reason.
   */
  async command<N extends CommandName>(
    op: N,
    input: CommandInput<N>,
    options: CommandOptions,
  ): Promise<CommandOutcome> {
    const { node, timeoutMs, nodes } = options;
    const message = {
      ...{ op, ...input, order: { id: randomUUID(), at: Date.now() } },
      wait: { forMs: timeoutMs, ...(nodes === undefined ? {} : { nodes }) },
      ...(node === undefined ? {} : { node }),
    };
    const answer = await this.#askDesk(message, timeoutMs + COMMAND_TIMEOUT_MS);
    if (answer === AWAY) throw adminErrors.make('BEDS_ADMIN_NO_DESK', AWAY_WORDS);
    if (answer === undefined) return sort(await this.#nodes.command(op, input, options));
    const { asked, nodeCount } = answer;
    const answers = answer.answers.map((each) => checkAnswer(each, commandResult)) as CommandAnswers['answers'];
    return sort({ answers, asked, nodeCount });
  }

  /** Records of the audit. Throws BEDS_ADMIN_SIGN_IN, BEDS_ADMIN_NO_DESK, or what the admin node refuses with. */
  async audit(input: { readonly after?: number; readonly limit?: number }): Promise<AuditPage> {
    return (await this.#askItself({ op: 'audit', ...input }, auditPage)) as AuditPage;
  }

  /** What is kept of all nodes. Throws BEDS_ADMIN_NO_DESK, or what the admin node refuses with. */
  async kept(what: KeptName, input: object): Promise<unknown> {
    return answerOf(await this.#fromDesk({ op: 'kept', what, input }), z.unknown());
  }

  /** What all nodes shall run. Throws as `audit` does. */
  async fleet(): Promise<FleetView> {
    return (await this.#askItself({ op: 'fleet' }, fleetView)) as FleetView;
  }

  /** Forgets a node that does not come back. Throws as `audit` does. */
  async forget(name: string): Promise<void> {
    await this.#fromDesk({ op: 'forget', name, order: { id: randomUUID(), at: Date.now() } });
  }

  async #askItself(message: object, result: z.ZodType): Promise<unknown> {
    if (this.#session === undefined) throw adminErrors.make('BEDS_ADMIN_SIGN_IN');
    return answerOf(await this.#fromDesk(message), result);
  }

  async #fromDesk(message: object): Promise<Extract<DeskAnswer, { ok: true }>> {
    const answer = await this.#askDesk(message, DESK_MS);
    if (answer === AWAY) throw adminErrors.make('BEDS_ADMIN_NO_DESK', AWAY_WORDS);
    if (answer === undefined) throw adminErrors.make('BEDS_ADMIN_NO_DESK', 'No admin node has been here.');
    return answer;
  }

  /** Ends within moments, whatever RabbitMQ does. */
  async close(): Promise<void> {
    await endConnection(this.#model, CLOSE_TIMEOUT_MS);
  }

  /** Undefined: there is no admin node. AWAY: there was one, and nothing was sent. */
  async #askDesk(
    message: object,
    timeoutMs: number,
  ): Promise<Extract<DeskAnswer, { ok: true }> | typeof AWAY | undefined> {
    if (this.#isDirect) return undefined;
    const asked = { ...message, ...(this.#session === undefined ? {} : { session: this.#session }) };
    const answer = await this.#nodes.ask(this.#names.desk, asked, timeoutMs + DESK_MS);
    if (answer === NOBODY) {
      this.#isDirect = true;
      return undefined;
    }
    if (answer === AWAY) return AWAY;
    if (answer === undefined) throw adminErrors.make('BEDS_ADMIN_NO_DESK');
    const read = deskAnswer.safeParse(answer);
    if (!read.success) throw adminErrors.make('BEDS_ADMIN_ANSWER_INVALID');
    if (!read.data.ok) throw refusalError(read.data);
    return read.data;
  }
}

/** What an admin node answered itself. */
function answerOf({ answers }: Extract<DeskAnswer, { ok: true }>, result: z.ZodType): unknown {
  const [answer] = answers.map((each) => checkAnswer(each, result));
  if (answer?.ok !== true) throw adminErrors.make('BEDS_ADMIN_ANSWER_INVALID');
  return answer.result;
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

function sort({ answers, asked, nodeCount }: CommandAnswers): CommandOutcome {
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
  return { accepted, refused, silent, nodeCount };
}

/** n.b. what a node refuses for how it was asked, or for how things are now, is no fault of the node. */
function statusOf(code: string): ErrorStatus {
  if (code.startsWith('BEDS_ROLLOUT_')) return 'conflict';
  const specs: Readonly<Record<string, { readonly status: ErrorStatus } | undefined>> = adminErrors.specs;
  return specs[code]?.status ?? 'fault';
}

/** The error that a node answered with. */
function refusalError({
  node,
  error,
}: Pick<Refusal, 'node'> & { readonly error: Pick<Refusal['error'], 'code' | 'message' | 'hint'> }): BedsError {
  const { code, message, hint } = error;
  const spec = { message, status: statusOf(code), action: hint ?? 'Ask the node again.' };
  return new BedsError(code, spec, { message: `${node}: ${message}` });
}

/** Undefined where the URL leaves it to the client. */
export function userOf(url: string): string | undefined {
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
