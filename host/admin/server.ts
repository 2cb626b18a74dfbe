import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { isBedsError, type BedsError } from '@beds/sdk';
import { withTimeout } from '#sdk/time';
import { AmqpConnection } from '../amqp/connection.js';
import { makeNames } from '../amqp/names.js';
import { parseReplyAddress } from '../amqp/reply-address.js';
import { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { Config } from '../config/schema.js';
import { Mutex } from '../deploy/mutex.js';
import { adminErrors } from '../errors/admin.js';
import { publishFault } from '../observe/channels.js';
import type { Log } from '../observe/log.js';
import type { Finding } from '../template/contract.js';
import { COMMANDS, maxCommandBytes, type CommandDefinition, type CommandResult } from './commands.js';
import type { Operations } from './contract.js';
import {
  ADMIN_VERSION,
  type Answer,
  type Asker,
  checkMessage,
  type Door,
  parseMessage,
  type Refusal,
} from './protocol.js';
import { QUERIES, type QueryDefinition, type QuerySources } from './queries.js';
import type { Inspections } from './views.js';

export interface AdminServerOptions {
  readonly node: string;
  readonly config: Config;
  readonly log: Log;
  readonly sources: Omit<QuerySources, 'node' | 'config' | 'operations'>;
  /** Absent while the host starts or stops. */
  readonly operations: () => (Operations & Inspections) | undefined;
  /** Longest time in which the host must accept or refuse a command. Default 60 s. */
  readonly commandTimeoutMs?: number;
}

type Message = Readonly<Record<string, unknown>>;

const COMMAND_TIMEOUT_MS = 60_000;
const MAX_QUERIES = 32;
const MAX_QUERY_BYTES = 16_384;
const MAX_COMMANDS = 4;

/** The one door of administrators: answers queries and executes commands, one at a time, over AMQP. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #sources: QuerySources;
  readonly #queues: readonly AdminQueue[];
  readonly #replies: ReplyPublisher;
  readonly #commands = new Mutex();
  readonly #commandDoor: Door<CommandDefinition>;
  readonly #queryDoor: Door<QueryDefinition>;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    const { node, config, operations, sources } = options;
    const { amqp, plugins } = config;
    const { admin, operate } = makeNames(amqp.prefix);
    this.#sources = { ...sources, node, config, operations };
    this.#queryDoor = { definitions: QUERIES, otherwise: { exchange: operate, definitions: COMMANDS } };
    this.#commandDoor = { definitions: COMMANDS, otherwise: { exchange: admin, definitions: QUERIES } };
    const trial = { ...amqp, name: `${node}/control-reply-trial` };
    this.#replies = new ReplyPublisher((setUp) => new AmqpConnection(trial, setUp));
    const common = { node, prefix: amqp.prefix, replies: this.#replies };
    this.#queues = [
      new AdminQueue({
        ...common,
        exchange: admin,
        maxWaiting: MAX_QUERIES,
        maxBytes: MAX_QUERY_BYTES,
        answer: (message) => this.#answerQuery(message),
      }),
      new AdminQueue({
        ...common,
        exchange: operate,
        maxWaiting: MAX_COMMANDS,
        maxBytes: maxCommandBytes(plugins),
        answer: (message, asker) => this.#executeCommand(message, asker),
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

  async #answerQuery(message: Message): Promise<unknown> {
    const { definition, input } = checkMessage(message, this.#queryDoor);
    return definition.answer(input, this.#sources);
  }

  async #executeCommand(message: Message, asker: Asker): Promise<CommandResult> {
    const { op, definition, input, by } = checkMessage(message, this.#commandDoor);
    const { operations: open, log, config, commandTimeoutMs = COMMAND_TIMEOUT_MS } = this.#options;
    return this.#commands.run(async () => {
      const operations = open();
      if (operations === undefined) throw adminErrors.make('BEDS_ADMIN_NOT_READY');
      log.info({ op, asker: asker.name, verified: asker.verified, by }, `command: ${op} ${aboutOf(input)}`);
      const at = new Date().toISOString();
      const executing = definition.execute(input, { operations, limits: config.plugins });
      const late = (): Error => adminErrors.make('BEDS_ADMIN_TIMEOUT');
      return { at, receipts: [...(await withTimeout(executing, commandTimeoutMs, late))] };
    });
  }
}

function aboutOf({ domain, name, bundles }: Message): string {
  if (Array.isArray(bundles)) return bundles.length === 1 ? '1 bundle' : `${bundles.length} bundles`;
  return [domain, name].filter((about) => typeof about === 'string').join(' ');
}

interface AdminQueueOptions {
  readonly node: string;
  readonly prefix: string;
  readonly replies: ReplyPublisher;
  /** The fanout exchange that is answered. */
  readonly exchange: string;
  /** Messages that are worked on or wait at once; more are refused. */
  readonly maxWaiting: number;
  readonly maxBytes: number;
  readonly answer: (message: Message, asker: Asker) => Promise<unknown>;
}

