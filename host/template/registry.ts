import { CandidateShare, type Sharer } from './candidate-share.js';
import type { Route } from './route.js';

/** What the registry needs to know of a generation. */
export interface Registered {
  readonly id: number;
  readonly domain: string;
}

/** The route of a domain with its generations in place of their ids. It never changes; a new one takes its place. */
export class DomainRoute<G extends Registered> {
  readonly active: G | undefined;
  readonly candidate: G | undefined;
  readonly shadowPercent: number;
  readonly withheld: boolean;
  readonly #share: CandidateShare | undefined;

  /** `before`: the route whose place it takes; what its candidate answered counts on while the share stays. */
  constructor(route: Route, find: (id: number) => G | undefined, before?: DomainRoute<G>) {
    this.active = route.active === undefined ? undefined : find(route.active);
    this.candidate = route.candidate === undefined ? undefined : find(route.candidate.generation);
    this.shadowPercent = route.candidate?.shadowPercent ?? 0;
    this.withheld = route.withheld === true;
    if (route.candidate === undefined) return;
    const isSame =
      before !== undefined && before.candidate === this.candidate && before.#share?.isSame(route.candidate);
    this.#share = isSame === true ? before.#share : new CandidateShare(route.candidate);
  }

  /** The generation that answers this request; to be asked once for each, because it is counted. */
  choose(caller: Sharer): G | undefined {
    if (this.#share === undefined) return this.active;
    return this.#share.takes(caller) ? this.candidate : this.active;
  }

  get generations(): readonly G[] {
    return [this.active, this.candidate].filter((generation) => generation !== undefined);
  }
}

/**
 * Where the request path and the swap path meet: which generations answer a domain in this thread. Routes change between
 * two deliveries; a request keeps the generation it looked up.
 */
export class GenerationRegistry<G extends Registered> {
  readonly #routes = new Map<string, DomainRoute<G>>();
  /** Prepared or named by a route. */
  readonly #loaded = new Map<number, G>();
  readonly #draining = new Set<G>();

  /** The route of a domain; undefined when it is not served. */
  route(domain: string): DomainRoute<G> | undefined {
    return this.#routes.get(domain);
  }

  /** The generation that answers this request in this domain now, see `DomainRoute.choose`. */
  choose(domain: string, caller: Sharer): G | undefined {
    return this.#routes.get(domain)?.choose(caller);
  }

  /** Everything whose code may still run: prepared, routed and draining. */
  get all(): readonly G[] {
    return [...this.#loaded.values(), ...this.#draining];
  }

  /** Keeps a loaded generation ready for a route. */
  prepare(generation: G): void {
    this.#loaded.set(generation.id, generation);
  }

  isLoaded(id: number): boolean {
    return this.#loaded.has(id);
  }

  /** Forgets a generation that was prepared and is not wanted after all; not one that a route names. */
  discard(id: number): G | undefined {
    const generation = this.#loaded.get(id);
    if (generation === undefined || this.#named().has(generation)) return undefined;
    this.#loaded.delete(id);
    return generation;
  }

  /**
   * Puts these routes in place of those of the same domains, all at once, and gives back the generations that no route
   * names any more. Undefined, with nothing changed, when a route names one that is not loaded for its domain.
   */
  apply(routes: readonly Route[]): readonly G[] | undefined {
    if (!routes.every((route) => this.#isLoadedFor(route))) return undefined;
    const named = this.#named();
    for (const route of routes) {
      const isServed = route.active !== undefined || route.candidate !== undefined || route.withheld === true;
      const before = this.#routes.get(route.domain);
      if (isServed) this.#routes.set(route.domain, new DomainRoute(route, (id) => this.#loaded.get(id), before));
      else this.#routes.delete(route.domain);
    }
    const now = this.#named();
    const ended = [...named].filter((generation) => !now.has(generation));
    for (const generation of ended) {
      this.#loaded.delete(generation.id);
      this.#draining.add(generation);
    }
    return ended;
  }

  /** A draining generation has ended. */
  forget(generation: G): void {
    this.#draining.delete(generation);
  }

  #isLoadedFor({ domain, active, candidate }: Route): boolean {
    const ids = [active, candidate?.generation].filter((id) => id !== undefined);
    return ids.every((id) => this.#loaded.get(id)?.domain === domain);
  }

  #named(): ReadonlySet<G> {
    return new Set([...this.#routes.values()].flatMap(({ generations }) => generations));
  }
}
