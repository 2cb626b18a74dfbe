import type { Manifest } from '@beds/sdk';
import type { GenerationSource } from '../template/contract.js';
import type { CandidateRoute, Route } from '../template/route.js';

/** The version that serves a domain on this host. */
export interface LiveVersion {
  readonly source: GenerationSource;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** A version that is observed beside the one that serves. */
export interface Candidate {
  readonly source: GenerationSource;
  readonly share: Omit<CandidateRoute, 'generation'>;
}

/** What every broker thread has loaded and whom it lets answer. The one copy on the supervisor's side. */
export class RoutingTable {
  readonly #prepared = new Map<number, GenerationSource>();
  readonly #live = new Map<string, LiveVersion>();
  readonly #candidates = new Map<string, Candidate>();
  readonly #withheld = new Map<string, Manifest>();

  get live(): ReadonlyMap<string, LiveVersion> {
    return this.#live;
  }

  get candidates(): ReadonlyMap<string, Candidate> {
    return this.#candidates;
  }

  /** Everything that a thread must have loaded. */
  get loaded(): readonly GenerationSource[] {
    return [
      ...[...this.#live.values(), ...this.#candidates.values()].map(({ source }) => source),
      ...this.#prepared.values(),
    ];
  }

  /** Domains whose queues are consumed. */
  get domains(): readonly string[] {
    return [...new Set([...this.#live.keys(), ...this.#candidates.keys(), ...this.#withheld.keys()])];
  }

  isWithheld(domain: string): boolean {
    return this.#withheld.has(domain);
  }

  manifestOf(domain: string): Manifest | undefined {
    const served = this.#live.get(domain) ?? this.#candidates.get(domain);
    return served?.source.manifest ?? this.#withheld.get(domain);
  }

  routes(): readonly Route[] {
    return this.domains.map((domain) => this.route(domain));
  }

  route(domain: string): Route {
    const live = this.#live.get(domain);
    const candidate = this.#candidates.get(domain);
    return {
      domain,
      ...(live === undefined ? {} : { active: live.source.id }),
      ...(candidate === undefined ? {} : { candidate: { generation: candidate.source.id, ...candidate.share } }),
      ...(live === undefined && this.#withheld.has(domain) ? { withheld: true } : {}),
    };
  }

  addPrepared(source: GenerationSource): void {
    this.#prepared.set(source.id, source);
  }

  deletePrepared({ id }: GenerationSource): boolean {
    return this.#prepared.delete(id);
  }

  setCandidate(source: GenerationSource, share: Candidate['share']): void {
    this.#prepared.delete(source.id);
    this.#candidates.set(source.manifest.domain, { source, share });
  }

  isCandidate({ id, manifest }: GenerationSource): boolean {
    return this.#candidates.get(manifest.domain)?.source.id === id;
  }

  deleteCandidate(source: GenerationSource): void {
    if (this.isCandidate(source)) this.#candidates.delete(source.manifest.domain);
  }

  setLive(source: GenerationSource): void {
    this.#prepared.delete(source.id);
    this.deleteCandidate(source);
    this.#withheld.delete(source.manifest.domain);
    this.#live.set(source.manifest.domain, { source, since: Date.now() });
  }

  /** Returns the versions that serve no longer. */
  withhold(manifest: Manifest): readonly GenerationSource[] {
    const sources = this.deleteDomain(manifest.domain);
    this.#withheld.set(manifest.domain, manifest);
    return sources;
  }

  /** Returns the versions that serve no longer. */
  deleteDomain(domain: string): readonly GenerationSource[] {
    const sources = [this.#live.get(domain), this.#candidates.get(domain)].flatMap((entry) => entry?.source ?? []);
    this.#live.delete(domain);
    this.#candidates.delete(domain);
    this.#withheld.delete(domain);
    return sources;
  }
}