/** An asker has gone when its message was not taken, or not answered, by then. */
const EXPIRE_MS = 60_000;
const ANSWER_TIMEOUT_MS = 10_000;
const UNKNOWN_ASKER: Asker = { name: '', verified: false };

/** Takes what comes over a fanout exchange. Every node has a queue of its own there, so one message reaches all of them. */
class AdminQueue {
  readonly #options: AdminQueueOptions;
  #waiting = 0;

  constructor(options: AdminQueueOptions) {
    this.#options = options;
  }

  async attach(model: ChannelModel): Promise<void> {
    const { exchange, maxWaiting } = this.#options;
    const channel = await model.createChannel();
    channel.on('error', (error) => {
      publishFault({ where: `channel of ${exchange}`, error });
    });
    // One more than may wait, so that the next one is refused with words.
    await channel.prefetch(maxWaiting + 1);
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, messageTtl: EXPIRE_MS });
    await channel.bindQueue(queue, exchange, '');
    await channel.consume(queue, (message) => {
      if (message === null) return;
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
    const answer = await this.#answer(content, typeof userId === 'string' ? userId : undefined);
    if (answer === undefined) return;
    const reply = {
      address,
      body: Buffer.from(JSON.stringify(answer)),
      isUrgent: false,
      correlationId: typeof correlationId === 'string' ? correlationId : undefined,
      type: exchange.replace(`${prefix}.`, 'beds.'),
      expiresAtMs: performance.now() + ANSWER_TIMEOUT_MS,
    };
    replies.publish(reply, () => undefined);
  }

  /** Undefined: the message is for another node. */
  async #answer(content: Buffer, account: string | undefined): Promise<Answer<unknown> | Refusal | undefined> {
    const { node, maxBytes, maxWaiting } = this.#options;
    let op = '';
    let asker = account === undefined ? UNKNOWN_ASKER : { name: account, verified: true };
    this.#waiting += 1;
    try {
      if (content.length > maxBytes) throw adminErrors.make('BEDS_ADMIN_TOO_LARGE');
      const message = parseMessage(content);
      if (typeof message['op'] === 'string') op = message['op'].slice(0, 40);
      if (typeof message['by'] === 'string' && !asker.verified) {
        asker = { name: message['by'].slice(0, 200), verified: false };
      }
      const isForAnother = typeof message['node'] === 'string' && message['node'] !== node;
      if (isForAnother) return undefined;
      if (this.#waiting > maxWaiting) throw adminErrors.make('BEDS_ADMIN_BUSY');
      const result = await this.#options.answer(message, asker);
      return { v: ADMIN_VERSION, op, node, ok: true, asker, result };
    } catch (error) {
      return { v: ADMIN_VERSION, op, node, ok: false, asker, error: refusalOf(error, op) };
    } finally {
      this.#waiting -= 1;
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
