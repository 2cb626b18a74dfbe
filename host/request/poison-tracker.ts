import { setTimeout as delay } from 'node:timers/promises';
import { requestErrors } from '../errors/request.js';
import { fnv1a } from './request-scope.js';

/** How long redelivered requests stay suspects after a thread ended under them. */
const SUSPICION_MS = 60_000;

/** How long a suspect that has ended is noted at most while RabbitMQ could deliver its message again. */
const REST_MS = 250;
/** How often to look whether it still could. */
const LOOK_MS = 2;

/** A finding of the supervisor, for every thread of the host. */
export interface PoisonNotice {
  /** Digest of the request that ran alone after a redelivery when its thread ended. 0: none. */
  readonly poisonDigest: number;
}

/** A request that was delivered before. */
export interface Suspect {
  readonly id: string;
  /** The generation that runs it. */
  readonly generation: number;
  /** Whether its message is not settled, and waits for no other request. */
  readonly isOpen: () => boolean;
}

/**
 * Requests that may have ended the thread they ran in. RabbitMQ delivers what a thread had not acknowledged to the next
 * thread, and a classic queue does so without limit: a request that blocks or crashes its thread would end one after the
 * other. So, for a while after a thread ended, what is delivered again runs one at a time, with a note of which one;
 * the one that is noted when the thread ends again is not run a third time.
 */
export class PoisonTracker {
  readonly #note: (digest: number, generation: number) => void;
  readonly #poison = new Set<number>();
  #suspiciousUntilMs = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** `note` leaves the running suspect where the supervisor finds it when this thread is gone; 0: none runs. */
  constructor(note: (digest: number, generation: number) => void) {
    this.#note = note;
  }

  suspect({ poisonDigest }: PoisonNotice): void {
    this.#suspiciousUntilMs = performance.now() + SUSPICION_MS;
    if (poisonDigest !== 0) this.#poison.add(poisonDigest);
  }

  /** Throws BEDS_REQUEST_POISON if this request, which was delivered before, ended what ran it then. */
  refuse(id: string): void {
    if (this.#poison.size > 0 && this.#poison.has(digestOf(id))) throw requestErrors.make('BEDS_REQUEST_POISON');
  }

  /** Runs a request that was delivered before. Rejects with BEDS_REQUEST_POISON if it ended its thread then. */
  async run<T>({ id, generation, isOpen }: Suspect, work: () => Promise<T>): Promise<T> {
    const digest = digestOf(id);
    if (this.#poison.has(digest)) throw requestErrors.make('BEDS_REQUEST_POISON');
    if (performance.now() >= this.#suspiciousUntilMs) return work();
    const before = this.#last;
    const running = before.then(() => {
      this.#note(digest, generation);
      return work();
    });
    this.#last = running
      .catch(() => undefined)
      .then(() => rest(isOpen))
      .then(() => {
        this.#note(0, 0);
      });
    return running;
  }
}

/** What code leaves behind may throw after the request has ended: in a tick, an event, a callback. */
async function rest(isOpen: () => boolean): Promise<void> {
  const untilMs = performance.now() + REST_MS;
  do await delay(LOOK_MS);
  while (isOpen() && performance.now() < untilMs);
}

/** Never 0. A collision costs a request that was redelivered as well, no other. */
function digestOf(id: string): number {
  return fnv1a(id) || 1;
}
