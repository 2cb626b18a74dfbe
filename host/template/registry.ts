/** A version under observation beside the one that answers its domain. */
export interface CandidateRoute {
  readonly generation: number;
  /** Percent of the callers whose requests it answers; a caller stays on one side as long as that keeps the share. */
  readonly percent: number;
  /** An integer that tells rollouts apart: in each of them other callers come first. The same for all domains of one. */
  readonly salt: number;
  /** Percent of the reads that it gets a copy of; nobody sees what it answers to those. */
  readonly shadowPercent: number;
}

/**
 * Which loaded generations answer a domain. The supervisor writes it, every broker thread follows it; a generation that no
 * route names any more drains.
 */
export interface Route {
  readonly domain: string;
  /** Absent: nothing answers. */
  readonly active?: number;
  readonly candidate?: CandidateRoute;
  /** Nothing answers because the only version is quarantined; callers get BEDS_REQUEST_WITHHELD. */
  readonly withheld?: boolean;
}

/** Who asks, as far as it decides who answers. */
export interface Sharer {
  /**
   * Whether the candidate answers. `decide` gets where the caller stands in the rollout of this salt: in [0, 100), the same
   * for all its requests. It is asked once for a request; the calls that the request makes find the same side.
   */
  side(salt: number, decide: (bucket: number) => boolean): boolean;
}

/** A candidate answers at most this many times its share, */
const MOST = 1.25;
/** and at least this many times, as far as there are requests, */
const LEAST = 0.5;
/** give or take so many requests of one thread. */
const SLACK = 20;

/**
 * Which requests of a domain its candidate answers in this thread. Callers stay on one side as long as that keeps the
 * share: one that asks much is answered by the active version too, and where nobody is on the candidate's side it gets
 * single requests of the others.
 */
export class CandidateShare {
  readonly percent: number;
  readonly #salt: number;
  #asked = 0;
  #taken = 0;

  constructor({ percent, salt }: Pick<CandidateRoute, 'percent' | 'salt'>) {
    this.percent = percent;
    this.#salt = salt;
  }

  /** Whether the candidate answers this request. */
  takes(caller: Sharer): boolean {
    this.#asked += 1;
    const isTaken = caller.side(this.#salt, this.#decide);
    if (isTaken) this.#taken += 1;
    return isTaken;
  }

  isSame({ percent, salt }: Pick<CandidateRoute, 'percent' | 'salt'>): boolean {
    return this.percent === percent && this.#salt === salt;
  }

  readonly #decide = (bucket: number): boolean => {
    const due = (this.#asked * this.percent) / 100;
    if (bucket < this.percent) return this.#taken + 1 <= due * MOST + SLACK;
    return this.#taken < due * LEAST - SLACK;
  };
}

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
