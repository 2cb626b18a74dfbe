import { isBedsError } from '../template/errors.js';
import type { ReplyEnvelope } from '../wire/envelope.js';
import type { Target } from './target.js';

/** For whom calls are made. */
export interface Caller {
  readonly token: string;
  /** Of `meta`, as JSON with a leading comma. */
  readonly member: string;
}

/** What a message says of all its calls, so that none of them needs to. */
export interface Common {
  /** When they were made, milliseconds since 1970. */
  readonly stampMs?: number | undefined;
  /** The token of those that have one. */
  readonly token?: string | undefined;
}

/** What a call needs besides its place in the pipeline. */
export interface CallRequest<T = unknown> {
  readonly id: string;
  readonly target: Target;
  /** The envelope as JSON up to, without, `meta`. Written when the call is made, so that later changes of its input are harmless. */
  readonly head: string;
  /** Members of `meta` besides the deadline and the session, as JSON with a leading comma. */
  readonly meta: string;
  /** Undefined: for nobody, or `meta` says it. */
  readonly caller: Caller | undefined;
  readonly deadlineMs: number;
  /** When it was made, milliseconds since 1970; undefined: now. */
  readonly sentAt?: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Makes of the reply what the caller gets; what it throws is what the caller gets then. */
  readonly take: (reply: ReplyEnvelope) => T;
}

/** A message that was handed to RabbitMQ. */
export interface SentMessage {
  readonly id: string;
  readonly routingKey: string;
  readonly isRead: boolean;
  readonly calls: readonly PendingCall[];
  /** Calls that still wait. */
  waiting: number;
  /** Whether RabbitMQ has said that it has the message; it says so of writes only. */
  isConfirmed: boolean;
}

/** A reply that comes this much after the deadline is still taken: it says that the deadline passed. */
const GRACE_MS = 250;
/** A call may be this much younger than its message says, and this share of its deadline: it is ended as much earlier. */
const YOUNGER = { mostMs: 25, share: 0.05 };

/** One call between being made and being settled. */
export class PendingCall {
  readonly request: CallRequest;
  readonly expiresAtMs: number;
  readonly sentAt: number;
  readonly resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  isSettled = false;
  /** It travels with no other: a message that it was in was refused. */
  isAlone = false;
  /** Times it was handed to RabbitMQ. */
  sends = 0;
  message: SentMessage | undefined;
  onAbort: (() => void) | undefined;

  constructor(request: CallRequest, resolve: PendingCall['resolve'], reject: (error: unknown) => void) {
    this.request = request;
    this.expiresAtMs = performance.now() + request.deadlineMs + GRACE_MS;
    this.sentAt = request.sentAt ?? Date.now();
    this.resolve = resolve;
    this.#reject = reject;
  }

  /** What the version that answered takes the operation for. n.b. whoever stands in for a host may leave `by` out. */
  learn({ by }: Partial<ReplyEnvelope>): void {
    this.request.target.learn(by?.mode);
  }

  answer(reply: ReplyEnvelope): void {
    try {
      this.resolve(this.request.take(reply));
    } catch (error) {
      this.reject(error);
    }
  }

  /** The stack of such an error has no line of the caller, as it is made when the answer comes: so it says what was called. */
  reject(error: unknown): void {
    if (isBedsError(error)) error.operation = this.request.target.routingKey;
    this.#reject(error);
  }

  /** Milliseconds the host may still take; below 1 when there is no more use in sending it. */
  remainingMs(nowMs: number): number {
    return Math.ceil(this.expiresAtMs - GRACE_MS - nowMs);
  }

  /** The whole envelope as JSON, without what its message says: its deadline is counted from when it was made, whenever it is sent. */
  encode({ stampMs, token }: Common): string {
    const { head, meta, deadlineMs, sentAt, caller } = this.request;
    const session = caller === undefined || caller.token === token ? '' : caller.member;
    if (stampMs !== undefined && sentAt === undefined) {
      const youngerMs = this.sentAt - stampMs;
      const isSame = youngerMs >= 0 && youngerMs <= Math.min(YOUNGER.mostMs, deadlineMs * YOUNGER.share);
      if (isSame) return `${head},"meta":{"deadlineMs":${deadlineMs}${meta}${session}}}`;
    }
    return `${head},"meta":{"deadlineMs":${deadlineMs},"sentAt":${this.sentAt}${meta}${session}}}`;
  }
}
