import type { BedsError } from '../template/errors.js';
import { settlesWithin } from '../time.js';
import type { ReplyEnvelope } from '../wire/envelope.js';
import type { LinkLoss, OutgoingMessage } from './broker-link.js';
import { clientErrors } from './client-errors.js';
import { KeptById } from './kept-by-id.js';
import { type Common, PendingCall, type CallRequest, type SentMessage } from './pending-call.js';
import type { Target } from './target.js';

/** Where messages go. */
export interface MessageSink {
  /** Whether it takes messages now. */
  readonly isReady: boolean;
  /** Whether the message was handed over. */
  publish(message: OutgoingMessage): boolean;
}

export interface PipelineOptions {
  /** Most calls in one message; 1 turns batching off. */
  readonly maxCount: number;
  /** Most bytes in one message, unless one call alone is larger. */
  readonly maxBytes: number;
  /** Most times that one call is sent again after a lost connection. */
  readonly retries: number;
  /** Asks what the operation is, where no answer has said it; resolves when that is known or cannot be. */
  readonly ask: (target: Target) => Promise<void>;
}

/** Calls of one routing key that wait to be sent. It stays when it is empty: what `KeptById` says of maps is true of this one. */
interface Queue {
  readonly isRead: boolean;
  calls: PendingCall[];
}

/** A program that makes names up must not fill its memory with queues. One that has calls is in `#filled`, and is sent from there. */
const MOST_QUEUES = 1_000;

/** How often deadlines are looked at: calls fail at most so much late. A timer for each would cost more than the call. */
const SWEEP_MS = 25;
/** A look so much late says that this program did not read its socket meanwhile. */
const LATE_MS = 100;

/**
 * Every call from being made to being settled: calls of one event-loop turn and routing key travel in one message, replies
 * find their calls by id, and a lost connection settles or resends each of them.
 */
export class RequestPipeline {
  readonly #sink: MessageSink;
  readonly #options: PipelineOptions;
  readonly #calls = new KeptById<PendingCall>();
  readonly #messages = new KeptById<SentMessage>();
  /** By routing key; an operation that one caller takes for a read and another for a write is in both. */
  readonly #reads = new Map<string, Queue>();
  readonly #writes = new Map<string, Queue>();
  /** Those that have calls. */
  #filled: Queue[] = [];
  /** Sent before the link was lost; whether they may be sent again is to be asked. */
  #undecided: PendingCall[] = [];
  #sweeper: NodeJS.Timeout | undefined;
  #sweptAtMs = 0;
  #batches = 0;
  #isFlushScheduled = false;
  #idle: (() => void) | undefined;

