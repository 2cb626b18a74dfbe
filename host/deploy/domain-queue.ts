import { publishFault } from '../observe/channels.js';

interface Work {
  /** Over, or waiting for somebody outside of the host. */
  readonly decided: Promise<void>;
  readonly done: Promise<void>;
}

/** Work on a domain never overlaps: each piece begins after those before it, on any of its domains, are done. */
export class DomainQueue {
  readonly #last = new Map<string, Work>();

  has(domain: string): boolean {
    return this.#last.has(domain);
  }

  /** `waiting` resolves when the work waits for somebody outside, so that a start need not wait with it. */
  add(domains: readonly string[], work: () => Promise<void>, waiting: Promise<unknown> = never()): Promise<void> {
    const before = domains.flatMap((domain) => this.#last.get(domain)?.done ?? []);
    const done = Promise.all(before)
      .then(work)
      .catch((error: unknown) => {
        publishFault({ where: `rollout of ${domains.join(', ')}`, error, domain: domains[0] ?? '' });
      })
      .finally(() => {
        for (const domain of domains) {
          if (this.#last.get(domain)?.done === done) this.#last.delete(domain);
        }
      });
    const decided = Promise.race([done, waiting]).then(() => undefined);
    for (const domain of domains) this.#last.set(domain, { done, decided });
    return done;
  }

  /** Resolves when everything that is on its way, and what follows from it, is over or waits for somebody outside. */
  async decided(): Promise<void> {
    for (let seen: readonly Work[] = []; ;) {
      const now = [...this.#last.values()];
      if (now.every((work) => seen.includes(work))) return;
      await Promise.all(now.map(({ decided }) => decided));
      seen = now;
    }
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    while (this.#last.size > 0) await Promise.all([...this.#last.values()].map(({ done }) => done));
  }
}

function never(): Promise<never> {
  return new Promise<never>(() => undefined);
}
