import type { CallerCount } from './observations.js';

/** A client may call itself anything, so names are kept up to a bound. */
const MAX_CLIENTS = 1_000;

/** Stands for the clients beyond the bound. */
const THE_REST = '*';

/** Counts the calls of one operation by client. */
export class Callers {
  readonly #clients = new Map<string, { calls: number }>();

  count(client: string): void {
    const entry = this.#clients.get(client) ?? this.#open(client);
    entry.calls += 1;
  }

  /** Calls since the last time. Clients that did not call meanwhile make room for others. */
  take(): readonly Pick<CallerCount, 'client' | 'calls'>[] {
    const taken: Pick<CallerCount, 'client' | 'calls'>[] = [];
    for (const [client, entry] of this.#clients) {
      if (entry.calls === 0) this.#clients.delete(client);
      else taken.push({ client, calls: entry.calls });
      entry.calls = 0;
    }
    return taken;
  }

  #open(client: string): { calls: number } {
    const name = this.#clients.size < MAX_CLIENTS ? client : THE_REST;
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const entry = { calls: 0 };
    this.#clients.set(name, entry);
    return entry;
  }
}

/** Who calls what in this thread. Versions of a domain that follow each other count in the same place. */
export class CallerBook {
  readonly #domains = new Map<string, Map<string, Callers>>();

  of(domain: string, operation: string): Callers {
    let operations = this.#domains.get(domain);
    if (operations === undefined) this.#domains.set(domain, (operations = new Map<string, Callers>()));
    let callers = operations.get(operation);
    if (callers === undefined) operations.set(operation, (callers = new Callers()));
    return callers;
  }

  /** Calls since the last time. */
  take(): readonly CallerCount[] {
    return [...this.#domains].flatMap(([domain, operations]) =>
      [...operations].flatMap(([operation, callers]) =>
        callers.take().map(({ client, calls }) => ({ domain, operation, client, calls })),
      ),
    );
  }
}
