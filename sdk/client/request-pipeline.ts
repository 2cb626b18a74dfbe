import type { BedsError } from '../template/errors.js';
import type { ReplyEnvelope } from '../wire/envelope.js';
import type { OutgoingMessage } from './broker-link.js';
import { clientErrors } from './client-errors.js';
import { DeadlineWheel } from './deadline-wheel.js';
import { PendingCall, type CallRequest, type SentMessage } from './pending-call.js';

/** Where messages go. */
export interface MessageSink {
  readonly isUp: boolean;
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
}

interface Draft {
  readonly calls: PendingCall[];
  readonly texts: string[];
  bytes: number;
}

/**
 * Every call from being made to being settled: calls of one event-loop turn and routing key travel in one message, replies
 * find their calls by id, and a lost connection settles or resends each of them.
 */
export class RequestPipeline {
  readonly #sink: MessageSink;
  readonly #options: PipelineOptions;
  readonly #calls = new Map<string, PendingCall>();
  readonly #messages = new Map<string, SentMessage>();
  readonly #waiting = new Map<string, PendingCall[]>();
  readonly #wheel = new DeadlineWheel<PendingCall>((call) => this.#expire(call));
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

  submit(request: CallRequest): Promise<ReplyEnvelope> {
    return new Promise((resolve, reject) => {
      if (this.#calls.has(request.id)) {
        reject(clientErrors.make('BEDS_CLIENT_REQUEST_INVALID', undefined, { field: 'id' }));
        return;
      }
      const { signal } = request;
      const call = new PendingCall(request, resolve, reject);
      if (signal !== undefined) {
        const abort = (): void =>
          this.#fail(call, clientErrors.make('BEDS_CLIENT_ABORTED', undefined, { cause: signal.reason }));
        if (signal.aborted) {
          abort();
          return;
        }
        call.onAbort = abort;
        signal.addEventListener('abort', abort, { once: true });
      }
      this.#calls.set(request.id, call);
      this.#wheel.add(call);
      this.#enqueue(call);
    });
  }

  /** The sink is up: whatever waited is sent. */
  up(): void {
    this.#flush();
  }

  /** The sink is lost: replies to what was sent can never come, as their address went with it. */
  down(code: number | undefined): void {
    const messages = [...this.#messages.values()];
    const unconfirmed = messages.filter((message) => !message.isConfirmed);
    for (const message of messages) {
      // n.b. RabbitMQ closes the channel over one message; only where there was just one is it known to be that one.
      const culprit = unconfirmed.length === 1 && unconfirmed[0] === message ? refusalOf(code) : undefined;
      for (const call of [...message.calls]) this.#afterLoss(call, culprit);
      this.#messages.delete(message.id);
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
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#idle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const call of [...this.#calls.values()]) this.#fail(call, this.#lossError(call, 'BEDS_CLIENT_CLOSED'));
  }

  #enqueue(call: PendingCall): void {
    const { routingKey } = call.request;
    const waiting = this.#waiting.get(routingKey);
    if (waiting === undefined) this.#waiting.set(routingKey, [call]);
    else waiting.push(call);
    if (this.#isFlushScheduled || !this.#sink.isUp) return;
    this.#isFlushScheduled = true;
    // The end of this turn: replies that came together have by then made their callers ask again.
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushScheduled = false;
    if (!this.#sink.isUp) return;
    const queues = [...this.#waiting];
    this.#waiting.clear();
    for (const [routingKey, calls] of queues) this.#flushQueue(routingKey, calls);
  }

  #flushQueue(routingKey: string, calls: readonly PendingCall[]): void {
    const nowMs = performance.now();
    const { maxCount, maxBytes } = this.#options;
    let draft: Draft = { calls: [], texts: [], bytes: 0 };
    for (const call of calls) {
      if (call.isSettled) continue;
      const text = call.encode(nowMs);
      const bytes = Buffer.byteLength(text) + 1;
      const isFull = draft.calls.length >= maxCount || draft.bytes + bytes > maxBytes;
      if (isFull && draft.calls.length > 0) {
        this.#send(routingKey, draft, nowMs);
        draft = { calls: [], texts: [], bytes: 0 };
      }
      draft.calls.push(call);
      draft.texts.push(text);
      draft.bytes += bytes;
    }
    if (draft.calls.length > 0) this.#send(routingKey, draft, nowMs);
  }

  #send(routingKey: string, { calls, texts }: Draft, nowMs: number): void {
    const [first] = calls;
    if (first === undefined) return;
    const { isRead } = first.request;
    // A message that cannot be read is refused under its own id, which must not be that of one of its calls.
    const id = calls.length === 1 ? first.request.id : `${first.request.id}+`;
    const message: SentMessage = { id, calls: new Set(calls), isConfirmed: false };
    let expirationMs = 0;
    for (const call of calls) expirationMs = Math.max(expirationMs, call.remainingMs(nowMs));
    const isHanded = this.#sink.publish({
      routingKey,
      body: Buffer.from(calls.length === 1 ? (texts[0] ?? '') : `[${texts.join(',')}]`),
      properties: {
        contentType: 'application/json',
        type: 'beds.request',
        messageId: id,
        correlationId: id,
        persistent: !isRead,
        expiration: String(expirationMs),
      },
      confirmed: (accepted) => {
        message.isConfirmed = true;
        if (!accepted)
          this.#failMessage(id, () => clientErrors.make('BEDS_CLIENT_UNAVAILABLE', 'RabbitMQ refused the message.'));
      },
    });
    if (!isHanded) {
      for (const call of calls) this.#enqueue(call);
      return;
    }
    this.#messages.set(id, message);
    for (const call of calls) {
      call.message = message;
      call.sends += 1;
    }
  }

