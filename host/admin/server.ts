import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { isBedsError, type BedsError } from '@beds/sdk';
import { withTimeout } from '#sdk/time';
import { AmqpConnection } from '../amqp/connection.js';
import { keepChannel } from '../amqp/kept-channel.js';
import { makeNames } from '../amqp/names.js';
import { parseReplyAddress } from '../amqp/reply-address.js';
import { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { Config } from '../config/schema.js';
import { Mutex } from '../deploy/mutex.js';
import { adminErrors } from '../errors/admin.js';
import { publishFault } from '../observe/channels.js';
import type { Log } from '../observe/log.js';
import type { Finding } from '../template/contract.js';
import {
  COMMANDS,
  laneOf,
  type LaneName,
  maxCommandBytes,
  type CommandDefinition,
  type CommandResult,
} from './commands.js';
import type { Operations } from './contract.js';
import { DeadLetterDesk } from './dead-letters.js';
import { type GivenOrder, ORDER_HEADER, type OrderGate } from './orders.js';
import type { Inspections } from './views.js';
import {
  ADMIN_VERSION,
  type Answer,
  type Asker,
  type Checked,
  checkMessage,
  type Door,
  parseMessage,
  type Refusal,
} from './protocol.js';
import { QUERIES, type QueryDefinition, type QuerySources } from './queries.js';

export interface AdminServerOptions {
  readonly node: string;
  readonly config: Config;
  readonly log: Log;
  readonly sources: Omit<QuerySources, 'node' | 'config' | 'operations' | 'letters'>;
  /** Absent while the host starts or stops. */
  readonly operations: () => (Operations & Inspections) | undefined;
  /** Which orders are taken. */
  readonly gate: OrderGate;
  /** Longest that an asker is taken to wait. Default 60 s. */
  readonly answerTimeoutMs?: number;
}

type Message = Readonly<Record<string, unknown>>;

const MAX_QUERIES = 32;
const MAX_QUERY_BYTES = 16_384;
const MAX_COMMANDS = 4;

/** Commands of one kind are executed one after another; those of the other kind do not wait for them. */
class Lane {
  readonly mutex = new Mutex();
  /** The command that runs now. */
  running = '';
}

/** The one door of administrators: answers queries and executes commands over AMQP. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #sources: QuerySources;
  readonly #queues: readonly AdminQueue[];
  readonly #replies: ReplyPublisher;
  readonly #lanes = { bundles: new Lane(), orders: new Lane(), letters: new Lane() } as const;
  readonly #letters: DeadLetterDesk;
  readonly #commandDoor: Door<CommandDefinition>;
  readonly #queryDoor: Door<QueryDefinition>;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    const { node, config, operations, sources, gate, answerTimeoutMs = EXPIRE_MS } = options;
    const { amqp, plugins } = config;
    const { admin, operate } = makeNames(amqp.prefix);
    this.#letters = new DeadLetterDesk({ node, config });
    this.#sources = { ...sources, node, config, operations, letters: this.#letters };
    this.#queryDoor = { definitions: QUERIES, otherwise: { exchange: operate, definitions: COMMANDS } };
    this.#commandDoor = { definitions: COMMANDS, otherwise: { exchange: admin, definitions: QUERIES } };
    const trial = { ...amqp, name: `${node}/control-reply-trial` };
    this.#replies = new ReplyPublisher((setUp) => new AmqpConnection(trial, setUp));
    const common = { node, prefix: amqp.prefix, replies: this.#replies, answerTimeoutMs };
    this.#queues = [
      new AdminQueue({
        ...common,
        exchange: admin,
        maxWaiting: MAX_QUERIES,
        maxBytes: MAX_QUERY_BYTES,
        answer: (message, from) => this.#answerQuery(message, from),
      }),
      new AdminQueue({
        ...common,
        exchange: operate,
        maxWaiting: MAX_COMMANDS,
        maxBytes: maxCommandBytes(plugins),
        laneOf,
        admit: (given) => gate.admit(given),
        answer: (message, from) => this.#executeCommand(message, from),
      }),
    ];
  }

  /** Begins to answer on a new control connection. */
  async attach(model: ChannelModel): Promise<void> {
    await this.#replies.attach(model);
    for (const queue of this.#queues) await queue.attach(model);
  }

  /** Closes the connection of its own, at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    await this.#replies.close(timeoutMs);
  }

  async #answerQuery(message: Message, { untilMs }: From): Promise<unknown> {
    const { definition, input } = checkMessage(message, this.#queryDoor);
    const answering = Promise.resolve(definition.answer(input, this.#sources, untilMs - ANSWER_SHARE_MS));
    return withTimeout(answering, untilMs - performance.now(), () => adminErrors.make('BEDS_ADMIN_QUERY_TIMEOUT'));
  }

  /** n.b. one that takes too long goes on, and the next one of its lane waits for its end all the same. */
  async #executeCommand(message: Message, { asker, untilMs }: From): Promise<CommandResult> {
    const { log } = this.#options;
    const checked = checkMessage(message, this.#commandDoor);
    const about = `${checked.op} ${aboutOf(checked.input)}`;
    const lane = this.#lanes[laneOf(checked.op)];
    let [hasBegun, isTold] = [false, false];
    const executing = lane.mutex.run(async () => {
      if (isTold || performance.now() >= untilMs) throw notBegun(lane);
      hasBegun = true;
      lane.running = about;
      try {
        return await this.#execute(checked, { asker, untilMs: untilMs - ANSWER_SHARE_MS });
      } catch (err) {
        if (isTold) log.error({ err }, `the command that took too long failed: ${about}`);
        throw err;
      } finally {
        lane.running = '';
      }
    });
    return withTimeout(executing, untilMs - performance.now(), () => {
      isTold = true;
      return hasBegun ? adminErrors.make('BEDS_ADMIN_TIMEOUT') : notBegun(lane);
    });
  }

  async #execute(
    { op, definition, input, by }: Checked<CommandDefinition>,
    { asker, untilMs }: From,
  ): Promise<CommandResult> {
    const { operations: open, log, config } = this.#options;
    const operations = open();
    if (operations === undefined) throw adminErrors.make('BEDS_ADMIN_NOT_READY');
    log.info({ op, asker: asker.name, verified: asker.verified, by }, `command: ${op} ${aboutOf(input)}`);
    const at = new Date().toISOString();
    const target = { operations, limits: config.plugins, letters: this.#letters, untilMs };
    return { at, receipts: [...(await definition.execute(input, target))] };
  }
}

function notBegun({ running }: Lane): Error {
  const message = running === '' ? undefined : `It still runs another command (${running}). Nothing was done.`;
  return adminErrors.make('BEDS_ADMIN_NOT_BEGUN', message);
}

function aboutOf({ domain, name, bundles, ids, reason, operation }: Message): string {
  if (Array.isArray(ids)) return ids.length === 1 ? String(ids[0]) : `${ids.length} letters`;
  if (Array.isArray(bundles)) return bundles.length === 1 ? '1 bundle' : `${bundles.length} bundles`;
  return [domain, name, operation, reason].filter((about) => typeof about === 'string').join(' ');
}

interface AdminQueueOptions {
  readonly node: string;
  readonly prefix: string;
  readonly replies: ReplyPublisher;
  /** The fanout exchange that is answered. */
  readonly exchange: string;
  /** Messages of one lane that are worked on or wait at once; more are refused. */
  readonly maxWaiting: number;
  /** Of an `op`. Default: there is one. */
  readonly laneOf?: (op: string) => LaneName;
  readonly maxBytes: number;
  readonly answerTimeoutMs: number;
  /** Throws where a message is not taken; true: an admin node says who asks. */
  readonly admit?: (given: GivenOrder) => boolean;
  readonly answer: (message: Message, from: From) => Promise<unknown>;
}

/** Who asks, and until when they wait, in terms of performance.now(). */
interface From {
  readonly asker: Asker;
  readonly untilMs: number;
  /** Of the signature. */
  readonly header?: unknown;
}

/** An asker has gone when its message was not taken, or not answered, by then. */
const EXPIRE_MS = 60_000;
/** Of the time for which an asker waits: the rest is for the way. */
const OWN_SHARE = 0.9;
/** Of the time for which an asker waits: who works until its end answers in time. */
const ANSWER_SHARE_MS = 200;
const ANSWER_TIMEOUT_MS = 10_000;
const UNKNOWN_ASKER: Asker = { name: '', verified: false };

/** Takes what comes over a fanout exchange. Every node has a queue of its own there, so one message reaches all of them. */
class AdminQueue {
  readonly #options: AdminQueueOptions;
  readonly #waiting: Record<LaneName, number> = { bundles: 0, orders: 0, letters: 0 };

  constructor(options: AdminQueueOptions) {
    this.#options = options;
  }

  attach(model: ChannelModel): Promise<void> {
    const { exchange } = this.#options;
    return keepChannel(model, {
      create: () => model.createChannel(),
      setUp: (channel) => this.#consume(channel),
      onError: (error) => publishFault({ where: `channel of ${exchange}`, error }),
      onClose: () => undefined,
    });
  }

  async #consume(channel: Channel): Promise<void> {
    const { exchange, maxWaiting } = this.#options;
    // One more than may wait, so that the next one is refused with words.
    await channel.prefetch(Object.keys(this.#waiting).length * maxWaiting + 1);
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, messageTtl: EXPIRE_MS });
    await channel.bindQueue(queue, exchange, '');
    await channel.consume(queue, (message) => {
      if (message === null) {
        // The queue was deleted: another channel makes another one.
        channel.close().catch(() => undefined);
        return;
      }
      this.#serve(message)
        .catch((error: unknown) => {
          publishFault({ where: exchange, error });
        })
        .finally(() => {
          acknowledge(channel, message);
        });
    });
  }

  async #serve({ content, properties }: ConsumeMessage): Promise<void> {
    const { replies, exchange, prefix } = this.#options;
    const { replyTo, correlationId, userId } = properties as Readonly<
      Record<'replyTo' | 'correlationId' | 'userId', unknown>
    >;
    const address = typeof replyTo === 'string' ? parseReplyAddress(replyTo, prefix) : undefined;
    if (address === undefined) {
      throw adminErrors.make('BEDS_ADMIN_INVALID', 'A message without a usable reply address was dropped.');
    }
    const asker = typeof userId === 'string' ? { name: userId, verified: true } : UNKNOWN_ASKER;
    const header = (properties.headers as Readonly<Record<string, unknown>> | undefined)?.[ORDER_HEADER];
    const answer = await this.#answer(content, { asker, header, untilMs: this.#untilMs(properties.expiration) });
    if (answer === undefined) return;
    const reply = {
      address,
      body: Buffer.from(JSON.stringify(answer)),
      flushNow: false,
      correlationId: typeof correlationId === 'string' ? correlationId : undefined,
      type: exchange.replace(`${prefix}.`, 'beds.'),
      expiresAtMs: performance.now() + ANSWER_TIMEOUT_MS,
    };
    replies.publish(reply, () => undefined);
  }

  /** An asker waits as long as the message says that it may wait. */
  #untilMs(expiration: unknown): number {
    const waitsMs = expiration === undefined ? Infinity : Number(expiration) * OWN_SHARE;
    return performance.now() + Math.min(waitsMs, this.#options.answerTimeoutMs);
  }

  /** Undefined: the message is for another node. */
  async #answer(content: Buffer, from: From): Promise<Answer<unknown> | Refusal | undefined> {
    const { node, maxBytes, maxWaiting, laneOf: lane = (): LaneName => 'orders' } = this.#options;
    let op = '';
    let { asker } = from;
    let place: LaneName | undefined;
    try {
      if (content.length > maxBytes) throw adminErrors.make('BEDS_ADMIN_TOO_LARGE');
      const message = parseMessage(content);
      if (typeof message['op'] === 'string') op = message['op'].slice(0, 40);
      if (typeof message['by'] === 'string' && !asker.verified) {
        asker = { name: message['by'].slice(0, 200), verified: false };
      }
      const isForAnother = typeof message['node'] === 'string' && message['node'] !== node;
      if (isForAnother) return undefined;
      const isVouchedFor = this.#options.admit?.({ content, header: from.header, message }) === true;
      if (isVouchedFor) asker = { name: String(message['by']).slice(0, 200), verified: true };
      place = lane(op);
      this.#waiting[place] += 1;
      if (this.#waiting[place] > maxWaiting) throw adminErrors.make('BEDS_ADMIN_BUSY');
      const result = await this.#options.answer(message, { ...from, asker });
      return { v: ADMIN_VERSION, op, node, ok: true, asker, result };
    } catch (error) {
      return { v: ADMIN_VERSION, op, node, ok: false, asker, error: refusalOf(error, op) };
    } finally {
      if (place !== undefined) this.#waiting[place] -= 1;
    }
  }
}

/** On a connection that has gone there is nothing to acknowledge: the queue went with it. */
function acknowledge(channel: Channel, message: ConsumeMessage): void {
  try {
    channel.ack(message);
  } catch (error) {
    publishFault({ where: 'answer to an administrator', error });
  }
}

function refusalOf(error: unknown, op: string): Refusal['error'] {
  if (!isBedsError(error)) publishFault({ where: `answer to ${op === '' ? 'an administrator' : op}`, error });
  const known: BedsError & { readonly findings?: readonly Finding[] } = isBedsError(error)
    ? error
    : adminErrors.make('BEDS_ADMIN_FAULT', undefined, { cause: error });
  const { code, message, hint, findings } = known;
  return {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(findings === undefined ? {} : { findings }),
  };
}
