import { createHash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { setTimeout as delay } from 'node:timers/promises';
import type { ChannelModel, ConfirmChannel, ConsumeMessage, Message, Options } from 'amqplib';
import { endConnection } from '#sdk/amqp';
import { isPlainName, SENT_AT } from '#sdk/template';
import { settlesWithin, withTimeout } from '#sdk/time';
import { ProgramPolicy } from '../access/programs.js';
import { connect } from '../amqp/guarded-amqplib.js';
import { makeNames, type Names } from '../amqp/names.js';
import type { Config } from '../config/schema.js';
import { adminErrors } from '../errors/admin.js';
import { LETTER, NOT_COPIED, OF_LETTER, RESENT, SINCE } from '../request/dead-letters.js';
import { decodeMessage, type DecodedMessage } from '../request/decode.js';
import { toReplyError } from '../request/encode.js';
import { BROKER_TIMESTAMP } from '../request/request-scope.js';
import type { DeadLetterView, DeadLetterDetail, LetterCaution, LetterList } from './shown.js';

export interface LetterFilter {
  readonly ids?: readonly string[] | undefined;
  readonly domain?: string | undefined;
  readonly operation?: string | undefined;
  readonly reason?: string | undefined;
}

export interface LetterOrder extends LetterFilter {
  /** At most so many, the oldest first: what was confirmed. */
  readonly most: number;
}

/** What became of an order. */
export interface LetterOutcome {
  readonly done: readonly DeadLetterView[];
  /** They stay as they are. */
  readonly refused: readonly { readonly letter: DeadLetterView; readonly why: string }[];
  /** RabbitMQ did not say in time that it has what was sent again: it may be there twice. */
  readonly doubtful: number;
}

export interface DeadLetterDeskOptions {
  readonly node: string;
  readonly config: Pick<Config, 'amqp' | 'callers' | 'limits'>;
}

/** RabbitMQ counts what a channel holds in 16 bits. */
const MAX_SEEN = 20_000;
const MAX_SEEN_BYTES = 268_435_456;
/** Sent again by one order. */
const MAX_SENT_BYTES = 67_108_864;
/** RabbitMQ delivers what is there without a pause. */
const QUIET_MS = 1_000;
const BUSY_RETRY_MS = 100;
const CLOSE_MS = 1_000;
const MAX_BODY_CHARACTERS = 16_384;
/** What is larger is shown as the text that it is. */
const MAX_PARSED_BYTES = 1_048_576;
const MAX_VALUE_CHARACTERS = 1_000;
const MAX_HEADERS = 64;
/** A quorum queue of RabbitMQ 3 counts each look at a letter as a delivery, and may have a limit to them. */
const RENEW_AT = 8;

/**
 * Looks into the queue of dead letters, sends some again and drops some. The letters stay in RabbitMQ: they are held without
 * acknowledgement while they are looked at, and return to their places. Whoever dies meanwhile has changed nothing.
 */
export class DeadLetterDesk {
  readonly #options: DeadLetterDeskOptions;
  readonly #names: Names;
  readonly #programs: ProgramPolicy;

  constructor(options: DeadLetterDeskOptions) {
    const { amqp, callers } = options.config;
    this.#options = options;
    this.#names = makeNames(amqp.prefix);
    this.#programs = new ProgramPolicy(callers, amqp.url);
  }

  /** `after`: the id of a letter; the list begins behind it. */
  async list(
    filter: LetterFilter,
    {
      limit,
      after,
      untilMs,
    }: { readonly limit: number; readonly after?: string | undefined; readonly untilMs: number },
  ): Promise<LetterList> {
    const letters: DeadLetterView[] = [];
    const kinds = new Map<string, { domain: string; operation: string; reason: string; count: number }>();
    let matching = 0;
    let isBehind = after === undefined;
    const { total, seen } = await this.#look(untilMs, {
      visit: ({ view }) => {
        const key = JSON.stringify([view.domain, view.operation, view.reason]);
        const { domain, operation, reason } = view;
        const kind = kinds.get(key) ?? { domain, operation, reason, count: 0 };
        kind.count += 1;
        kinds.set(key, kind);
        if (fits(view, filter)) {
          matching += 1;
          if (isBehind && letters.length < limit) letters.push(view);
        }
        if (view.id === after) isBehind = true;
        return 'keep';
      },
    });
    return { letters, total, seen, matching, kinds: [...kinds.values()].toSorted((a, b) => b.count - a.count) };
  }

  /** Throws BEDS_ADMIN_LETTER_UNKNOWN. */
  async look(id: string, untilMs: number): Promise<DeadLetterDetail> {
    let found: DeadLetterDetail | undefined;
    await this.#look(untilMs, {
      visit: ({ view, message }) => {
        if (view.id === id) found = detailOf(view, message);
        return found === undefined ? 'keep' : 'end';
      },
    });
    if (found === undefined) throw adminErrors.make('BEDS_ADMIN_LETTER_UNKNOWN');
    return found;
  }

  /**
   * Publishes requests once more, and takes the letters away once RabbitMQ has confirmed that it has them. A host that dies in
   * between leaves the letter where it was, so the request may be carried out twice: both carry the same `beds-letter` and
   * idempotency key.
   */
  async resend(order: LetterOrder, untilMs: number): Promise<LetterOutcome> {
    let bytes = 0;
    return this.#carryOut(order, untilMs, ({ view, message }, { held, taken }) => {
      const why = this.#refusalOf(view, message);
      if (why !== undefined) return why;
      if (bytes > 0 && bytes + message.content.length > MAX_SENT_BYTES) return 'enough';
      bytes += message.content.length;
      // n.b. it may what its program may when it is delivered, and is that program's letter should it die again.
      const from = { userId: userOf(message.properties, this.#programs) };
      const inNameOf = this.#programs.isAsked ? this.#programs.copyInNameOf(from) : {};
      const { body, properties } = renewed(view, message, inNameOf);
      const { routingKey } = message.fields;
      taken(held.publish({ exchange: this.#names.requests, routingKey, body, properties }));
      return undefined;
    });
  }

  async drop(order: LetterOrder, untilMs: number): Promise<LetterOutcome> {
    return this.#carryOut(order, untilMs, (_, { taken }) => {
      taken(Promise.resolve('kept'));
      return undefined;
    });
  }

  /** Why a letter cannot be sent again, in words. */
  #refusalOf({ domain, operation }: DeadLetterView, { content, properties }: ConsumeMessage): string | undefined {
    if (domain === '' || operation === '') return 'its routing key names no operation';
    let requests: DecodedMessage['requests'];
    try {
      ({ requests } = decodeMessage(content, properties, this.#options.config.limits));
    } catch (error) {
      return `it holds no request that a host takes (${toReplyError(error).code})`;
    }
    // n.b. it would be sent by a host, and only hosts may say that.
    if (requests.some(({ meta }) => meta?.asDomain !== undefined)) {
      return 'a domain asked in its own name, which only the host can that it runs on';
    }
    if (!this.#programs.isAsked) return undefined;
    const user = userOf(properties, this.#programs);
    if (requests.every((request) => this.#programs.mayAsk(user, request))) return undefined;
    return 'the program that sent it may not call that operation';
  }

  async #carryOut(
    { most, ...filter }: LetterOrder,
    untilMs: number,
    act: (letter: Letter, by: { readonly held: HeldLetters; readonly taken: Taken }) => string | undefined,
  ): Promise<LetterOutcome> {
    const done: DeadLetterView[] = [];
    const refused: { letter: DeadLetterView; why: string }[] = [];
    const wanted = new Map<string, number>();
    for (const id of filter.ids ?? []) wanted.set(id, (wanted.get(id) ?? 0) + 1);
    let [begun, unbound] = [0, 0];
    await this.#look(untilMs, {
      visit: (letter, held) => {
        const { view } = letter;
        if (begun >= most) return 'end';
        const isWanted = filter.ids === undefined || (wanted.get(view.id) ?? 0) > 0;
        if (!isWanted || !fits(view, filter)) return 'keep';
        const taken: Taken = (confirmed) => {
          begun += 1;
          if (filter.ids !== undefined) wanted.set(view.id, (wanted.get(view.id) ?? 1) - 1);
          held.add(letter, confirmed, () => done.push(view));
          void confirmed.then((outcome) => {
            if (outcome !== 'unbound') return;
            unbound += 1;
            refused.push({ letter: view, why: 'no queue takes what has its routing key' });
          });
        };
        const why = act(letter, { held, taken });
        if (why === 'enough') return 'end';
        if (why !== undefined) refused.push({ letter: view, why });
        const isAll = filter.ids !== undefined && [...wanted.values()].every((count) => count === 0);
        return begun >= most || isAll ? 'end' : 'keep';
      },
    });
    if (filter.ids !== undefined && done.length + refused.length + begun === 0) {
      throw adminErrors.make('BEDS_ADMIN_LETTER_UNKNOWN');
    }
    return { done, refused, doubtful: begun - done.length - unbound };
  }

  /** Goes through the letters from the oldest on, over a connection of its own: large letters delay nothing else. */
  async #look(untilMs: number, { visit }: { readonly visit: Visit }): Promise<{ total: number; seen: number }> {
    const { url, connectTimeoutMs } = this.#options.config.amqp;
    const clientProperties = { connection_name: `${this.#options.node}/dead` };
    const connecting = connect(url, { noDelay: true, timeout: connectTimeoutMs, clientProperties });
    const leftMs = (): number => Math.max(1, untilMs - performance.now());
    let model: ChannelModel | undefined;
    try {
      model = await withTimeout(connecting, leftMs(), unavailable);
      model.on('error', () => undefined);
      await this.#lock(model, untilMs);
      return await this.#walk(await model.createConfirmChannel(), visit, untilMs);
    } catch (error) {
      throw meantBy(error);
    } finally {
      if (model === undefined) connecting.then((late) => endConnection(late, CLOSE_MS)).catch(() => undefined);
      else await endConnection(model, CLOSE_MS);
    }
  }

  /**
   * One looks at a time, on whatever node: what one holds another does not see. n.b. quorum queues have no exclusive consumers, so an
   * exclusive queue is the lock; it goes with its connection.
   */
  async #lock(model: ChannelModel, untilMs: number): Promise<void> {
    const queue = `${this.#names.dead}.lock`;
    for (;;) {
      const channel = await model.createChannel();
      channel.on('error', () => undefined);
      try {
        await channel.assertQueue(queue, { exclusive: true, autoDelete: true });
        return;
      } catch (error) {
        const code = codeOf(error);
        // n.b. an account that may declare no such queue looks without the lock, which costs the view of what another one holds.
        if (code === ACCESS_REFUSED) return;
        if (code !== RESOURCE_LOCKED) throw error;
        if (performance.now() + BUSY_RETRY_MS >= untilMs) throw adminErrors.make('BEDS_ADMIN_LETTERS_BUSY');
      }
      await delay(BUSY_RETRY_MS);
    }
  }

  /** How many letters there are, once no other program consumes them: what it holds would not be seen. */
  async #countAlone(channel: ConfirmChannel, untilMs: number): Promise<number> {
    for (;;) {
      const { messageCount, consumerCount } = await channel.checkQueue(this.#names.dead);
      if (consumerCount === 0) return messageCount;
      if (performance.now() + BUSY_RETRY_MS >= untilMs) throw adminErrors.make('BEDS_ADMIN_LETTERS_BUSY');
      await delay(BUSY_RETRY_MS);
    }
  }

  async #walk(channel: ConfirmChannel, visit: Visit, untilMs: number): Promise<{ total: number; seen: number }> {
    const queue = this.#names.dead;
    let loss: unknown;
    channel.on('error', (error) => (loss = error));
    const total = await this.#countAlone(channel, untilMs);
    if (total === 0) return { total, seen: 0 };
    const held = new HeldLetters(channel);
    const expected = Math.min(total, MAX_SEEN);
    await channel.prefetch(expected);
    let [seen, bytes, tag] = [0, 0, ''];
    const walked = new Promise<void>((resolve, reject) => {
      const wait = (): NodeJS.Timeout =>
        setTimeout(resolve, Math.max(1, Math.min(QUIET_MS, untilMs - performance.now())));
      let timer = wait();
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      let isOver = false;
      channel.once('close', () => {
        clearTimeout(timer);
        reject(loss instanceof Error ? loss : unavailable());
      });
      const look = (message: ConsumeMessage | null): void => {
        // n.b. what comes after the end was asked for already; it returns with the rest.
        if (isOver || message === null) return;
        seen += 1;
        bytes += message.content.length;
        clearTimeout(timer);
        timer = wait();
        const letter = { view: viewOf(message, this.#programs), message };
        held.look(letter);
        const isEnd = visit(letter, held) === 'end';
        isOver = isEnd || seen >= expected || bytes >= MAX_SEEN_BYTES || performance.now() >= untilMs;
        if (isOver) end();
      };
      // n.b. what is thrown here would end the process.
      const take = (message: ConsumeMessage | null): void => {
        try {
          look(message);
        } catch (error) {
          isOver = true;
          clearTimeout(timer);
          reject(error instanceof Error ? error : unavailable());
        }
      };
      channel.consume(queue, take, { exclusive: true }).then(({ consumerTag }) => (tag = consumerTag), reject);
    });
    await walked;
    await held.settled(untilMs);
    const leftMs = (): number => Math.max(CLOSE_MS, untilMs - performance.now());
    // n.b. RabbitMQ answers after the letters that are on their way already, and these may be large.
    if (tag !== '') await settlesWithin(channel.cancel(tag), leftMs());
    await held.giveBack(queue, untilMs);
    // n.b. that RabbitMQ answers means that it has taken away what it was told to.
    const isClosed = await settlesWithin(channel.close(), leftMs());
    if (!isClosed && held.hasTaken) throw unavailable();
    return { total, seen };
  }
}

interface Letter {
  readonly view: DeadLetterView;
  readonly message: ConsumeMessage;
}

type Visit = (letter: Letter, held: HeldLetters) => 'keep' | 'end';

/** Whether RabbitMQ has what stands for a letter: `unbound`: no queue took it. */
type Outcome = 'kept' | 'lost' | 'unbound';
type Taken = (confirmed: Promise<Outcome>) => void;

interface Publication {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly properties: Options.Publish;
}

/** The letters that one channel holds. */
class HeldLetters {
  readonly #channel: ConfirmChannel;
  readonly #open = new Set<Promise<void>>();
  /** Of letters that return, until one of them has been delivered so often that all must be renewed. */
  readonly #returning = new Set<ConsumeMessage>();
  #mustRenew = false;
  /** Of what no queue took. */
  readonly #unbound = new Set<string>();
  #taken = 0;

  constructor(channel: ConfirmChannel) {
    this.#channel = channel;
    channel.on('return', ({ fields, properties }: Message) => {
      this.#unbound.add(markOf(fields.routingKey, properties.messageId));
    });
  }

  /** Whether RabbitMQ was told to take one away. */
  get hasTaken(): boolean {
    return this.#taken > 0;
  }

  /** Resolves when RabbitMQ has said what became of it. n.b. it gives back what no queue takes before it confirms that. */
  publish({ exchange, routingKey, body, properties }: Publication): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#channel.publish(exchange, routingKey, body, { ...properties, mandatory: true }, (refusal: unknown) => {
        const isUnbound = this.#unbound.has(markOf(routingKey, properties.messageId));
        if (refusal instanceof Error) resolve('lost');
        else resolve(isUnbound ? 'unbound' : 'kept');
      });
    });
  }

  /** n.b. bodies are kept only where they have to be written once more. */
  look({ message }: Letter): void {
    const deliveries = Number(message.properties.headers?.['x-delivery-count'] ?? 0);
    if (deliveries >= RENEW_AT) this.#mustRenew = true;
    if (this.#mustRenew) this.#returning.add(message);
  }

  /** Takes a letter away once what stands for it is safe. */
  add({ message }: Pick<Letter, 'message'>, confirmed: Promise<Outcome>, onTaken: () => void): void {
    this.#returning.delete(message);
    const take = (outcome: Outcome): void => {
      this.#open.delete(taking);
      if (outcome !== 'kept') return;
      this.#channel.ack(message);
      this.#taken += 1;
      onTaken();
    };
    // n.b. a channel that has gone takes no acknowledgement: RabbitMQ has the letter back already.
    const taking: Promise<void> = confirmed.then(take).catch(() => undefined);
    this.#open.add(taking);
  }

  /** All has been confirmed or refused, or the time is over. */
  async settled(untilMs: number): Promise<void> {
    await settlesWithin(Promise.all(this.#open), Math.max(1, untilMs - performance.now()));
  }

  /**
   * Puts back what is left, where it was. n.b. a queue that counts deliveries would lose a letter over being looked at too often: it
   * gets a copy, at its end, before the letter is taken away.
   */
  async giveBack(exchange: string, untilMs: number): Promise<void> {
    for (const message of [...this.#returning]) {
      // n.b. RabbitMQ takes a message only from the account that it names.
      const { userId: _, ...copy } = message.properties as Options.Publish;
      const properties = { ...copy, headers: withoutCounts(message), persistent: true };
      const { routingKey } = message.fields;
      const publication = { exchange, routingKey, body: message.content, properties };
      this.add({ message }, this.publish(publication), () => undefined);
    }
    await this.settled(untilMs);
    this.#channel.nackAll(true);
  }
}

function markOf(routingKey: string, messageId: unknown): string {
  return `${routingKey} ${String(messageId)}`;
}

const ACCESS_REFUSED = 403;
const NOT_FOUND = 404;
const RESOURCE_LOCKED = 405;

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function unavailable(): Error {
  return adminErrors.make('BEDS_ADMIN_LETTERS_UNAVAILABLE');
}

function meantBy(error: unknown): unknown {
  const code = codeOf(error);
  if (typeof code === 'string' && code.startsWith('BEDS_')) return error;
  const words = error instanceof Error ? error.message : '';
  if (code === ACCESS_REFUSED && words.includes('exclusive')) {
    return adminErrors.make('BEDS_ADMIN_LETTERS_BUSY', undefined, { cause: error });
  }
  const message = code === NOT_FOUND ? 'There is no queue of dead letters.' : undefined;
  return adminErrors.make('BEDS_ADMIN_LETTERS_UNAVAILABLE', message, { cause: error });
}

function fits(view: DeadLetterView, { domain, operation, reason }: LetterFilter): boolean {
  return (
    (domain === undefined || view.domain === domain) &&
    (operation === undefined || view.operation === operation) &&
    (reason === undefined || view.reason === reason)
  );
}

/** What RabbitMQ writes of a message that it moved by itself. https://www.rabbitmq.com/docs/dlx */
interface Death {
  readonly reason?: unknown;
  readonly time?: { readonly value?: unknown };
}

const WORDS: Readonly<Record<string, string>> = {
  expired: 'It waited in its queue longer than its expiration; nothing of it was begun.',
  rejected: 'A host refused it, and told its caller why.',
  delivery_limit: 'It was delivered as often as its queue allows, and nobody settled it.',
  maxlen: 'Its queue was full.',
};

const MAY_HAVE_RUN = /_(?:INDETERMINATE|DEADLINE_EXCEEDED|TIMEOUT)$/;

function viewOf({ content, fields, properties }: ConsumeMessage, programs: ProgramPolicy): DeadLetterView {
  const headers: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const [, domain = '', operation = ''] =
    /^([a-z][a-z0-9-]{0,62})\.([A-Za-z_$][\w$-]{0,99})$/.exec(fields.routingKey) ?? [];
  const deaths = headers['x-death'];
  const death: Death = (Array.isArray(deaths) ? (deaths[0] as Death | undefined) : undefined) ?? {};
  const own = textIn(headers, OF_LETTER.reason);
  const reason = own ?? (typeof death.reason === 'string' ? death.reason.slice(0, 100) : 'unknown');
  const since = textIn(headers, SINCE);
  const diedAt = textIn(headers, OF_LETTER.diedAt) ?? instantOf(death.time?.value);
  const deliveries = countIn(headers, OF_LETTER.deliveries);
  const from = userOf(properties, programs) ?? textOf(properties.appId);
  const caution = cautionOf(reason, content);
  return {
    id: idOf(fields.routingKey, content, properties),
    ...{ domain, operation, reason },
    message: textIn(headers, OF_LETTER.message) ?? WORDS[reason] ?? '',
    ...(since === undefined ? {} : { since }),
    ...(diedAt === undefined ? {} : { diedAt }),
    bytes: content.length,
    ...(deliveries > 0 ? { deliveries } : {}),
    resent: countIn(headers, RESENT),
    ...(from === undefined ? {} : { from }),
    ...(caution === undefined ? {} : { caution }),
  };
}

/** The account that published it. n.b. of what RabbitMQ moved by itself, whoever published it wrote the headers. */
function userOf(properties: ConsumeMessage['properties'], programs: ProgramPolicy): string | undefined {
  const { headers } = properties;
  const isOfHost = headers !== undefined && !('x-death' in headers);
  return textOf(programs.accountBehind(properties)) ?? (isOfHost ? textIn(headers, OF_LETTER.user) : undefined);
}

function cautionOf(reason: string, content: Buffer): LetterCaution | undefined {
  if (reason === 'BEDS_REQUEST_POISON') return 'ended-its-thread';
  if (MAY_HAVE_RUN.test(reason)) return 'may-have-run';
  // n.b. whoever sent JSON was refused for something else.
  return content[0] === 0x7b || content[0] === 0x5b ? undefined : 'unreadable';
}

function instantOf(seconds: unknown): string | undefined {
  const at = new Date(typeof seconds === 'number' ? seconds * 1_000 : NaN);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** n.b. whoever published it may have written anything there. */
function countIn(headers: Readonly<Record<string, unknown>>, name: string): number {
  const value = headers[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function textIn(headers: Readonly<Record<string, unknown>>, name: string): string | undefined {
  return textOf(headers[name]);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.slice(0, MAX_VALUE_CHARACTERS) : undefined;
}

const ID_CHARACTERS = 16;

function idOf(routingKey: string, content: Buffer, properties: ConsumeMessage['properties']): string {
  const { headers, ...others } = properties;
  const kept = withoutCounts({ properties: { headers } } as ConsumeMessage);
  const digest = createHash('sha256')
    .update(content)
    .update(sorted([routingKey, others, kept]));
  return digest.digest('hex').slice(0, ID_CHARACTERS);
}

/** The same text for the same values, whatever the order that RabbitMQ gives them in. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    isObject(each) ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1))) : each,
  );
}

const COUNTS: ReadonlySet<string> = new Set(['x-delivery-count', 'x-acquired-count']);

/** What RabbitMQ changes each time that a letter is looked at. */
function withoutCounts({ properties }: Pick<ConsumeMessage, 'properties'>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties.headers ?? {}).filter(([name]) => !COUNTS.has(name)));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

type Request = Readonly<Record<string, unknown>>;

function parsed(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * The message of a letter that is sent again: made now, with all its time; answered to nobody, as whoever asked waits no longer; and
 * marked, so that one that is there twice is seen.
 */
function renewed(
  { id, resent }: DeadLetterView,
  { content, properties }: ConsumeMessage,
  { userId, headers: inNameOf }: Pick<Options.Publish, 'userId' | 'headers'>,
): { readonly body: Buffer; readonly properties: Options.Publish } {
  const nowMs = Date.now();
  const {
    expiration: _e,
    replyTo: _r,
    userId: _u,
    timestamp: _t,
    deliveryMode: _d,
    ...own
  } = properties as Options.Publish;
  const headers: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const letter = textIn(headers, LETTER) ?? id;
  const kept = Object.entries(headers).filter(([name]) => !NOT_COPIED.has(name) && !isOfLetter(name));
  const times = [SENT_AT, BROKER_TIMESTAMP].flatMap((name) => (headers[name] === undefined ? [] : [[name, nowMs]]));
  const value = parsed(content);
  const body = Array.isArray(value)
    ? value.map((request: Request, place) => renewedRequest(request, { key: `dead-${letter}-${place}`, nowMs }))
    : renewedRequest(value as Request, { key: `dead-${letter}`, nowMs });
  return {
    body: Buffer.from(JSON.stringify(body)),
    properties: {
      ...own,
      headers: {
        ...(Object.fromEntries([...kept, ...times]) as Record<string, unknown>),
        [LETTER]: letter,
        [RESENT]: resent + 1,
        ...(inNameOf as Record<string, unknown> | undefined),
      },
      messageId: textOf(own.messageId) ?? letter,
      persistent: true,
      ...(userId === undefined ? {} : { userId }),
    },
  };
}

function isOfLetter(name: string): boolean {
  return (
    name === SINCE || /^x-(?:first|last)-death/.test(name) || (Object.values(OF_LETTER) as string[]).includes(name)
  );
}

function renewedRequest(request: Request, { key, nowMs }: { readonly key: string; readonly nowMs: number }): Request {
  const meta = isObject(request['meta']) ? request['meta'] : {};
  const sentAt = meta['sentAt'] === undefined ? {} : { sentAt: nowMs };
  return { ...request, meta: { idempotencyKey: key, ...meta, ...sentAt } };
}

/** Members whose values are never shown. n.b. `old`: the password that `users.changePassword` replaces. */
const SECRET =
  /pass(?:word|phrase|wd)|^pwd|secret|token|credential|authorization|cookie|(?:api|private)[-_]?key|^(?:beds-)?session$|^refresh$|^old$/i;
/** Tokens of sessions, of resets and of providers, wherever they stand. */
const TOKEN = /\b(?:b[prs]_[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)/g;
const HIDDEN = '[hidden]';

function detailOf(view: DeadLetterView, { content, properties }: ConsumeMessage): DeadLetterDetail {
  const { headers, ...others } = properties;
  const shown = Object.entries(others as Readonly<Record<string, unknown>>).filter(([, value]) => value !== undefined);
  const body = bodyText(content);
  return {
    ...view,
    properties: Object.fromEntries(shown.map(([name, value]) => [name, shortValue(name, value)])),
    headers: Object.fromEntries(
      Object.entries(headers ?? {})
        .slice(0, MAX_HEADERS)
        .map(([name, value]) => [shownName(name), shortValue(name, value)]),
    ),
    body: body.slice(0, MAX_BODY_CHARACTERS),
    isCut: body.length > MAX_BODY_CHARACTERS,
  };
}

function shortValue(name: string, value: unknown): unknown {
  if (SECRET.test(name)) return HIDDEN;
  const text = hidden(value) ?? 'null';
  return text.length > MAX_VALUE_CHARACTERS ? `${text.slice(0, MAX_VALUE_CHARACTERS)}…` : (JSON.parse(text) as unknown);
}

/** Where it is no JSON nobody knows what is a password in it: then its text is shown up to the first word that may name one. */
function bodyText(content: Buffer): string {
  const value = content.length > MAX_PARSED_BYTES ? undefined : parsed(content);
  const json = value === undefined ? undefined : hidden(value);
  if (json !== undefined) return json;
  if (!isUtf8(content))
    return `${content.length} bytes that are no text, in base64: ${content.toString('base64', 0, 768)}`;
  const text = content.toString('utf8', 0, MAX_BODY_CHARACTERS * 4);
  const secretAt = text.search(
    /pass(?:word|phrase|wd)|pwd|secret|token|session|refresh|credential|authorization|cookie|key/i,
  );
  return (secretAt === -1 ? text : `${text.slice(0, secretAt)}${HIDDEN}`).replace(TOKEN, HIDDEN);
}

/** Undefined: it nests too deeply to be written. */
function hidden(value: unknown): string | undefined {
  try {
    return JSON.stringify(value, (name, each: unknown) => {
      if (SECRET.test(name)) return HIDDEN;
      return isObject(each) ? withShownNames(each) : each;
    })?.replace(TOKEN, HIDDEN);
  } catch {
    return undefined;
  }
}

/** n.b. who mistakes a name for a value may have written a password there: what is no identifier is not repeated. */
function withShownNames(members: Request): Request {
  if (Object.keys(members).every(isPlainName)) return members;
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [shownName(name), value]));
}

function shownName(name: string): string {
  return isPlainName(name) ? name : HIDDEN;
}
