import { setImmediate as turn } from 'node:timers/promises';

/**
 * Runs pieces of asynchronous work one after another, in the order asked for. n.b. each begins in a turn of its own: who
 * waited for the one before has then taken note of it.
 */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => turn()).then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
