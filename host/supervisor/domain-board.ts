import type { Finding } from '../generation/contract.js';
import type { LifecycleState } from '../generation/lifecycle.js';

/** A version as a person wants to see it. */
export interface VersionView {
  readonly version: string;
  readonly hash: string;
  readonly state: LifecycleState;
  /** ISO 8601 instant of the last change of state. */
  readonly since: string;
  readonly generation?: number;
  /** Why it was refused, or what it waits for. */
  readonly findings?: readonly Finding[];
}

/** What is known of one domain: the version that serves, and the newest one that does not (yet). */
export interface DomainView {
  readonly domain: string;
  readonly live?: VersionView;
  readonly candidate?: VersionView;
}

/** Which version of which domain is live, and why one is not. */
export class DomainBoard {
  readonly #live = new Map<string, VersionView>();
  readonly #candidates = new Map<string, VersionView>();

  /** Takes note of a change of state of a version. */
  note(domain: string, view: Omit<VersionView, 'since'>): void {
    const entry: VersionView = { ...view, since: new Date().toISOString() };
    const live = this.#live.get(domain);
    if (view.state === 'active') {
      this.#live.set(domain, entry);
      if (this.#candidates.get(domain)?.hash === view.hash) this.#candidates.delete(domain);
    } else if (view.state === 'draining' || view.state === 'retired') {
      if (live?.hash === view.hash && view.state === 'retired') this.#live.delete(domain);
      else if (live?.hash === view.hash) this.#live.set(domain, { ...live, state: view.state });
    } else {
      this.#candidates.set(domain, entry);
    }
  }

  /** The refused or unfinished version is of no interest any more. */
  forgetCandidate(domain: string): void {
    this.#candidates.delete(domain);
  }

  views(): readonly DomainView[] {
    const names = [...new Set([...this.#live.keys(), ...this.#candidates.keys()])].sort();
    return names.map((domain) => {
      const live = this.#live.get(domain);
      const candidate = this.#candidates.get(domain);
      return {
        domain,
        ...(live === undefined ? {} : { live }),
        ...(candidate === undefined ? {} : { candidate }),
      };
    });
  }
}
