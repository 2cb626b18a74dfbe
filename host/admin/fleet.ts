import type { Json, JsonObject } from '@beds/sdk';
import { z } from 'zod';
import { parseReplyAddress } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { Delivery } from '../amqp/queue-consumer.js';
import { ProgramPolicy } from '../access/programs.js';
import type { MessageDesk } from '../brokers/contract.js';
import { planBrokers } from '../brokers/plan.js';
import type { Config } from '../config/schema.js';
import { Mutex } from '../deploy/mutex.js';
import { servedBy } from '../roles.js';
import { adminErrors } from '../errors/admin.js';
import { publishFault } from '../observe/channels.js';
import type { Log } from '../observe/log.js';
import {
  agreed,
  desiredDomains,
  type DesiredDomains,
  driftOf,
  isGone,
  type Member,
  report,
  withAgreed,
} from './desired.js';
import type { AskDomain } from './contract.js';
import { ORDER_MS, type OrderKey } from './orders.js';
import type { Drift } from './shown.js';

export interface FleetOptions {
  readonly config: Config;
  readonly log: Log;
  readonly key: OrderKey;
  readonly ask: AskDomain;
  readonly replies: ReplyPublisher;
}

const ASK_MS = 4_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** Tries to write a revision beside other admin nodes. */
const ROUNDS = 5;

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const part = z.int().min(0).max(1_000);
/** What nodes send, beside `v` and `by`. */
const message = z.discriminatedUnion('op', [
  z.object({ op: z.literal('report'), node: z.string().min(1).max(200), nonce: z.string().max(100), report }),
  z.object({ op: z.literal('leave'), node: z.string().min(1).max(200) }),
  z.object({ op: z.literal('part'), hash, part }),
  z.object({ op: z.literal('keep'), hash, part, parts: z.int().min(1).max(1_000), content: z.string().max(300_000) }),
]);
type Message = z.output<typeof message>;

/** What the domain `fleet` has. */
export interface FleetState {
  readonly revision: number;
  readonly desired: DesiredDomains;
  readonly members: readonly Member[];
  readonly drift: readonly Drift[];
}

/** What a signature says that a node gets. */
export interface Told {
  readonly nonce: string;
  readonly until: number;
  readonly revision: number;
  readonly desired: DesiredDomains;
  /** Bundles of this node that are to be kept. */
  readonly wanted: readonly string[];
}

/** What is signed is for nodes that asked, and no order. */
export const TOLD = 'beds-desired-v1';

