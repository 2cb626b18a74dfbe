import { storeErrors } from '../../errors/store.js';

/** The server gives up a little earlier than the caller, so that its answer still arrives. */
const ANSWER_MS = 20;

/** One operation's time: a signal that ends it here, and a number that ends it in the server. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #endsAt: number;
  readonly #timer: NodeJS.Timeout;
  readonly #outer: AbortSignal | undefined;

  constructor(timeoutMs: number, outer?: AbortSignal) {
    this.#endsAt = performance.now() + timeoutMs;
    this.#timer = setTimeout(this.#expire, Math.max(0, timeoutMs));
    this.#outer = outer;
    if (outer?.aborted === true) this.#expire();
    else outer?.addEventListener('abort', this.#expire, { once: true });
  }

  /** Aborted with BEDS_STORE_TIMEOUT when the time is over or the caller gave up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** For maxTimeMS, where 0 would mean no limit. */
  get serverMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now() - ANSWER_MS));
  }

  /** Rejects at the deadline, whatever `work` does. */
  async race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    if (signal.aborted) {
      work.catch(() => undefined);
      throw signal.reason;
    }
    let onAbort: (() => void) | undefined;
    const expired = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([work, expired]);
    } finally {
      if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    }
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#expire);
  }

  readonly #expire = (): void => {
    this.end();
    this.#controller.abort(storeErrors.make('BEDS_STORE_TIMEOUT'));
  };
}
