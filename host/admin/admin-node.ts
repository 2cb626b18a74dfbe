import { resolve } from 'node:path';
import type { ChannelModel } from 'amqplib';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import type { Json } from '@beds/sdk';
import { loadTokenReader } from '../access/openid.js';
import { AmqpConnection } from '../amqp/connection.js';
import { makeNames } from '../amqp/names.js';
import { ReplyPublisher } from '../amqp/reply-publisher.js';
import { BrokerPool, type BrokerStatus, loadBrokers } from '../brokers/pool.js';
import type { Config } from '../config/schema.js';
import type { Log } from '../observe/log.js';
import type { BrokerPlan } from '../roles.js';
import { userOf } from './client.js';
import { directoriesOf } from '../config/load.js';
import type { AskDomain } from './contract.js';
import { Designs } from './designs.js';
import { Desk } from './desk.js';
import { Fleet } from './fleet.js';
import { Nodes } from './nodes.js';
import type { OrderKey } from './orders.js';

export interface AdminNodeOptions {
  readonly node: string;
  readonly config: Config;
  readonly log: Log;
  readonly key: OrderKey;
  readonly directory: string;
  /** Directories of the configuration are relative to it. */
  readonly projectRoot: string;
  /** Those that run beside the control plane. */
  readonly brokers: readonly BrokerPlan[];
}

/** What the dashboard of this node asks of its desk, over no network. */
export interface OwnDesk {
  ask(message: Readonly<Record<string, unknown>>): Promise<object>;
  /** Hears when a design is another than before. */
  watch(listener: () => void): void;
  /** Undefined: nobody designs here. */
  readonly designs: Pick<Designs, 'parts' | 'stores' | 'provider'> | undefined;
}

const CLOSE_MS = 2_000;

/** What an admin node runs beside its control plane, on a connection of its own. */
export class AdminNode {
  readonly #options: AdminNodeOptions;
  readonly #ending = new AbortController();
  readonly #connection: AmqpConnection;
  readonly #replies: ReplyPublisher;
  #model: ChannelModel | undefined;
  #blocked = new AbortController();
  #brokers: BrokerPool | undefined;
  #desk: Desk | undefined;
  #designs: Designs | undefined;
  #onDesigns: () => void = () => undefined;
  #client: Promise<BedsClient> | undefined;

  constructor(options: AdminNodeOptions) {
    const { node, config } = options;
    this.#options = options;
    const trial = { ...config.amqp, name: `${node}/admin-reply-trial` };
    this.#replies = new ReplyPublisher((setUp) => new AmqpConnection(trial, setUp));
    this.#connection = new AmqpConnection({ ...config.amqp, name: `${node}/admin` }, (model) => this.#attach(model));
  }

  get brokers(): readonly BrokerStatus[] {
    return this.#brokers?.status ?? [];
  }

  get ownDesk(): OwnDesk {
    const designs = (): OwnDesk['designs'] => this.#designs;
    return {
      ask: (message) => this.#desk?.answerOwn(message) ?? Promise.resolve({ ok: false }),
      watch: (listener) => (this.#onDesigns = listener),
      get designs() {
        return designs();
      },
    };
  }

  async start(): Promise<void> {
    const { node, config, log, key, directory, brokers: plans } = this.#options;
    this.#designs = this.#openDesigns();
    const desk = new Desk({
      ...{ node, config, log, key, directory, ask: this.#ask, replies: this.#replies },
      readToken: await loadTokenReader(config.openid),
      nodes: () => this.#nodes(),
      designs: this.#designs,
    });
    this.#desk = desk;
    const fleet = new Fleet({ config, log, key, ask: this.#ask, replies: this.#replies });
    this.#brokers = new BrokerPool({
      ...{ node, plans, prefix: config.amqp.prefix, types: await loadBrokers(plans), replies: this.#replies },
      desks: { orders: desk, fleet },
      // It serves no domain, and publishes nothing.
      serve: (delivery) => delivery.settle('requeue'),
      isFromHost: () => false,
      publishEvent: () => undefined,
      publishConfirmed: () => Promise.resolve('away'),
      ask: this.#ask,
      onWrite: () => undefined,
    });
    this.#connection.start();
    await this.#connection.ready(config.supervisor.startTimeoutMs);
    desk.open();
    await this.#brokers.consumeOwn();
    log.info({ orderKey: key.publicKey }, 'orders are signed; other nodes need this key in security.orderKeys');
  }

  /** What has begun may end, within its time. */
  async stop(timeoutMs: number): Promise<void> {
    // n.b. first: what came of it is to be in the audit.
    await this.#designs?.close();
    await this.#brokers?.stop();
    const idle = this.#brokers?.idle() ?? Promise.resolve();
    await Promise.race([idle, new Promise((resolve) => setTimeout(resolve, timeoutMs).unref())]);
    this.#ending.abort();
    await this.#brokers?.close();
    this.#desk?.close();
    const client = await this.#client?.catch(() => undefined);
    await Promise.all([
      client?.close({ drainTimeoutMs: CLOSE_MS }),
      this.#replies.close(CLOSE_MS),
      this.#connection.close(CLOSE_MS),
    ]);
  }

  #openDesigns(): Designs | undefined {
    const { config, log, projectRoot } = this.#options;
    const { designs } = config.dashboard;
    if (designs === '' || !config.dashboard.enabled) return undefined;
    return new Designs({
      ...{ directory: resolve(projectRoot, designs), projectRoot },
      plugins: directoriesOf(projectRoot, config).plugins,
      onChange: () => this.#onDesigns(),
      onFault: (words) => log.error({ words }, 'a step of a design failed'),
    });
  }

  async #attach(model: ChannelModel): Promise<void> {
    this.#model = model;
    const blocked = new AbortController();
    this.#blocked = blocked;
    model.on('blocked', () => blocked.abort());
    model.once('close', () => {
      if (this.#model === model) this.#model = undefined;
    });
    await this.#replies.attach(model);
    await this.#brokers?.attach(model);
  }

  #nodes(): Nodes | undefined {
    const { node, config } = this.#options;
    const model = this.#model;
    if (model === undefined) return undefined;
    const names = makeNames(config.amqp.prefix);
    const signals = { signal: this.#ending.signal, blocked: this.#blocked.signal };
    return new Nodes({ model, names, userId: userOf(config.amqp.url), by: node, ...signals });
  }

  /** n.b. over RabbitMQ, also where a thread of this node answers: that one may be busy with a template, another one not. */
  readonly #ask: AskDomain = async ({ domain, op, payload }, timeoutMs) => {
    const client = await this.#connected();
    const answer: unknown = await client.domain(domain).call(op, payload, { deadlineMs: timeoutMs });
    return answer as Json;
  };

  #connected(): Promise<BedsClient> {
    if (this.#client !== undefined) return this.#client;
    const { node, config } = this.#options;
    const { url, prefix } = config.amqp;
    const userId = userOf(url);
    const exchange = makeNames(prefix).requests;
    const client = connectBeds({ url, name: `${node}/admin`, exchange, ...(userId === undefined ? {} : { userId }) });
    this.#client = client;
    client.catch(() => (this.#client = undefined));
    return client;
  }
}