/** Keeps what all nodes shall run, with the bytes: hears what they run, and tells them what they shall. */
export class Fleet implements MessageDesk {
  readonly #options: FleetOptions;
  readonly #programs: ProgramPolicy;
  readonly #mutex = new Mutex();
  #revision = 0;
  #reports = 0;
  #lastWords = '';

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#programs = new ProgramPolicy(options.config.callers, options.config.amqp.url);
  }

  get metrics(): Readonly<Record<string, number>> {
    return { beds_fleet_revision: this.#revision, beds_fleet_reports_total: this.#reports };
  }

  async take(delivery: Delivery): Promise<void> {
    const { config, replies } = this.#options;
    const { replyTo, correlationId, userId } = delivery.properties as Readonly<
      Record<'replyTo' | 'correlationId' | 'userId', unknown>
    >;
    const address = typeof replyTo === 'string' ? parseReplyAddress(replyTo, config.amqp.prefix) : undefined;
    if (address !== undefined) {
      const answer = await this.#answer(delivery.body, userId);
      replies.publish(
        {
          ...{ address, body: Buffer.from(JSON.stringify(answer)), flushNow: false, type: 'beds.fleet' },
          correlationId: typeof correlationId === 'string' ? correlationId : undefined,
          expiresAtMs: performance.now() + ANSWER_TIMEOUT_MS,
        },
        () => undefined,
      );
    }
    delivery.settle('ack');
  }

  async #answer(body: Buffer, userId: unknown): Promise<object> {
    try {
      // n.b. RabbitMQ vouches for the account: what others say of nodes counts for nothing.
      if (!this.#programs.isHost(userId)) throw adminErrors.make('BEDS_ADMIN_FORBIDDEN', 'Only hosts report.');
      const read = message.safeParse(JSON.parse(body.toString('utf8')));
      if (!read.success) throw adminErrors.make('BEDS_ADMIN_INVALID', 'It is nothing that a node sends.');
      const done = await this.#act(read.data);
      this.#lastWords = '';
      return { ok: true, ...done };
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      // n.b. nodes report again and again: the same words once.
      if (words !== this.#lastWords) publishFault({ where: 'fleet', error });
      this.#lastWords = words;
      return { ok: false };
    }
  }

  async #act(said: Message): Promise<object> {
    const at = Date.now();
    switch (said.op) {
      case 'report': {
        this.#reports += 1;
        const { node, nonce } = said;
        await this.#fleet('report', { node, at, report: JSON.stringify(said.report) });
        const { revision, desired, wanted } = await this.#mutex.run(() => this.#settle(said.report.runs));
        this.#revision = revision;
        const told: Told = { nonce, until: at + ORDER_MS, revision, desired, wanted };
        const text = JSON.stringify(told);
        return { text, signature: this.#options.key.sign(this.#options.config.amqp.prefix, Buffer.from(text), TOLD) };
      }
      case 'leave':
        await this.#fleet('leave', { node: said.node });
        return {};
      case 'part':
        return (await this.#fleet('part', { hash: said.hash, part: said.part })) as object;
      case 'keep': {
        const { hash: of, part: number, parts, content } = said;
        await this.#fleet('keep', { hash: of, part: number, parts, content, at });
        return {};
      }
    }
  }

  /** Takes in what nodes agree on; what its bytes are missing of is asked from the node that reports. */
  async #settle(runs: readonly { readonly hash: string }[]): Promise<{
    readonly revision: number;
    readonly desired: DesiredDomains;
    readonly wanted: readonly string[];
  }> {
    for (let round = 0; ; round += 1) {
      const { revision, desired, members } = await readFleet(this.#options);
      const here = { nowMs: Date.now(), serves: this.#serves };
      for (const { node } of members.filter((each) => isGone(each, here.nowMs))) await this.#fleet('leave', { node });
      const next = agreed(desired, members, here);
      const missing: string[] = [];
      for (const { hash: of, state } of next) if (state !== 'retired' && !(await this.#isKept(of))) missing.push(of);
      const ready = next.filter((each) => !missing.includes(each.hash));
      const wanted = missing.filter((each) => runs.some((own) => own.hash === each));
      if (ready.length === 0 || round >= ROUNDS) return { revision, desired, wanted };
      const { desired: content, dropped } = withAgreed(desired, ready, revision + 1);
      const set = await this.#fleet('set', { revision, content: JSON.stringify(content) });
      if ((set as { readonly isSet: boolean }).isSet) {
        for (const { domain, version, state } of ready) {
          this.#options.log.info(
            { revision: revision + 1, domain, version, state },
            `all nodes shall run ${domain} ${version}`,
          );
        }
        for (const of of dropped) await this.#fleet('drop', { hash: of });
      }
    }
  }

  /** n.b. parts come in order: the last one says that all are there. */
  async #isKept(of: string): Promise<boolean> {
    try {
      const { parts } = (await this.#fleet('part', { hash: of, part: 0 })) as { readonly parts: number };
      if (parts > 1) await this.#fleet('part', { hash: of, part: parts - 1 });
      return true;
    } catch (error) {
      if ((error as { readonly status?: unknown }).status === 'not-found') return false;
      throw error;
    }
  }

  readonly #serves = servesOf(() => this.#options.config);

  #fleet(op: string, payload: JsonObject): Promise<Json> {
    return this.#options.ask({ domain: 'fleet', op, payload }, ASK_MS);
  }
}

/** What the domain says, and which nodes deviate from it. */
export async function readFleet({ ask, config }: Pick<FleetOptions, 'ask' | 'config'>): Promise<FleetState> {
  const state = (await ask({ domain: 'fleet', op: 'state', payload: {} }, ASK_MS)) as {
    readonly revision: number;
    readonly content: string;
    readonly members: readonly { readonly node: string; readonly at: number; readonly report: string }[];
  };
  const desired = desiredDomains.parse(JSON.parse(state.content));
  const members = state.members.flatMap(({ node, at, report: text }): Member[] => {
    const read = report.safeParse(JSON.parse(text));
    return read.success ? [{ ...read.data, node, at }] : [];
  });
  const drift = driftOf(desired, members, { nowMs: Date.now(), serves: servesOf(() => config) });
  return { revision: state.revision, desired, members, drift };
}

/** n.b. by the configuration of this node: one fits all of them. */
function servesOf(config: () => Config): (roles: readonly string[], domain: string) => boolean {
  const known = new Map<string, (domain: string) => boolean>();
  return (roles, domain) => {
    const key = roles.join();
    const { node, ...rest } = config();
    const matcher = known.get(key) ?? servedBy(planBrokers({ ...rest, node: { ...node, roles: [...roles] } }));
    known.set(key, matcher);
    return matcher(domain);
  };
}
