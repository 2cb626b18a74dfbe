import type { BedsError } from '@beds/sdk';
import type { Receipt } from './age.js';
import type { Answer } from './answer.js';
import { Watched } from './deadlines.js';

/** A request of a message, and who takes its answer. */
export interface Asked extends Receipt {
  /** Called once, also in this turn; must not throw. */
  readonly onAnswer: (answer: Answer) => void;
  /** Whether its message holds an array of requests. */
  readonly isOfBatch: boolean;
  /** That it waited for a store before. */
  readonly waited: WaitingWrite | undefined;
}

/** What happens to a write that has waited long enough. */
export type WaitOver = (write: WaitingWrite) => void;

/** A write that was never begun: it waits, without acknowledgement or answer, for a store that is away. */
export class WaitingWrite extends Watched {
  readonly asked: Asked;
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

  constructor(asked: Asked, times: WaitTimes, { failure, onOver }: { failure: BedsError; onOver: WaitOver }) {
    super();
    this.asked = { ...asked, waited: this };
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
