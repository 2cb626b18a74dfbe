import { createHash, randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isBedsError, type Json, type JsonObject } from '@beds/sdk';
import { z } from 'zod';
import { Access, type ReadToken } from '../access/access.js';
import { parseReplyAddress } from '../amqp/reply-address.js';
import type { ReplyPublisher } from '../amqp/reply-publisher.js';
import type { Delivery } from '../amqp/queue-consumer.js';
import type { MessageDesk } from '../brokers/contract.js';
import type { AskDomain } from './contract.js';
import type { Config } from '../config/schema.js';
import { adminErrors } from '../errors/admin.js';
import { publishFault } from '../observe/channels.js';
import type { Log } from '../observe/log.js';
import { Mutex } from '../deploy/mutex.js';
import { type CommandInput, type CommandName, COMMANDS, laneOf, MAX_LETTER_IDS, maxCommandBytes } from './commands.js';
import { COMMAND_TIMEOUT_MS, type CommandAnswers, type CommandOptions, type Nodes } from './nodes.js';
import { ORDER_MS, type OrderKey } from './orders.js';
import {
  ADMIN_VERSION,
  type Checked,
  checkMessage,
  type Definition,
  DESK_ENVELOPE,
  type Door,
  OPERATOR_ROLES,
  type OperatorRole,
  parseMessage,
  type Refusal,
} from './protocol.js';
import { DESIGN_ORDERS, DESIGN_QUERIES, type DesignOrder, type Designs } from './designs.js';
import { AUDIT_PAGE, DESK_ORDERS, DESK_QUERIES, KEPT, type KeptName } from './desk-queries.js';
import { readFleet } from './fleet.js';
import { QUERIES, type QueryInput, type QueryName } from './queries.js';

export interface DeskOptions {
  readonly node: string;
  readonly config: Config;
  readonly log: Log;
  readonly key: OrderKey;
  /** `state.directory`: what the audit does not take is kept there. */
  readonly directory: string;
  readonly ask: AskDomain;
  readonly readToken?: ReadToken | undefined;
  readonly replies: ReplyPublisher;
  /** Undefined: there is no connection now. */
  readonly nodes: () => Nodes | undefined;
  /** Undefined: nobody designs domains here. */
  readonly designs?: Designs | undefined;
}

/** Who asks, and what he may. */
interface Asking {
  readonly id: string;
  readonly name: string;
  readonly role: OperatorRole | undefined;
  /** From where, as far as it is known. */
  readonly source: string;
}

type Message = Readonly<Record<string, unknown>>;

/** What came, from RabbitMQ or from the dashboard of this node. */
type Letter = Pick<Delivery, 'body' | 'redelivered'> & { readonly properties: object };

/** An order that is written down. */
interface Given {
  readonly checked: Checked<Definition>;
  readonly message: Message;
  readonly who: Asking;
  readonly id: string;
  /** Its place in the audit: of two for one domain the later one counts. */
  readonly revision: number;
}

interface Answered {
  readonly answers: readonly unknown[];
  readonly asked: readonly string[];
  readonly nodeCount: number;
}

/** One record of the audit, without its place. */
type Entry = Readonly<Record<'id' | 'order_id' | 'op' | 'target' | 'outcome' | 'words', string>> &
  Readonly<Record<'user_id' | 'user_name' | 'source', string>> & {
    readonly at: number;
    readonly step: 'asked' | 'done' | 'refused';
  };

const ASK_MS = 5_000;
const DEFAULT_WAIT_MS = 3_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** Refused ones of nobody that is known are written down so often; the others are counted. */
const STRANGERS = { most: 30, withinMs: 60_000 } as const;
/** n.b. after that it is too late, whatever the store says. */
const BEGUN_MS = 2 * (ORDER_MS + COMMAND_TIMEOUT_MS);
const RETRY_MS = 2_000;
const OWN_SHARE = 0.9;
/** Records in memory that wait for the store of the audit; what is beyond waits in a file. */
const MOST_UNWRITTEN = 10_000;
/** A store that is there, and takes no record now. */
const AWAY: ReadonlySet<string> = new Set(['unavailable', 'timeout', 'overloaded', 'indeterminate']);
const NOBODY = { id: '', name: '', role: undefined } as const;
const DOOR: Door<Definition> = {
  definitions: { ...QUERIES, ...DESK_QUERIES, ...DESK_ORDERS, ...COMMANDS },
  otherwise: { exchange: '', definitions: {} },
};
/** n.b. they are about files of this node, and what comes over RabbitMQ any admin node may get. */
const OWN_DOOR: Door<Definition> = { ...DOOR, definitions: { ...DESIGN_QUERIES, ...DESIGN_ORDERS } };

