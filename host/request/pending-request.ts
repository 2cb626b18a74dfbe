import type { BedsError } from '@beds/sdk';
import type { User, Verdict } from '#sdk/template';
import type { Receipt } from './request-scope.js';
import type { ShadowCopy } from './shadows.js';
import { WheelEntry } from '../stores/deadlines.js';

/** A request of a message, and who takes its answer. */
export interface PendingRequest extends Receipt {
  /** Called once, also in this turn; must not throw. */
  readonly onAnswer: (answer: Answer) => void;
  /** Whether its message holds an array of requests. */
  readonly isOfBatch: boolean;
  /** That it waited for a store before. */
  readonly waited: WaitingWrite | undefined;
  /** Whose session it carries, where that had to be asked for. */
  readonly user: User | undefined;
}

/** What happens to a write that has waited long enough. */
export type WaitOver = (write: WaitingWrite) => void;

/** A write that was never begun: it waits, without acknowledgement or answer, for a store that is away. */
export class WaitingWrite extends WheelEntry {
  readonly pending: PendingRequest;
  /** Place in the order of arrival. */
  readonly order: number;
  /** When its caller gives up, in terms of performance.now(); Infinity: its caller waits as long as it takes. */
  readonly untilMs: number;
  /** When it goes back into its queue, before RabbitMQ closes the channel over it. */
  readonly holdUntilMs: number;
  /** The store that it waits for, and what that said last. */
  store = '';
  failure: BedsError;
  /** Whether it waits no longer, for good. */
  isOver = false;
  readonly #onOver: WaitOver;

  constructor(
    pending: PendingRequest,
    times: WaitTimes,
    { failure, onOver }: { failure: BedsError; onOver: WaitOver },
  ) {
    super();
    // n.b. the session may end while it waits: it is asked for again.
    this.pending = { ...pending, waited: this, user: undefined };
    this.order = times.order;
    this.untilMs = times.untilMs;
    this.holdUntilMs = times.holdUntilMs;
    this.failure = failure;
    this.#onOver = onOver;
  }

  get dueAtMs(): number {
    return Math.min(this.untilMs, this.holdUntilMs);
  }

  override expire(): void {
    this.#onOver(this);
  }
}

export type WaitTimes = Pick<WaitingWrite, 'order' | 'untilMs' | 'holdUntilMs'>;

/** The answer to one request. */
export interface Answer {
  /** Undefined: what was published in the place of the request will be answered. */
  readonly text: string | undefined;
  readonly verdict: Verdict;
  /** Deadline of what was pending, in terms of performance.now(). */
  readonly expiresAtMs: number;
  /** To be run by a candidate once the answer is on its way. */
  readonly copy: ShadowCopy | undefined;
  /** Why something that may change data was not carried out, or not for sure: what a caller without reply-to would lose. */
  readonly lost: BedsError | undefined;
}
