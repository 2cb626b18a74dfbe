import type { NamedObject, StoreAdapter } from '../../adapter/contract.js';

/** What a store says of itself and of its named objects. */
export type Catalogue = Pick<StoreAdapter, 'store' | 'describe' | 'check' | 'status'>;

type Objects = ReadonlyMap<string, NamedObject>;

interface Reading {
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
  describe(names: readonly string[]): Promise<Objects> {
    this.#next ??= this.#plan();
    for (const name of names) this.#next.names.add(name);
    return this.#next.found;
  }

  check(...asked: Parameters<StoreAdapter['check']>): ReturnType<StoreAdapter['check']> {
    return this.#adapter.check(...asked);
  }

  status(): ReturnType<StoreAdapter['status']> {
    return this.#adapter.status();
  }

  #plan(): Reading {
    const names = new Set<string>();
    const found = this.#last.then(() => {
      this.#next = undefined;
      return this.#adapter.describe([...names]);
    });
    this.#last = found.catch(() => undefined);
    return { names, found };
  }
}
