import type { ChannelModel } from 'amqplib';
import { AmqpConnection } from '../amqp/connection.js';
import { makeNames } from '../amqp/names.js';
import { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { Config } from '../config/schema.js';
import { operateErrors } from '../errors/operate.js';
import type { Log } from '../observe/log.js';
import { Mutex } from '../deploy/mutex.js';
import { answerQuestion, type QuestionSources } from './answer-question.js';
import { carryOut, ORDER_TIMEOUT_MS } from './carry-out.js';
import type { Operations } from './contract.js';
import { type Asker, Inbox } from './inbox.js';
import { maxOrderBytes, parseOrder, parseQuestion } from './parse-message.js';
import type { Order, OrderAnswer } from './protocol.js';
import type { Inspections } from './views.js';

export interface OperatorDeskOptions {
  readonly node: string;
  readonly config: Config;
  readonly log: Log;
  readonly questions: Omit<QuestionSources, 'node' | 'config' | 'operations'>;
  /** Absent while the host starts or stops. */
  readonly operations: () => (Operations & Inspections) | undefined;
  /** Default 60 s. */
  readonly orderTimeoutMs?: number;
}

const MAX_QUESTIONS = 32;
const MAX_QUESTION_BYTES = 16_384;
const MAX_ORDERS = 4;

/** Answers the questions of operators and carries out their orders, one at a time, over AMQP. */
export class OperatorDesk {
  readonly #options: OperatorDeskOptions;
  readonly #inboxes: readonly Inbox[];
  readonly #replies: ReplyPublisher;
  readonly #orders = new Mutex();

  constructor(options: OperatorDeskOptions) {
    this.#options = options;
    const { node, config, operations } = options;
    const sources: QuestionSources = { ...options.questions, node, config, operations };
    const names = makeNames(config.amqp.prefix);
    const trial = { ...config.amqp, name: `${node}/control-reply-trial` };
    this.#replies = new ReplyPublisher((setUp) => new AmqpConnection(trial, setUp));
    const common = { node, prefix: config.amqp.prefix, replies: this.#replies, expireMs: ORDER_TIMEOUT_MS };
    this.#inboxes = [
      new Inbox({
        ...common,
        exchange: names.admin,
        maxWaiting: MAX_QUESTIONS,
        maxBytes: MAX_QUESTION_BYTES,
        answer: (message) => answerQuestion(parseQuestion(message), sources),
      }),
      new Inbox({
        ...common,
        exchange: names.operate,
        maxWaiting: MAX_ORDERS,
        maxBytes: maxOrderBytes(config.plugins),
        answer: (message, asker) => this.#take(parseOrder(message, config.plugins), asker),
      }),
    ];
  }

  /** Begins to answer on a new control connection. */
  async attach(model: ChannelModel): Promise<void> {
    await this.#replies.attach(model);
    for (const inbox of this.#inboxes) await inbox.attach(model);
  }

  /** Closes the connection of its own, at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    await this.#replies.close(timeoutMs);
  }

  #take(order: Order, { user }: Asker): Promise<OrderAnswer> {
    const { node, operations, log, orderTimeoutMs } = this.#options;
    return this.#orders.run(async () => {
      const control = operations();
      if (control === undefined) throw operateErrors.make('BEDS_OPERATE_NOT_READY');
      const { op, by } = order;
      log.info({ op, by, user }, `order of an operator: ${op} ${aboutOf(order)}`);
      const at = new Date().toISOString();
      const receipts = await carryOut(order, control, orderTimeoutMs);
      return { v: 1, op, node, ok: true, at, receipts };
    });
  }
}

function aboutOf(order: Order): string {
  if (order.op === 'deploy') return order.bundles.length === 1 ? '1 bundle' : `${order.bundles.length} bundles`;
  return order.op === 'lift' ? order.name : order.domain;
}
