import type { Deadline } from '../deadline.js';

type Listener = (this: CallSignal) => void;

/**
 * What the driver uses of an AbortSignal, aborted when a deadline is over. A real one, whose listeners the driver adds
 * and removes at every step, takes a tenth of the time of a short read.
 */
class CallSignal {
  readonly #deadline: Deadline;
  readonly #listeners: Listener[] = [];

  constructor(deadline: Deadline) {
    this.#deadline = deadline;
    deadline.onOver(() => {
      for (const listener of this.#listeners.splice(0)) listener.call(this);
    });
  }

  get aborted(): boolean {
    return this.reason !== undefined;
  }

  get reason(): Error | undefined {
    return this.#deadline.reason;
  }

  throwIfAborted(): void {
    this.#deadline.remainingMs();
  }

  addEventListener(_type: 'abort', listener: Listener): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: Listener): void {
    const at = this.#listeners.lastIndexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }
}

/** For reads: the driver takes none for writes. Ends what waits for an answer, and the connection with it. */
export function signalOf(deadline: Deadline): AbortSignal {
  return new CallSignal(deadline) as unknown as AbortSignal;
}

/**
 * For writes: looked at when the driver has a server and a connection and is about to send, also for the second time. What
 * was sent is left alone, as nobody would know how it ended.
 */
class SendSignal {
  readonly #deadline: Deadline;

  constructor(deadline: Deadline) {
    this.#deadline = deadline;
  }

  get aborted(): boolean {
    return this.reason !== undefined;
  }

  get reason(): Error | undefined {
    this.#deadline.tick(performance.now());
    return this.#deadline.reason;
  }

  throwIfAborted(): void {
    this.#deadline.remainingMs();
  }

  addEventListener(): void {
    // Nothing is interrupted.
  }

  removeEventListener(): void {
    // There is no listener.
  }
}

export function sendSignalOf(deadline: Deadline): AbortSignal {
  return new SendSignal(deadline) as unknown as AbortSignal;
}

/** The server gives up a little earlier than the caller, so that its answer still arrives. */
const ANSWER_MS = 20;

/** For maxTimeMS, where 0 would mean no limit. Throws what the deadline does when it is over. */
export function serverMs(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.remainingMs() - ANSWER_MS));
}
