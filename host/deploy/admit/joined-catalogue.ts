import { isBedsError } from '@beds/sdk';
import type { NamedObject, StoreAdapter } from '../../stores/contract.js';

/** What a store says of itself and of its named objects. */
export type Catalogue = Pick<StoreAdapter, 'store' | 'describe' | 'check' | 'status'>;

type Objects = ReadonlyMap<string, NamedObject>;

interface Reading {
  askers: number;
  readonly names: Set<string>;
  readonly found: Promise<Objects>;
}

/**
 * A store's catalogue, read once for all who ask while it is being read. Reading takes a database its time, and the supervisor
 * has few connections: of fifty domains that came at once, each with a question of its own, the last waited in vain for one.
 */
export class JoinedCatalogue implements Catalogue {
  readonly #adapter: StoreAdapter;
  /** Resolves when the last reading is over. */
  #last: Promise<unknown> = Promise.resolve();
  /** Has not begun. */
  #next: Reading | undefined;

  constructor(adapter: StoreAdapter) {
    this.#adapter = adapter;
  }

  get store(): string {
    return this.#adapter.store;
  }

  /** Like the adapter's; never from a reading that began before the question. There may be others in the result. */
  async describe(names: readonly string[]): Promise<Objects> {
    this.#next ??= this.#plan();
    const reading = this.#next;
    reading.askers += 1;
    for (const name of names) reading.names.add(name);
    try {
      return await reading.found;
    } catch (error) {
      if (reading.askers === 1 || isOfStore(error)) throw error;
      // It may be about an object that somebody else asked for.
      return await this.#inTurn(() => this.#adapter.describe(names));
    }
  }

  check(...asked: Parameters<StoreAdapter['check']>): ReturnType<StoreAdapter['check']> {
    return this.#adapter.check(...asked);
  }

  status(): ReturnType<StoreAdapter['status']> {
    return this.#adapter.status();
  }

  #plan(): Reading {
    const names = new Set<string>();
    const found = this.#inTurn(() => {
      this.#next = undefined;
      return this.#adapter.describe([...names]);
    });
    return { askers: 0, names, found };
  }

  #inTurn(read: () => Promise<Objects>): Promise<Objects> {
    const found = this.#last.then(read);
    this.#last = found.catch(() => undefined);
    return found;
  }
}

const OF_STORE = new Set([
  'BEDS_STORE_UNAVAILABLE',
  'BEDS_STORE_TIMEOUT',
  'BEDS_STORE_OVERLOADED',
  'BEDS_STORE_CLOSED',
]);

/** Whether the same would be said to everybody. */
function isOfStore(error: unknown): boolean {
  return isBedsError(error) && OF_STORE.has(error.code);
}
