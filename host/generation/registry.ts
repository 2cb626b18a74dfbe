/** What the registry needs to know of a generation. */
export interface Registered {
  readonly id: number;
  readonly domain: string;
}

/**
 * Where the request path and the swap path meet: which generation serves a domain in this thread. Activation is one write
 * of a map entry between two deliveries; a request keeps the generation it looked up.
 */
export class GenerationRegistry<G extends Registered> {
  readonly #active = new Map<string, G>();
  readonly #prepared = new Map<number, G>();

  /** The generation that serves a domain now. */
  active(domain: string): G | undefined {
    return this.#active.get(domain);
  }

  all(): readonly G[] {
    return [...this.#active.values()];
  }

  /** Keeps a loaded generation ready for `activate`. */
  prepare(generation: G): void {
    this.#prepared.set(generation.id, generation);
  }

  /** Forgets a generation that was prepared and is not wanted after all. */
  discard(id: number): G | undefined {
    const generation = this.#prepared.get(id);
    this.#prepared.delete(id);
    return generation;
  }

  /** Makes a prepared generation serve its domain; returns the one that served it before. */
  activate(id: number): { readonly active: G; readonly previous: G | undefined } | undefined {
    const active = this.#prepared.get(id);
    if (active === undefined) return undefined;
    this.#prepared.delete(id);
    const previous = this.#active.get(active.domain);
    this.#active.set(active.domain, active);
    return { active, previous };
  }

  /** Stops serving a domain; returns the generation that served it. */
  retire(domain: string): G | undefined {
    const generation = this.#active.get(domain);
    this.#active.delete(domain);
    return generation;
  }
}