  constructor(sink: MessageSink, options: PipelineOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  /** Calls that are not settled. */
  get size(): number {
    return this.#calls.size;
  }

  submit<T>(request: CallRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#calls.has(request.id)) {
        reject(clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', undefined, { field: 'id' }));
        return;
      }
      const call = new PendingCall(request, resolve as PendingCall['resolve'], reject);
      if (request.signal !== undefined && this.#isAborted(call, request.signal)) return;
      this.#calls.add(request.id, call);
      if (this.#sweeper === undefined) this.#startSweeping();
      this.#enqueue(call);
    });
  }

  /** The sink takes messages again: whatever waited is sent. */
  up(): void {
    this.#flush();
    const undecided = this.#undecided;
    this.#undecided = [];
    for (const call of undecided) {
      void this.#options.ask(call.request.target).then(() => this.#resendOrFail(call));
    }
  }

  /** The sink is lost: replies to what was sent can never come, as their address went with it. */
  down(loss: LinkLoss): void {
    const messages = this.#messages.values();
    const unconfirmed = messages.filter(({ isConfirmed }) => !isConfirmed);
    this.#messages.clear();
    for (const message of messages) {
      // n.b. RabbitMQ closes the channel over one message; of a write that is known only where it says which, or there was one.
      const isMeant =
        loss.topic === undefined ? message.isRead || unconfirmed.length === 1 : message.routingKey === loss.topic;
      const refusal = isMeant && !message.isConfirmed ? refusalOf(loss.code) : undefined;
      for (const call of message.calls) if (!call.isSettled) this.#afterLoss(call, refusal);
    }
  }

  /** A reply message: one envelope, or an array of some of the replies to a batch. */
  reply(content: Buffer, correlationId: unknown): void {
    let body: unknown;
    try {
      body = JSON.parse(content.toString());
    } catch {
      return;
    }
    for (const reply of Array.isArray(body) ? (body as unknown[]) : [body]) {
      if (typeof reply !== 'object' || reply === null) continue;
      this.#take(reply as ReplyEnvelope, correlationId);
    }
  }

  returned(messageId: unknown): void {
    this.#failMessage(messageId, () => clientErrors.make('BEDS_CLIENT_UNROUTABLE'));
  }

  /** Resolves when no call is left, or when `timeoutMs` is over; then every call that is left fails. */
  async drain(timeoutMs: number): Promise<void> {
    this.#flush();
    if (this.#calls.size > 0) await settlesWithin(new Promise<void>((resolve) => (this.#idle = resolve)), timeoutMs);
    for (const call of this.#calls.values()) this.#fail(call, this.#lossError(call, 'BEDS_CLIENT_CLOSED'));
    this.#stopSweeping();
  }

  /** Listens for the caller's signal; true when it was given up before it was made. */
  #isAborted(call: PendingCall, signal: AbortSignal): boolean {
    const abort = (): void =>
      this.#fail(call, clientErrors.make('BEDS_CLIENT_ABORTED', undefined, { cause: signal.reason }));
    if (signal.aborted) {
      abort();
      return true;
    }
    call.onAbort = abort;
    signal.addEventListener('abort', abort, { once: true });
    return false;
  }

  #enqueue(call: PendingCall): void {
    this.#putBack(call);
    if (this.#isFlushScheduled || !this.#sink.isReady) return;
    this.#isFlushScheduled = true;
    const flush = (): void => this.#flush();
    // Where replies are under way, the end of this turn of the event loop is worth waiting for: those that come together
    // have by then made their callers ask again. Otherwise all that is asked now is here when this code has ended.
    if (this.#messages.size > 0) setImmediate(flush);
    else process.nextTick(flush);
  }

  /** It is sent with the next flush. */
  #putBack(call: PendingCall): void {
    const { target } = call.request;
    const queues = target.isRead ? this.#reads : this.#writes;
    let queue = queues.get(target.routingKey);
    if (queue === undefined) {
      if (queues.size >= MOST_QUEUES) queues.clear();
      queue = { isRead: target.isRead, calls: [] };
      queues.set(target.routingKey, queue);
    }
    if (queue.calls.length === 0) this.#filled.push(queue);
    queue.calls.push(call);
  }

  #flush(): void {
    this.#isFlushScheduled = false;
    if (!this.#sink.isReady) return;
    const filled = this.#filled;
    this.#filled = [];
    for (const isRead of [true, false]) {
      for (const queue of filled) {
        if (queue.isRead !== isRead) continue;
        const { calls } = queue;
        queue.calls = [];
        this.#flushQueue(calls, isRead);
      }
    }
  }

  #flushQueue(calls: readonly PendingCall[], isRead: boolean): void {
    const nowMs = performance.now();
    const common = calls.length > 1 && this.#options.maxCount > 1 ? commonOf(calls) : NOTHING;
    let draft = new Draft(this.#options, common);
    for (const call of calls) {
      if (call.isSettled) continue;
      if (draft.calls.length === 0 && !this.#sink.isReady) {
        this.#putBack(call);
        continue;
      }
      if (call.remainingMs(nowMs) < 1) {
        this.#expire(call);
        continue;
      }
      if (call.isAlone) {
        const own = new Draft(this.#options, NOTHING);
        own.add(call, call.encode(NOTHING));
        this.#send(own, isRead, nowMs);
        continue;
      }
      const text = call.encode(common);
      if (!draft.takes(text)) {
        this.#send(draft, isRead, nowMs);
        draft = new Draft(this.#options, common);
        // n.b. asked before a draft is begun, so that a full link does not make a message of each that waits.
        if (!this.#sink.isReady) {
          this.#putBack(call);
          continue;
        }
      }
      draft.add(call, text);
    }
    if (draft.calls.length > 0) this.#send(draft, isRead, nowMs);
  }

  #send(draft: Draft, isRead: boolean, nowMs: number): void {
    const { calls } = draft;
    const [first] = calls;
    if (first === undefined) return;
    const { routingKey } = first.request.target;
    // A message that cannot be read is refused under its own id, which must not be that of one of its calls.
    const id = calls.length === 1 ? first.request.id : `+${(this.#batches += 1).toString(36)}`;
    const message: SentMessage = { id, routingKey, isRead, calls, waiting: calls.length, isConfirmed: false };
    let expirationMs = 0;
    for (const call of calls) expirationMs = Math.max(expirationMs, call.remainingMs(nowMs));
    const isHanded = this.#tryPublish(calls, {
      id,
      routingKey,
      isRead,
      isBatch: calls.length > 1,
      body: draft.body(),
      common: draft.common,
      expirationMs,
      confirmed: (accepted) => {
        message.isConfirmed = true;
        if (!accepted)
          this.#failMessage(id, () => clientErrors.make('BEDS_CLIENT_UNAVAILABLE', 'RabbitMQ refused the message.'));
      },
    });
    if (!isHanded) return;
    this.#messages.add(id, message);
    for (const call of calls) {
      call.message = message;
      call.sends += 1;
    }
  }

  /** Whether RabbitMQ was handed the message. A link that takes none now says when it does again: the calls wait for that. */
  #tryPublish(calls: readonly PendingCall[], message: OutgoingMessage): boolean {
    try {
      const isHanded = this.#sink.publish(message);
      if (!isHanded) for (const call of calls) this.#putBack(call);
      return isHanded;
    } catch (cause) {
      for (const call of calls)
        this.#fail(call, clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', undefined, { cause }));
      return false;
    }
  }