/**
 * Where operators' orders and questions come in: says who asks, what his role may, writes down who ordered what and what came of it, and gives
 * orders to the nodes, signed. An order is written down before a node hears of it; it is not given where that fails.
 */
export class Desk implements MessageDesk {
  readonly #options: DeskOptions;
  readonly #access: Access;
  readonly #accounts: ReadonlyMap<string, OperatorRole>;
  readonly #left: LeftRecords;
  readonly #unwritten: Entry[] = [];
  /** There may be records in the file that are not among those in memory. */
  #hasMore = true;
  readonly #lanes = { bundles: new Mutex(), orders: new Mutex(), letters: new Mutex() } as const;
  /** Orders that this one has begun with: whether the store has one is not known at once. */
  readonly #begun = new Set<string>();
  #strangers = { sinceMs: 0, count: 0, left: 0 };
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;
  #orders = 0;
  #refused = 0;

  constructor(options: DeskOptions) {
    const { config, ask, readToken } = options;
    this.#options = options;
    this.#left = new LeftRecords(options.directory, options.log);
    // n.b. it hears of no revocation, so it keeps no session: who asks is asked for with each order.
    this.#access = new Access({
      security: config.security,
      resolve: (tokenHash, timeoutMs) => ask({ domain: 'sessions', op: 'resolve', payload: { tokenHash } }, timeoutMs),
      listen: () => undefined,
      readToken,
    });
    this.#accounts = new Map(config.security.operators.map(accountRole));
  }

  get metrics(): Readonly<Record<string, number>> {
    return {
      beds_admin_orders_total: this.#orders,
      beds_admin_refused_total: this.#refused,
      beds_admin_unwritten: this.#unwritten.length,
    };
  }

  async take(delivery: Delivery): Promise<void> {
    const { config, replies } = this.#options;
    const { replyTo, correlationId } = delivery.properties as Readonly<Record<'replyTo' | 'correlationId', unknown>>;
    const address = typeof replyTo === 'string' ? parseReplyAddress(replyTo, config.amqp.prefix) : undefined;
    if (address === undefined) {
      publishFault({ where: 'order desk', error: adminErrors.make('BEDS_ADMIN_INVALID', 'No usable reply address.') });
      delivery.settle('ack');
      return;
    }
    const answer = await this.#answer(delivery, DOOR);
    const reply = {
      ...{ address, body: Buffer.from(JSON.stringify(answer)), flushNow: false, type: 'beds.desk' },
      correlationId: typeof correlationId === 'string' ? correlationId : undefined,
      expiresAtMs: performance.now() + ANSWER_TIMEOUT_MS,
    };
    replies.publish(reply, () => undefined);
    delivery.settle('ack');
  }

  /** Goes on with what an admin node here could not write before it ended. */
  open(): void {
    void this.#writeAll();
  }

  /** Answers the dashboard of this node about designs. Never rejects. */
  answerOwn(message: Message): Promise<object> {
    return this.#answer({ body: Buffer.from(JSON.stringify(message)), properties: {}, redelivered: false }, OWN_DOOR);
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#isClosed = true;
    if (this.#retry === undefined) this.#left.wait(this.#unwritten);
  }

  async #answer(delivery: Letter, door: Door<Definition>): Promise<object> {
    const { node, config } = this.#options;
    let who: Asking = { ...NOBODY, source: sourceOf({}, delivery) };
    let message: Message = {};
    try {
      if (delivery.body.length > maxCommandBytes(config.plugins)) throw adminErrors.make('BEDS_ADMIN_TOO_LARGE');
      message = parseMessage(delivery.body);
      who = await this.#whoAsks(message, delivery);
      const checked = checkMessage(message, door, DESK_ENVELOPE);
      requireRole(who, checked);
      const answered = await this.#carryOut(checked, message, { who, delivery });
      return { v: ADMIN_VERSION, op: checked.op, node, ok: true, ...answered };
    } catch (thrown) {
      const error = thrown instanceof NotRefused ? thrown.cause : thrown;
      if (!isBedsError(error)) publishFault({ where: 'order desk', error });
      const known = isBedsError(error) ? error : adminErrors.make('BEDS_ADMIN_FAULT', undefined, { cause: error });
      const { code, message: words, hint } = known;
      this.#refused += 1;
      if (error === thrown) this.#noteRefusal(known, { who, message });
      const refusal = { code, message: words, ...(hint === undefined ? {} : { hint }) };
      return { v: ADMIN_VERSION, op: opOf(message), node, ok: false, error: refusal };
    }
  }

  /** n.b. who is not known is not refused here: what he wanted is to be in the audit. */
  async #whoAsks(message: Message, delivery: Letter): Promise<Asking> {
    const { session } = message;
    const { userId } = delivery.properties as { readonly userId?: unknown };
    const source = sourceOf(message, delivery);
    if (typeof session !== 'string') {
      const role = typeof userId === 'string' ? this.#accounts.get(userId) : undefined;
      return role === undefined ? { ...NOBODY, source } : { id: `account:${String(userId)}`, name: '', role, source };
    }
    if (this.#options.key.isOwner(session)) return { id: 'owner', name: 'owner of the checkout', role: 'dba', source };
    const user = await this.#access.ask(session, ASK_MS);
    if (user === undefined) return { ...NOBODY, source };
    const role = OPERATOR_ROLES.findLast((each) => user.roles.includes(each));
    return { id: user.id, name: user.name ?? '', role, source: `${source}, session ${user.session}` };
  }

  async #carryOut(
    checked: Checked<Definition>,
    message: Message,
    { who, delivery }: { readonly who: Asking; readonly delivery: Letter },
  ): Promise<Answered> {
    const { op, input } = checked;
    if (Object.hasOwn(DESIGN_QUERIES, op)) return this.#answered(op, this.#designs.view(String(input['domain'])));
    if (Object.hasOwn(DESIGN_ORDERS, op)) return this.#design(checked, message, { who, delivery });
    if (Object.hasOwn(DESK_QUERIES, op)) {
      return this.#answerItself(op, input).catch((error: unknown) => {
        // n.b. it was let in, and a question changes nothing: a store that is away must not fill the audit.
        throw new NotRefused(error);
      });
    }
    const nodes = this.#options.nodes();
    if (nodes === undefined) throw adminErrors.make('BEDS_ADMIN_NO_NODES', 'The admin node has lost RabbitMQ.');
    const { forMs = DEFAULT_WAIT_MS, ...wait } = (message['wait'] ?? {}) as {
      readonly forMs?: number;
      readonly expected?: number;
      readonly nodes?: readonly string[];
    };
    if (Object.hasOwn(QUERIES, op)) {
      const options = { timeoutMs: forMs, ...wait, ...(checked.node === undefined ? {} : { node: checked.node }) };
      const answers = await nodes.query(op as QueryName, input as QueryInput<QueryName>, options);
      return { answers, asked: [], nodeCount: answers.length };
    }
    const id = this.#requireOrder(message);
    const untilMs = performance.now() + waitOf(delivery);
    // n.b. nodes refuse more than a few at once, and who was told of one knows its place in the audit.
    return this.#lanes[laneOf(op)].run(async () => {
      if (performance.now() >= untilMs) throw adminErrors.make('BEDS_ADMIN_NOT_BEGUN');
      const told = { ...{ order_id: id, op, target: targetOf(input, checked.node) }, ...personOf(who) };
      const asked = { ...told, id, at: Date.now(), step: 'asked', outcome: 'ok', words: optionsOf(input) } as const;
      const revision = await this.#begin(fitted(asked), delivery);
      try {
        const order = { checked, message, who, id, revision };
        const given = Object.hasOwn(DESK_ORDERS, op)
          ? await this.#forget(input)
          : await this.#give(order, { timeoutMs: forMs, ...wait });
        this.#write({ ...told, id: randomUUID(), at: Date.now(), step: 'done', ...outcomeOf(given) });
        return given;
      } catch (error) {
        const outcome = isBedsError(error) ? error.code : 'BEDS_ADMIN_FAULT';
        this.#write({ ...told, id: randomUUID(), at: Date.now(), step: 'done', outcome, words: wordsOf(error) });
        throw new NotRefused(error);
      }
    });
  }

  /** A step of a design: it is written down that it begins, and what came of it when it has ended. */
  async #design(
    { op, input }: Checked<Definition>,
    message: Message,
    { who, delivery }: { readonly who: Asking; readonly delivery: Letter },
  ): Promise<Answered> {
    const designs = this.#designs;
    const order = input as unknown as DesignOrder;
    if (order.step === 'stop' && designs.isChangingDatabase(order.domain) && who.role !== 'dba')
      throw adminErrors.make('BEDS_ADMIN_ROLE', 'A change of a database is stopped by somebody with the role dba.');
    const id = this.#requireOrder(message);
    const entry = { order_id: id, op: `design.${order.step}`, target: order.domain, ...personOf(who) };
    const asked = { ...entry, id, at: Date.now(), step: 'asked', outcome: 'ok', words: optionsOf(input) } as const;
    const done = (came: { readonly outcome: string; readonly words: string }): void =>
      this.#write({ ...entry, id: randomUUID(), at: Date.now(), step: 'done', ...came });
    await this.#begin(fitted(asked), delivery);
    try {
      const { ended } = designs.begin(order, who.name === '' ? who.id : who.name);
      this.#orders += 1;
      this.#options.log.info(
        { op: entry.op, order: id, user: who.id, source: who.source },
        `order: ${entry.op} ${order.domain}`,
      );
      void ended.then(done);
      return this.#answered(op, {});
    } catch (error) {
      done({ outcome: isBedsError(error) ? error.code : 'BEDS_ADMIN_FAULT', words: wordsOf(error) });
      throw new NotRefused(error);
    }
  }

  /** Throws BEDS_ADMIN_DESIGNS_OFF. */
  get #designs(): Designs {
    const { designs } = this.#options;
    if (designs === undefined) throw adminErrors.make('BEDS_ADMIN_DESIGNS_OFF');
    return designs;
  }

  /** Gives an order that is written down to the nodes. */
  async #give({ checked, message, who, id, revision }: Given, options: CommandOptions): Promise<CommandAnswers> {
    const { op, node, input } = checked;
    const { key, config, log } = this.#options;
    const nodes = this.#options.nodes();
    if (nodes === undefined) throw adminErrors.make('BEDS_ADMIN_NO_NODES', 'The admin node has lost RabbitMQ.');
    this.#orders += 1;
    log.info({ op, order: id, user: who.id, source: who.source }, `order: ${op} ${targetOf(input, node)}`);
    const signed = { id, revision, by: byOf(who), sign: (body: Buffer): string => key.sign(config.amqp.prefix, body) };
    // n.b. as it came: the nodes check it by the same definitions.
    const sent = { ...fieldsOf(message, op) } as unknown as CommandInput<CommandName>;
    return nodes.command(op as CommandName, sent, { ...options, signed, ...(node === undefined ? {} : { node }) });
  }

  /** A node that is there all the same reports again. */
  async #forget({ name }: Message): Promise<CommandAnswers> {
    await this.#options.ask({ domain: 'fleet', op: 'leave', payload: { node: String(name) } }, ASK_MS);
    return { answers: [], asked: [], nodeCount: 0 };
  }

  /** The id of an order that is no later than it may be. */
  #requireOrder({ order }: Message): string {
    const { id, at } = (order ?? {}) as { readonly id?: string; readonly at?: number };
    if (id === undefined || at === undefined) {
      throw adminErrors.make(
        'BEDS_ADMIN_INVALID',
        'An order must say its id and when it was given: order.id, order.at.',
      );
    }
    const agoMs = Date.now() - at;
    if (Math.abs(agoMs) <= ORDER_MS + COMMAND_TIMEOUT_MS) return id;
    const words = agoMs > 0 ? `${Math.round(agoMs / 1_000)} s ago` : `in ${Math.round(-agoMs / 1_000)} s`;
    throw adminErrors.make(
      'BEDS_ADMIN_LATE',
      `By the clock of its sender the order was given ${words}. Nothing was done.`,
    );
  }

  /** Writes an order down that nobody has given before; gives its place in the audit. */
  async #begin(entry: Entry, delivery: Letter): Promise<number> {
    // n.b. RabbitMQ delivers it again where the admin node that had it has gone, or has lost its connection.
    const again = delivery.redelivered ? 'BEDS_ADMIN_INTERRUPTED' : 'BEDS_ADMIN_REPLAYED';
    if (this.#begun.has(entry.id)) throw adminErrors.make(again);
    this.#begun.add(entry.id);
    setTimeout(() => this.#begun.delete(entry.id), BEGUN_MS).unref();
    try {
      return await this.#append(entry);
    } catch (error) {
      if (!isConflict(error)) {
        this.#begun.delete(entry.id);
        throw adminErrors.make('BEDS_ADMIN_NO_AUDIT', undefined, { cause: error });
      }
      throw adminErrors.make(again);
    }
  }

  #noteRefusal(
    { code, message: words }: { readonly code: string; readonly message: string },
    { who, message }: { readonly who: Asking; readonly message: Message },
  ): void {
    const left = who.id === '' ? this.#countStranger() : 0;
    if (left === undefined) return;
    const { id } = (typeof message['order'] === 'object' ? (message['order'] ?? {}) : {}) as { readonly id?: unknown };
    this.#write({
      ...{
        id: randomUUID(),
        at: Date.now(),
        order_id: typeof id === 'string' && ORDER_ID.test(id) ? id : '',
        step: 'refused',
        ...personOf(who),
      },
      ...{ op: opOf(message), target: targetOf(message), outcome: code },
      words: left === 0 ? words : `${words} (and ${left} more of nobody that is known, before)`,
    });
  }

  /** How many were left out since the last one that was written down; undefined: this one is left out as well. */
  #countStranger(): number | undefined {
    const nowMs = performance.now();
    const strangers = this.#strangers;
    if (nowMs - strangers.sinceMs > STRANGERS.withinMs) {
      this.#strangers = { sinceMs: nowMs, count: 1, left: 0 };
      return strangers.left;
    }
    strangers.count += 1;
    if (strangers.count <= STRANGERS.most) return 0;
    strangers.left += 1;
    return undefined;
  }

  async #answerItself(op: string, input: Message): Promise<Answered> {
    const { ask } = this.#options;
    if (op === 'fleet') return this.#answered(op, await readFleet(this.#options));
    if (op === 'kept') {
      const { what, input: asked } = input as { readonly what: KeptName; readonly input: JsonObject };
      return this.#answered(op, await ask({ ...KEPT[what], payload: asked }, ASK_MS));
    }
    const { after, limit } = input as { readonly after?: number; readonly limit?: number };
    const payload = { after: after ?? null, limit: limit ?? AUDIT_PAGE };
    return this.#answered(op, await ask({ domain: 'audit', op: 'read', payload }, ASK_MS));
  }

  #answered(op: string, result: unknown): Answered {
    const { node } = this.#options;
    const answer = { v: ADMIN_VERSION, op, node, ok: true, asker: { name: '', verified: true }, result };
    return { answers: [answer], asked: [], nodeCount: 1 };
  }

  /** What has happened is written down, now or as soon as the store is back; in the order in which it happened. */
  #write(said: Entry): void {
    const entry = fitted(said);
    const isWaiting = this.#retry !== undefined || this.#isClosed;
    const hasRoom = this.#unwritten.length < MOST_UNWRITTEN;
    if (isWaiting || !hasRoom) this.#left.wait([entry]);
    if (hasRoom) this.#unwritten.push(entry);
    else this.#hasMore = true;
    if (this.#unwritten.length === 1 && !isWaiting) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#retry = undefined;
    this.#refill();
    for (let [first] = this.#unwritten; first !== undefined; [first] = this.#unwritten) {
      if (!(await this.#isSettled(first))) {
        this.#left.wait(this.#unwritten);
        if (!this.#isClosed) this.#retry = setTimeout(() => void this.#writeAll(), RETRY_MS);
        return;
      }
      this.#unwritten.shift();
      if (this.#unwritten.length === 0) this.#refill();
    }
    if (!this.#isClosed) this.#left.forgetWaiting();
  }

  /** n.b. among those in the file are some that are written: a record that is there is not added again. */
  #refill(): void {
    if (!this.#hasMore || this.#unwritten.length > 0) return;
    this.#hasMore = false;
    this.#unwritten.push(...this.#left.waiting());
  }

  /** Whether a record is in the audit, or never will be: then one that stands for it is there, and no other has to wait. */
  async #isSettled(entry: Entry): Promise<boolean> {
    try {
      await this.#append(entry);
      return true;
    } catch (error) {
      // n.b. whose answer was lost is there.
      if (isConflict(error)) return true;
      if (!isAway(error) && (await this.#isStoodInFor(entry, error))) return true;
      this.#options.log.error({ err: error }, 'the audit cannot be written; it is tried again');
      return false;
    }
  }

  /** n.b. what a store refuses of one record it may refuse of all: only that it takes the other one says that it was the record. */
  async #isStoodInFor(entry: Entry, refusal: unknown): Promise<boolean> {
    const digest = this.#left.keepRefused(entry);
    const code = isBedsError(refusal) ? refusal.code : 'BEDS_ADMIN_FAULT';
    const words = `The store refused this record (${code}). It is in ${REFUSED_FILE} of this node: sha256 ${digest}.`;
    for (const form of [plainForm(entry), bareForm(entry)]) {
      try {
        await this.#append({ ...form, words });
        this.#options.log.error({ entry, err: refusal, file: REFUSED_FILE }, 'the store of the audit refused a record');
        return true;
      } catch (error) {
        if (isConflict(error)) return true;
        if (isAway(error)) return false;
      }
    }
    return false;
  }

  /** n.b. the same record is not added twice: where nobody says whether it was, such as after a node was killed, it is tried again. */
  async #append(entry: Entry): Promise<number> {
    const { ask, node } = this.#options;
    const payload = { ...entry, node: cut(node, 200) };
    const append = (): Promise<Json> => ask({ domain: 'audit', op: 'append', payload }, ASK_MS);
    const added = await append().catch((error: unknown) => {
      if (isConflict(error)) throw error;
      return append();
    });
    return (added as { readonly seq: number }).seq;
  }
}

const WAITING_FILE = 'audit-waiting.jsonl';
const REFUSED_FILE = 'audit-refused.jsonl';

const leftEntry = z.strictObject({
  ...{ id: z.string(), order_id: z.string(), op: z.string(), target: z.string(), outcome: z.string() },
  ...{ words: z.string(), user_id: z.string(), user_name: z.string(), source: z.string(), at: z.number() },
  step: z.enum(['asked', 'done', 'refused']),
});

/** Records that the store of the audit has not taken, in files of the node. What no disk takes either is in its log. */
class LeftRecords {
  readonly #waiting: string;
  readonly #refused: string;
  readonly #log: Log;
  /** Those in memory that are in the file. */
  #kept = new WeakSet<Entry>();
  #lastRefused = '';

  constructor(directory: string, log: Log) {
    this.#waiting = join(directory, WAITING_FILE);
    this.#refused = join(directory, REFUSED_FILE);
    this.#log = log;
  }

  /** Those that wait are here also where the node is killed. */
  wait(entries: readonly Entry[]): void {
    const more = entries.filter((entry) => !this.#kept.has(entry));
    if (more.length === 0) return;
    this.#add(this.#waiting, more);
    for (const entry of more) this.#kept.add(entry);
  }

  waiting(): readonly Entry[] {
    let text = '';
    try {
      text = readFileSync(this.#waiting, 'utf8');
    } catch (err) {
      if (!isMissing(err)) this.#log.error({ err }, `${this.#waiting} cannot be read`);
    }
    const entries = new Map<string, Entry>();
    for (const line of text.split('\n').filter((each) => each !== '')) {
      const entry = parsedEntry(line);
      if (entry === undefined) this.#log.error({ line }, `a line of ${this.#waiting} is no record`);
      else entries.set(entry.id, entry);
    }
    for (const entry of entries.values()) this.#kept.add(entry);
    return [...entries.values()];
  }

  forgetWaiting(): void {
    rmSync(this.#waiting, { force: true });
    this.#kept = new WeakSet();
  }

  /** Gives the SHA-256 of its line. n.b. it may be refused again and again, and is kept once. */
  keepRefused(entry: Entry): string {
    if (this.#lastRefused !== entry.id) this.#add(this.#refused, [entry]);
    this.#lastRefused = entry.id;
    return createHash('sha256').update(JSON.stringify(entry)).digest('hex');
  }

  #add(path: string, entries: readonly Entry[]): void {
    const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    try {
      appendFileSync(path, lines, { mode: 0o600, flush: true });
    } catch (err) {
      this.#log.error({ err, entries }, `records of the audit could not be kept in ${path}`);
    }
  }
}

function parsedEntry(line: string): Entry | undefined {
  try {
    return leftEntry.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** As long as the store takes it. */
function fitted(entry: Entry): Entry {
  return {
    ...entry,
    ...{ user_id: cut(entry.user_id, 255), user_name: cut(entry.user_name, 255), source: cut(entry.source, 500) },
    ...{ op: cut(entry.op, 40), target: cut(entry.target, 2_000), outcome: cut(entry.outcome, 100) },
    words: cut(entry.words, 4_000),
  };
}

/** In letters that every store has. */
function plainForm(entry: Entry): Entry {
  return {
    ...entry,
    ...{ order_id: plain(entry.order_id), op: plain(entry.op), target: plain(entry.target) },
    ...{ user_id: plain(entry.user_id), user_name: plain(entry.user_name), source: plain(entry.source) },
    outcome: plain(entry.outcome),
  };
}

/** With nothing that came from outside. */
function bareForm({ id, at, step, words }: Entry): Entry {
  const outcome = 'BEDS_ADMIN_NO_AUDIT';
  return { id, at, step, order_id: '', op: '', target: '', user_id: '', user_name: '', source: '', outcome, words };
}

function plain(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200);
}

/** What failed without being refused: of an order it is written down already, of a question it need not be. */
class NotRefused extends Error {
  constructor(cause: unknown) {
    super('not refused', { cause });
  }
}

/** n.b. what is no error of BEDS says nothing about a record. */
function isAway(error: unknown): boolean {
  return !isBedsError(error) || AWAY.has(error.status);
}

function isConflict(error: unknown): boolean {
  return isBedsError(error) && error.status === 'conflict';
}

/** For so long whoever gave the order waits, of which a part is for the way back. */
function waitOf({ properties }: Letter): number {
  const { expiration } = properties as { readonly expiration?: unknown };
  return Math.min(Number(expiration ?? ORDER_MS), ORDER_MS) * OWN_SHARE;
}

function accountRole(text: string): readonly [account: string, role: OperatorRole] {
  const colon = text.lastIndexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1) as OperatorRole];
}

/** Throws BEDS_ADMIN_SIGN_IN or BEDS_ADMIN_ROLE. */
function requireRole({ id, role }: Asking, { op, definition }: Checked<Definition>): void {
  const least = definition.role ?? (Object.hasOwn(COMMANDS, op) ? 'operator' : 'viewer');
  if (id === '') throw adminErrors.make('BEDS_ADMIN_SIGN_IN');
  if (role !== undefined && OPERATOR_ROLES.indexOf(role) >= OPERATOR_ROLES.indexOf(least)) return;
  const has = role === undefined ? 'The user has none of the roles of operators' : `The user has the role ${role}`;
  throw adminErrors.make('BEDS_ADMIN_ROLE', `${has}, and ${op} needs ${least}.`);
}

function sourceOf({ by }: Message, { properties }: Letter): string {
  const { userId } = properties as { readonly userId?: unknown };
  const said = typeof by === 'string' ? `says ${by}` : 'says nothing';
  return typeof userId === 'string' ? `${said}, AMQP account ${userId}` : said;
}

function personOf({ id, name, source }: Asking): Pick<Entry, 'user_id' | 'user_name' | 'source'> {
  return { user_id: id, user_name: name, source };
}

function byOf({ id, name }: Asking): string {
  return cut(name === '' ? id : `${name} (${id})`, 200);
}

function opOf({ op }: Message): string {
  return typeof op === 'string' ? op.slice(0, 40) : '';
}

/** The fields of the command itself, as they came. */
function fieldsOf(message: Message, op: string): Message {
  const { fields } = DOOR.definitions[op] ?? { fields: {} };
  return Object.fromEntries(Object.entries(message).filter(([name]) => Object.hasOwn(fields, name)));
}

/** n.b. of what is refused nobody has looked at the fields. */
function targetOf(message: Message, node?: string): string {
  const { domain, operation, reason, name, version, id, ids, bundles } = message;
  const letters: readonly unknown[] = Array.isArray(ids) ? ids.slice(0, MAX_LETTER_IDS) : [];
  const named = [domain, operation, reason, name, version, id, ...letters].filter((each) => typeof each === 'string');
  const files = Array.isArray(bundles) ? bundles.flatMap(bundleTexts) : [];
  const where = node === undefined ? [] : [`on ${node}`];
  return [...named, ...files, ...where].join(' ').slice(0, 2_000);
}

/** Each file with its SHA-256. */
function bundleTexts(bundle: unknown): readonly string[] {
  const entries =
    bundle instanceof Map
      ? [...(bundle as ReadonlyMap<unknown, unknown>)]
      : Object.entries((bundle ?? {}) as Readonly<Record<string, unknown>>);
  return entries.map(([name, content]) => {
    const bytes: unknown = typeof content === 'string' ? Buffer.from(content, 'base64') : content;
    const digest = Buffer.isBuffer(bytes) ? createHash('sha256').update(bytes).digest('hex') : '?';
    return `${String(name)} (sha256 ${digest})`;
  });
}

function optionsOf({
  bundles: _bundles,
  domain: _domain,
  name: _name,
  version: _version,
  ...options
}: Message): string {
  return Object.keys(options).length === 0 ? '' : JSON.stringify(options);
}

/** What the nodes said: `ok`, or the first that went wrong. */
function outcomeOf({ answers, asked }: CommandAnswers): { readonly outcome: string; readonly words: string } {
  const words = answers.map((answer) =>
    answer.ok
      ? `${answer.node}: ${answer.result.receipts.map((each) => `${each.domain} ${each.version} ${each.hash.slice(0, 12)}`).join(', ') || 'ok'}`
      : `${answer.node}: ${answer.error.code} ${reasonsOf(answer.error)}`,
  );
  const silent = asked.filter((node) => !answers.some((answer) => answer.node === node));
  const [refused] = answers.flatMap((answer) => (answer.ok ? [] : [answer.error.code]));
  const outcome = refused ?? (silent.length > 0 ? 'BEDS_ADMIN_NO_NODES' : 'ok');
  return { outcome, words: [...words, ...silent.map((node) => `${node}: no answer`)].join('; ') };
}

/** n.b. why a version was refused is asked long after, and of who was not there. */
function reasonsOf({ message, findings = [] }: Refusal['error']): string {
  return [message, ...findings.map((each) => each.message)].join(' ');
}

function wordsOf(error: unknown): string {
  return isBedsError(error) ? error.message : 'The log of the admin node has the error.';
}

/** n.b. halves of characters would not come back from a store as they went. */
const ORDER_ID = /^[\x21-\x7e]{1,36}$/;

function cut(text: string, length: number): string {
  return text.slice(0, length).toWellFormed();
}
