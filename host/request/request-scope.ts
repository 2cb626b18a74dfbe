import { type RequestEnvelope, SENT_AT, type User } from '#sdk/template';
import type { Delivery } from '../amqp/queue-consumer.js';
import type { Config } from '../config/schema.js';
import { requestErrors } from '../errors/request.js';
import { isCopy } from './dead-letters.js';
import { resultBudget, type ResultHolder } from '../stores/result-budget.js';

/** FNV-1a over UTF-16 code units, as a signed 32 bit number; `from` goes on from the digest of what came before. */
export function fnv1a(text: string, from = 0x811c9dc5): number {
  let digest = from;
  for (let index = 0; index < text.length; index += 1) {
    digest = Math.imul(digest ^ text.charCodeAt(index), 0x01000193);
  }
  return digest;
}

/** Who asks: the `meta` of an envelope, or the part of it that a copy has. */
interface Asker {
  readonly client?: string | undefined;
  /** The token that the request carries. */
  readonly session?: string | undefined;
  readonly user?: User | undefined;
  /** The domain in whose name it is asked. */
  readonly asDomain?: string | undefined;
  /** Whether this is a host's own question. */
  readonly isHost?: boolean;
  readonly idempotencyKey?: string | undefined;
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  readonly depth?: number | undefined;
  readonly isCopy?: boolean;
}

const NOBODY: Asker = {};

/** In whose name something is asked. */
export interface Authority {
  /** Who is signed in. */
  readonly user: User | undefined;
  /** The domain that asks, where it does not ask for a user. */
  readonly asDomain: string | undefined;
  /** Whether a host asks for itself. */
  readonly isHost: boolean;
}

/** Throws BEDS_REQUEST_SIGN_IN where nobody is signed in, and BEDS_REQUEST_FORBIDDEN where that would not help. */
export function requireUser({ user, asDomain, isHost }: Authority): User {
  if (user !== undefined) return user;
  const isOwn = asDomain !== undefined || isHost;
  throw requestErrors.make(isOwn ? 'BEDS_REQUEST_FORBIDDEN' : 'BEDS_REQUEST_SIGN_IN');
}

/** Who asks and until when; shared by a request and the calls it makes into other domains. */
export class RequestScope implements ResultHolder, Authority {
  readonly requestId: string;
  readonly client: string | undefined;
  /** What proves who is signed in. n.b. nobody but the host may see it: it goes along to other hosts, and nowhere else. */
  readonly token: string | undefined;
  readonly asDomain: string | undefined;
  user: User | undefined;
  isHost: boolean;
  readonly idempotencyKey: string | undefined;
  /** As its caller said it. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** How many domains of other nodes called each other to get here. */
  readonly depth: number;
  /** In terms of performance.now(). */
  readonly expiresAtMs: number;
  /** A copy for a shadow: it leaves no trace in the counts. */
  readonly isCopy: boolean;
  #sides: Map<number, boolean> | undefined;
  #aborter: AbortController | undefined;
  /** Whether it was told that its deadline has passed. */
  isExpired = false;
  #isWrite = false;
  #writes = 0;
  #openWrites = 0;
  #onQuiet: (() => void) | undefined;
  #failedStore: string | undefined;
  #heldBytes = 0;
  #isDone = false;

  constructor(requestId: string, expiresAtMs: number, asker: Asker = NOBODY) {
    this.requestId = requestId;
    this.client = asker.client;
    this.token = asker.session;
    this.user = asker.user;
    this.asDomain = asker.asDomain;
    this.isHost = asker.isHost === true;
    this.idempotencyKey = asker.idempotencyKey;
    this.traceparent = asker.traceparent;
    this.tracestate = asker.tracestate;
    this.depth = asker.depth ?? 0;
    this.expiresAtMs = expiresAtMs;
    this.isCopy = asker.isCopy === true;
  }

  /** Which side of a canary the request is on, see `Sharer`; on demand, as most domains have no canary. */
  side(salt: number, decide: (bucket: number) => boolean): boolean {
    const known = this.#sides?.get(salt);
    if (known !== undefined) return known;
    const isCandidate = decide(bucketOf(this, salt));
    this.#sides ??= new Map();
    this.#sides.set(salt, isCandidate);
    return isCandidate;
  }

  /** Said by every operation that may change data, before its code runs. */
  mayHaveWritten(): void {
    this.#isWrite = true;
  }

  /** Whether it may take what another request reads: not where it must see what it wrote, nor where it is to leave no trace. */
  get mayShare(): boolean {
    return !this.#isWrite && !this.isCopy;
  }

  /** Said right before a statement that may change data is handed to a store. */
  beginsWrite(): void {
    this.#writes += 1;
    this.#openWrites += 1;
  }

  /** Of one of those statements nothing was kept, for sure. */
  keptNothing(): void {
    this.#writes -= 1;
  }