  #take(reply: ReplyEnvelope, correlationId: unknown): void {
    const call = this.#calls.get(reply.id);
    if (call !== undefined) {
      call.learn(reply);
      this.#forget(call);
      call.answer(reply);
      return;
    }
    // A message that could not be read as envelopes is refused as a whole, under its correlation id.
    const message = typeof correlationId === 'string' ? this.#messages.get(correlationId) : undefined;
    if (message === undefined || reply.ok || (reply.id !== correlationId && reply.id !== '')) return;
    for (const each of message.calls) {
      if (each.isSettled) continue;
      if (message.calls.length > 1) this.#sendAlone(each);
      else {
        this.#forget(each);
        each.answer({ ...reply, id: each.request.id });
      }
    }
    this.#messages.delete(message.id);
  }

  /** Nothing of a message that is refused as a whole was run: each call learns by itself whether it was the one. */
  #sendAlone(call: PendingCall): void {
    call.message = undefined;
    call.sends -= 1;
    call.isAlone = true;
    this.#enqueue(call);
  }

  /** n.b. where this program was busy itself, replies that came in time are still in the socket: they are read first. */
  #sweep(): void {
    const nowMs = performance.now();
    const isLate = nowMs - this.#sweptAtMs > LATE_MS;
    this.#sweptAtMs = nowMs;
    if (isLate) setImmediate(() => setImmediate(() => this.#judge(nowMs)));
    else this.#judge(nowMs);
  }

  #judge(nowMs: number): void {
    for (const call of this.#calls.values()) if (call.expiresAtMs <= nowMs) this.#expire(call);
    if (!this.#sink.isReady) this.#dropSettled();
    if (this.#calls.size === 0) this.#stopSweeping();
  }

  /** While there is no link nothing else takes calls out of their queues. */
  #dropSettled(): void {
    for (const queue of this.#filled) queue.calls = queue.calls.filter(({ isSettled }) => !isSettled);
    this.#filled = this.#filled.filter(({ calls }) => calls.length > 0);
  }

  #startSweeping(): void {
    this.#sweptAtMs = performance.now();
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  #stopSweeping(): void {
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #expire(call: PendingCall): void {
    if (call.sends > 0) {
      this.#fail(
        call,
        clientErrors.make('BEDS_CLIENT_TIMEOUT', undefined, { retryable: call.request.target.mayResend }),
      );
      return;
    }
    const message = 'RabbitMQ was not there, or took no messages, until the deadline; the request was not sent.';
    this.#fail(call, clientErrors.make('BEDS_CLIENT_UNAVAILABLE', message));
  }

  #afterLoss(call: PendingCall, refusal: BedsError | undefined): void {
    if (refusal !== undefined) this.#fail(call, refusal);
    else if (call.request.target.isKnown) this.#resendOrFail(call);
    else this.#undecided.push(call);
  }

  #resendOrFail(call: PendingCall): void {
    if (call.isSettled) return;
    if (call.request.target.mayResend && call.sends <= this.#options.retries) {
      call.message = undefined;
      this.#enqueue(call);
    } else {
      this.#fail(call, this.#lossError(call, 'BEDS_CLIENT_UNAVAILABLE'));
    }
  }

  /** A write that was sent may have been carried out; everything else was not, or does not matter. */
  #lossError(call: PendingCall, otherwise: 'BEDS_CLIENT_UNAVAILABLE' | 'BEDS_CLIENT_CLOSED'): BedsError {
    const { isRead, mayResend } = call.request.target;
    const isUnknown = call.sends > 0 && !(isRead && mayResend);
    return clientErrors.make(isUnknown ? 'BEDS_CLIENT_INDETERMINATE' : otherwise, undefined, {
      retryable: mayResend || !isUnknown,
    });
  }

  #failMessage(messageId: unknown, error: () => BedsError): void {
    const message = typeof messageId === 'string' ? this.#messages.get(messageId) : undefined;
    for (const call of message?.calls ?? []) this.#fail(call, error());
  }

  #fail(call: PendingCall, error: BedsError): void {
    if (call.isSettled) return;
    this.#forget(call);
    call.reject(error);
  }

  #forget(call: PendingCall): void {
    call.isSettled = true;
    this.#calls.delete(call.request.id);
    if (call.onAbort !== undefined) call.request.signal?.removeEventListener('abort', call.onAbort);
    const { message } = call;
    if (message !== undefined) {
      message.waiting -= 1;
      if (message.waiting === 0) this.#messages.delete(message.id);
    }
    if (this.#calls.size === 0) this.#idle?.();
  }
}