  #take(reply: ReplyEnvelope, correlationId: unknown): void {
    const call = this.#calls.get(reply.id);
    if (call !== undefined) {
      this.#forget(call);
      call.resolve(reply);
      return;
    }
    // A message that could not be read as envelopes is refused as a whole, under its correlation id.
    const message = typeof correlationId === 'string' ? this.#messages.get(correlationId) : undefined;
    if (message === undefined || reply.ok || (reply.id !== correlationId && reply.id !== '')) return;
    for (const each of [...message.calls]) {
      this.#forget(each);
      each.resolve({ ...reply, id: each.request.id });
    }
  }

  #expire(call: PendingCall): void {
    const wasSent = call.sends > 0;
    const code = wasSent ? 'BEDS_CLIENT_TIMEOUT' : 'BEDS_CLIENT_UNAVAILABLE';
    this.#fail(call, clientErrors.make(code, undefined, { retryable: call.request.isRead || !wasSent }));
  }

  #afterLoss(call: PendingCall, refusal: BedsError | undefined): void {
    if (refusal !== undefined) {
      this.#fail(call, refusal);
    } else if (call.request.mayResend && call.sends <= this.#options.retries) {
      call.message = undefined;
      this.#enqueue(call);
    } else {
      this.#fail(call, this.#lossError(call, 'BEDS_CLIENT_UNAVAILABLE'));
    }
  }

  /** A write that was sent may have been carried out; everything else was not, or does not matter. */
  #lossError(call: PendingCall, otherwise: 'BEDS_CLIENT_UNAVAILABLE' | 'BEDS_CLIENT_CLOSED'): BedsError {
    const isUnknown = call.sends > 0 && !call.request.isRead;
    return clientErrors.make(isUnknown ? 'BEDS_CLIENT_INDETERMINATE' : otherwise);
  }

  #failMessage(messageId: unknown, error: () => BedsError): void {
    const message = typeof messageId === 'string' ? this.#messages.get(messageId) : undefined;
    for (const call of [...(message?.calls ?? [])]) this.#fail(call, error());
  }

  #fail(call: PendingCall, error: BedsError): void {
    if (call.isSettled) return;
    this.#forget(call);
    call.reject(error);
  }

  #forget(call: PendingCall): void {
    call.isSettled = true;
    this.#calls.delete(call.request.id);
    this.#wheel.delete(call);
    if (call.onAbort !== undefined) call.request.signal?.removeEventListener('abort', call.onAbort);
    const { message } = call;
    if (message !== undefined && message.calls.delete(call) && message.calls.size === 0)
      this.#messages.delete(message.id);
    if (this.#calls.size === 0) this.#idle?.();
  }
}

function refusalOf(code: number | undefined): BedsError | undefined {
  if (code === 403) return clientErrors.make('BEDS_CLIENT_FORBIDDEN');
  if (code === 404) return clientErrors.make('BEDS_CLIENT_UNROUTABLE', 'The request exchange does not exist.');
  return undefined;
}