  /** One of those statements has ended, whatever came of it. */
  writeEnded(): void {
    this.#openWrites -= 1;
    if (this.#openWrites === 0) this.#onQuiet?.();
  }

  /** Whether one of those statements is still under way. */
  get isWriting(): boolean {
    return this.#openWrites > 0;
  }

  /** Calls back once none of them is. */
  whenQuiet(onQuiet: () => void): void {
    this.#onQuiet = onQuiet;
  }

  /** Said of every call that failed. */
  failedAt(store: string): void {
    this.#failedStore = store;
  }

  /** The store that failed last. */
  get failedStore(): string | undefined {
    return this.#failedStore;
  }

  /** Whether something may have been kept, now or later, by this request or by what it called. */
  get hasBegunWrite(): boolean {
    return this.#writes > 0;
  }

  get remainingMs(): number {
    return this.expiresAtMs - performance.now();
  }

  /** Made on demand: most requests never look at it, and a controller costs more than the rest of the context. */
  get signal(): AbortSignal {
    this.#aborter ??= new AbortController();
    if (this.isExpired) this.#aborter.abort(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
    return this.#aborter.signal;
  }

  /** Milliseconds left; throws BEDS_REQUEST_DEADLINE_EXCEEDED when there are none. */
  requireTime(): number {
    const remainingMs = this.remainingMs;
    if (this.isExpired || remainingMs <= 0) throw requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED');
    return remainingMs;
  }

  /** Counts what the results that its code was given take of the thread's memory. */
  hold(bytes: number): void {
    if (this.#isDone) resultBudget.giveBack(bytes);
    else this.#heldBytes += bytes;
  }

  /** Its code has really ended, and holds nothing any more. */
  done(): void {
    this.#isDone = true;
    if (this.#heldBytes === 0) return;
    resultBudget.giveBack(this.#heldBytes);
    this.#heldBytes = 0;
  }

  expire(): void {
    this.isExpired = true;
    this.#aborter?.abort(requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'));
  }
}

/** In hundredths of a percent; a caller that does not say who it is gets a side for each request. */
function bucketOf({ client, user, requestId }: RequestScope, salt: number): number {
  const session = user?.session;
  const digest =
    client === undefined && session === undefined
      ? fnv1a(requestId)
      : fnv1a(session ?? '', fnv1a('\0', fnv1a(client ?? '')));
  return (mix(digest, salt) % 10_000) / 100;
}

/** Spreads a digest so that it says nothing about the one of another salt: the finalizer of MurmurHash3. */
function mix(digest: number, salt: number): number {
  let mixed = digest ^ Math.imul(salt, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** One moment on two clocks: the one of performance.now(), and the one on the wall, which others have as well. */
export interface Moment {
  readonly processMs: number;
  readonly wallMs: number;
}

export function thisMoment(): Moment {
  return { processMs: performance.now(), wallMs: Date.now() };
}

/** A request as it came. */
export interface Receipt {
  readonly request: RequestEnvelope;
  readonly delivery: Delivery;
  readonly receivedAtMs: number;
  /** Since when the message may have been in this process. */
  readonly readSinceMs: number;
  /** When it was decoded, or when it had waited for a store; undefined: now. */
  readonly readAt: Moment | undefined;
  /** Set where it waited for a store before. */
  readonly waited: object | undefined;
}

/** Set by RabbitMQ on arrival where its interceptor is on: https://www.rabbitmq.com/docs/message-interceptors */
export const BROKER_TIMESTAMP = 'timestamp_in_ms';

/**
 * When the request was made, in milliseconds since 1970, as far as anybody says so: the caller in the envelope or in a header of
 * the message, RabbitMQ in another one, or the caller's library in a property of whole seconds, of which the last millisecond counts.
 */
function sentAtOf({ meta }: RequestEnvelope, { properties }: Delivery, wallMs: number): number | undefined {
  // n.b. a clock that is ahead of ours says nothing of the age; another one may.
  if (meta?.sentAt !== undefined && meta.sentAt <= wallMs) return meta.sentAt;
  const headers: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const { [SENT_AT]: ofMessage, [BROKER_TIMESTAMP]: ofArrival } = headers;
  if (isPast(ofMessage, wallMs)) return ofMessage;
  if (isPast(ofArrival, wallMs)) return ofArrival;
  const seconds: unknown = properties.timestamp;
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 + 999 : undefined;
}

function isPast(value: unknown, wallMs: number): value is number {
  return typeof value === 'number' && value > 0 && value <= wallMs;
}

/** Whether anybody says when the request was made: mostly only then the clocks are worth a look. */
function isDated({ meta }: RequestEnvelope, { properties }: Delivery): boolean {
  if (meta?.sentAt !== undefined || properties.timestamp !== undefined) return true;
  const { headers } = properties;
  return headers !== undefined && (headers[SENT_AT] !== undefined || headers[BROKER_TIMESTAMP] !== undefined);
}

/** An answer that is no result reaches its caller so much before the caller gives up, who waits for `givenMs`. */
export function marginOf(givenMs: number): number {
  return Math.min(250, givenMs * 0.1);
}

/** Whether the caller wants a reply. */
export function hasReplyTo({ properties }: Delivery): boolean {
  const replyTo: unknown = properties.replyTo;
  return typeof replyTo === 'string' && replyTo !== '';
}

/**
 * Whether only the execution is bounded, and not the wait for it: its caller named no deadline, and is told nothing, or
 * knows that the request waits for a store.
 */
function waitsAsLongAsItTakes({ request, delivery, waited }: Receipt): boolean {
  if (request.meta?.deadlineMs !== undefined) return false;
  return waited !== undefined || !hasReplyTo(delivery) || isCopy(delivery);
}

/**
 * When its deadline passes, in terms of performance.now(): counted from when it was made where somebody says that, or else from
 * when it may have been here.
 */
export function expiryOf(receipt: Receipt, limits: Config['limits']): number {
  const { request, delivery, receivedAtMs, readSinceMs, readAt } = receipt;
  const timeMs = Math.min(request.meta?.deadlineMs ?? limits.defaultDeadlineMs, limits.maxDeadlineMs);
  const { expiration } = delivery.properties as { readonly expiration?: string };
  // n.b. RabbitMQ drops nothing that lies in a socket already. What began in time is not bounded by it.
  if (expiration !== undefined && readSinceMs + Number(expiration) < receivedAtMs) return readSinceMs;
  if (waitsAsLongAsItTakes(receipt)) return receivedAtMs + timeMs;
  if (!isDated(request, delivery)) return readSinceMs + timeMs;
  const { processMs, wallMs } = readAt ?? thisMoment();
  const sentAt = sentAtOf(request, delivery, wallMs);
  const ageMs = sentAt === undefined ? -1 : wallMs - sentAt;
  if (ageMs < 0) return readSinceMs + timeMs;
  return processMs - Math.max(0, ageMs - limits.clockSkewMs) + timeMs;
}

/** Of a request whose deadline had passed before the host began with it. */
export function tooLate(): Error {
  return requestErrors.make(
    'BEDS_REQUEST_DEADLINE_EXCEEDED',
    'The deadline had passed before the host began with the request; nothing was done.',
    {
      hint:
        'Allow more time with meta.deadlineMs. If every request ends so at once, compare the clocks of caller and host: ' +
        'the age is counted from meta.sentAt, and limits.clockSkewMs forgives a difference.',
    },
  );
}

/** How often the event loop shows that it turns. */
const TURN_MS = 100;
/** Nothing short of this is a gap: collections and large results stop the loop as well. */
const GAP_MS = 500;

/** Two clocks: the one of the process stands still while the machine sleeps, and the one on the wall can be set. */
export interface Clocks {
  readonly processMs: () => number;
  readonly wallMs: () => number;
}

const CLOCKS: Clocks = { processMs: () => performance.now(), wallMs: () => Date.now() };

/**
 * Knows when the event loop stood still, because the process was stopped, the machine slept or code blocked it. What is
 * read from a socket right after that may have lain there for as long.
 */
export class LoopGaps {
  readonly #drained: () => Promise<unknown>;
  readonly #clocks: Clocks;
  #turnedAtMs: number;
  #wallAtMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** Begin of the gap whose messages are still being read; of the first of several. */
  #beganAtMs: number | undefined;
  #asked = 0;

  /** `drained` resolves when all is read that had come before it was called. */
  constructor(drained: () => Promise<unknown>, clocks = CLOCKS) {
    this.#drained = drained;
    this.#clocks = clocks;
    this.#turnedAtMs = clocks.processMs();
    this.#wallAtMs = clocks.wallMs();
  }

  start(): void {
    this.#turned();
    this.#timer ??= setInterval(() => this.look(), TURN_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Since when a message that is read now, at `nowMs` of the process, may have been there: mostly since now. */
  readSince(nowMs: number): number {
    if (nowMs - this.#turnedAtMs > GAP_MS && this.#timer !== undefined) this.look();
    return this.#beganAtMs ?? nowMs;
  }

  /** Looks whether there was a gap just now. */
  look(): void {
    const nowMs = this.#clocks.processMs();
    const lengthMs = Math.max(nowMs - this.#turnedAtMs, this.#clocks.wallMs() - this.#wallAtMs);
    this.#turned();
    if (lengthMs <= GAP_MS) return;
    this.#beganAtMs = Math.min(this.#beganAtMs ?? Infinity, nowMs - lengthMs);
    this.#asked += 1;
    const asked = this.#asked;
    const over = (): void => {
      if (asked === this.#asked) this.#beganAtMs = undefined;
    };
    this.#drained().then(over, over);
  }

  #turned(): void {
    this.#turnedAtMs = this.#clocks.processMs();
    this.#wallAtMs = this.#clocks.wallMs();
  }
}
