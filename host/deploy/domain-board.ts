import type { Finding } from '../template/contract.js';
import type { Leftovers } from '../template/leftovers.js';
import type { DomainView, LeftView, VersionView } from '../admin/views.js';

/** Retired generations that left something behind, of each domain: enough to see that it goes on. */
const MOST_LEFT = 5;

/** Which version of which domain is live, and why one is not. */
export class DomainBoard {
  readonly #live = new Map<string, VersionView>();
  readonly #candidates = new Map<string, VersionView>();
  /** Versions that lie in the plugin directory beside a higher one; shown where nothing is on its way. */
  readonly #superseded = new Map<string, VersionView>();
  readonly #left = new Map<string, readonly LeftView[]>();
  readonly #degraded = new Map<string, readonly Finding[]>();

  /** Takes note of a change of state of a version. */
  note(domain: string, { left, ...view }: Omit<VersionView, 'since'> & { readonly left?: Leftovers }): void {
    if (left !== undefined) this.#noteLeft(domain, { version: view.version, generation: view.generation ?? 0, left });
    const entry: VersionView = { ...view, since: new Date().toISOString() };
    const live = this.#live.get(domain);
    if (view.state === 'active') {
      this.#live.set(domain, entry);
      for (const views of [this.#candidates, this.#superseded]) {
        if (views.get(domain)?.hash === view.hash) views.delete(domain);
      }
    } else if (view.state === 'draining' || view.state === 'retired') {
      // The same bytes may have taken over again meanwhile, as another generation.
      if (live?.generation !== view.generation) return;
      if (view.state === 'retired') {
        this.#live.delete(domain);
        this.#degraded.delete(domain);
      } else if (live !== undefined) this.#live.set(domain, { ...live, state: view.state });
    } else if (view.state === 'superseded') {
      this.#superseded.set(domain, entry);
    } else {
      this.#candidates.set(domain, entry);
    }
  }

  #noteLeft(domain: string, view: LeftView): void {
    this.#left.set(domain, [...(this.#left.get(domain) ?? []), view].slice(-MOST_LEFT));
  }

  /** The refused or unfinished version is of no interest any more. */
  forgetCandidate(domain: string): void {
    this.#superseded.delete(domain);
    this.#candidates.delete(domain);
  }

  /** The version is on its way no more; that one was refused is still of interest. */
  forgetUnfinished(domain: string, hash: string): void {
    const candidate = this.#candidates.get(domain);
    const isRefused = candidate?.state === 'rejected' || candidate?.state === 'quarantined';
    if (candidate?.hash === hash && !isRefused) this.#candidates.delete(domain);
  }

  /** What of its database does not fit the version that serves any more; none when all of it does. */
  noteDegraded(domain: string, findings: readonly Finding[]): void {
    if (findings.length === 0) this.#degraded.delete(domain);
    else this.#degraded.set(domain, findings);
  }

  views(): readonly DomainView[] {
    const names = [...new Set([...this.#live.keys(), ...this.#candidates.keys(), ...this.#left.keys()])].sort();
    return names.map((domain) => {
      const live = this.#live.get(domain);
      const candidate = this.#candidates.get(domain) ?? this.#superseded.get(domain);
      const degraded = this.#degraded.get(domain);
      const left = this.#left.get(domain);
      return {
        domain,
        ...(live === undefined ? {} : { live }),
        ...(candidate === undefined ? {} : { candidate }),
        ...(degraded === undefined ? {} : { degraded }),
        ...(left === undefined ? {} : { left }),
      };
    });
  }
}