function refusalOf(code: number | undefined): BedsError | undefined {
  if (code === 403) return clientErrors.make('BEDS_CLIENT_FORBIDDEN');
  if (code === 404) return clientErrors.make('BEDS_CLIENT_UNROUTABLE', 'The request exchange does not exist.');
  return undefined;
}

/** No character has more bytes in UTF-8, counted per UTF-16 unit. */
const MAX_BYTES_OF_UNIT = 3;

/** Of the array, beyond a comma for each text. */
const BRACKET_BYTES = 1;

const NOTHING: Common = {};
/** The headers of a message are one frame, and RabbitMQ may be set to take none of more than 4,096 bytes. */
const LONGEST_TOKEN = 2_048;

/**
 * Said once for all of a message it costs less, here and on the host, than in each call: when they were made, of which the oldest one's
 * lets nobody live longer, and for whom, where that is the same user for all of them.
 */
function commonOf(calls: readonly PendingCall[]): Common {
  const [first] = calls;
  const token = first?.request.caller?.token;
  const isShared =
    token !== undefined &&
    token.length <= LONGEST_TOKEN &&
    calls.every(({ request: { caller } }) => caller?.token === token);
  return { stampMs: first?.sentAt, token: isShared ? token : undefined };
}

/** The calls of a message that is being made, within its bounds. */
class Draft {
  readonly calls: PendingCall[] = [];
  readonly common: Common;
  readonly #texts: string[] = [];
  readonly #bounds: { readonly maxCount: number; readonly maxBytes: number };
  /** At least as many as there are: counted only where that might be too many. */
  #bytes = BRACKET_BYTES;
  #isExact = false;

  constructor(bounds: { readonly maxCount: number; readonly maxBytes: number }, common: Common) {
    this.#bounds = bounds;
    this.common = common;
  }

  /** Whether the call has room; the first one always has. */
  takes(text: string): boolean {
    if (this.calls.length === 0) return true;
    const { maxCount, maxBytes } = this.#bounds;
    if (this.calls.length >= maxCount) return false;
    if (this.#bytes + this.#bytesOf(text) <= maxBytes) return true;
    if (this.#isExact) return false;
    this.#isExact = true;
    this.#bytes = this.#texts.reduce((sum, each) => sum + this.#bytesOf(each), BRACKET_BYTES);
    return this.#bytes + this.#bytesOf(text) <= maxBytes;
  }

  add(call: PendingCall, text: string): void {
    this.calls.push(call);
    this.#texts.push(text);
    this.#bytes += this.#bytesOf(text);
  }

  body(): Buffer {
    const [only = ''] = this.#texts;
    return Buffer.from(this.#texts.length === 1 ? only : `[${this.#texts.join(',')}]`);
  }

  /** With the comma behind it. */
  #bytesOf(text: string): number {
    return 1 + (this.#isExact ? Buffer.byteLength(text) : text.length * MAX_BYTES_OF_UNIT);
  }
}
