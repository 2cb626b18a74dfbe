import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel } from 'amqplib';
import { connect } from '../amqp/driver.js';
import { makeNames } from '../amqp/names.js';
import { cliErrors } from '../errors/cli.js';
import type { AdminAnswer, AdminQuestion } from '../supervisor/status.js';

export interface AskOptions {
  readonly url: string;
  readonly prefix: string;
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Nodes answer within milliseconds of each other; after this much silence no more is expected. */
const QUIET_MS = 300;
const CONNECT_TIMEOUT_MS = 5_000;

/** Asks every node over AMQP. Throws BEDS_CLI_NO_NODES when none answers, BEDS_AMQP_UNAVAILABLE without RabbitMQ. */
export async function askNodes<Q extends AdminQuestion>(
  question: Q,
  options: AskOptions,
): Promise<readonly Extract<AdminAnswer, { op: Q['op'] }>[]> {
  const model = await openModel(options.url);
  try {
    const channel = await model.createChannel();
    channel.on('error', () => undefined);
    const answers = await gather(channel, question, options);
    if (answers.length === 0) throw cliErrors.make('BEDS_CLI_NO_NODES');
    return answers as readonly Extract<AdminAnswer, { op: Q['op'] }>[];
  } finally {
    await model.close().catch(() => undefined);
  }
}

async function openModel(url: string): Promise<ChannelModel> {
  try {
    const model = await connect(url, { noDelay: true, timeout: CONNECT_TIMEOUT_MS });
    model.on('error', () => undefined);
    return model;
  } catch (cause) {
    throw cliErrors.make('BEDS_CLI_NO_NODES', 'RabbitMQ could not be reached.', { cause });
  }
}

async function gather(channel: Channel, question: AdminQuestion, options: AskOptions): Promise<readonly AdminAnswer[]> {
  const correlationId = randomUUID();
  const answers: AdminAnswer[] = [];
  await new Promise<void>((resolve, reject) => {
    let timer = setTimeout(resolve, options.timeoutMs);
    options.signal.addEventListener('abort', () => {
      resolve();
    });
    channel.on('close', resolve);
    // Nobody is bound to the exchange: no host runs.
    channel.on('return', () => {
      resolve();
    });
    const ask = async (): Promise<void> => {
      await channel.consume(
        'amq.rabbitmq.reply-to',
        (message) => {
          if (message?.properties.correlationId !== correlationId) return;
          answers.push(JSON.parse(message.content.toString('utf8')) as AdminAnswer);
          clearTimeout(timer);
          timer = setTimeout(resolve, QUIET_MS);
        },
        { noAck: true },
      );
      channel.publish(makeNames(options.prefix).admin, '', Buffer.from(JSON.stringify(question)), {
        contentType: 'application/json',
        replyTo: 'amq.rabbitmq.reply-to',
        correlationId,
        mandatory: true,
      });
    };
    ask().catch(reject);
  });
  return answers;
}
