import type { CallerCount } from '../../request/observations.js';
import type { Caller } from './contract.js';

const DAY_MS = 86_400_000;
const DAY = /^\d{4}-\d{2}-\d{2}$/;
/** Clients beyond a bound count under this name. */
const OTHERS = '*';

/** Days since 1970, UTC, with the calls of each. */
type CallsByDay = Map<number, number>;

interface CalledOperation {
  readonly domain: string;
  readonly operation: string;
  readonly clients: Map<string, CallsByDay>;
}

export interface TallyBounds {
  /** Days that are kept, the running one among them. */
  readonly days: number;
  readonly maxOperations: number;
  readonly maxClientsPerOperation: number;
  readonly maxClients: number;
}

/** Calls by operation, client and day, in memory; callers choose their names, so everything is bounded. */
export class CallerTally {
  readonly #bounds: TallyBounds;
  readonly #nowMs: () => number;
  readonly #operations = new Map<string, CalledOperation>();
  #sinceMs: number;
  #clientCount = 0;
  #prunedDay = -1;

  constructor(bounds: TallyBounds, nowMs: () => number) {
    this.#bounds = bounds;
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
  }

  /** False where the bound of operations left it uncounted. */
  add(count: CallerCount): boolean {
    this.#prune();
    return this.#count(count, this.#today());
  }

  callersOf(domain: string, operation: string): readonly Caller[] {
    this.#prune();
    const called = this.#operations.get(keyOf(domain, operation));
    if (called === undefined) return [];
    const elapsedDays = Math.max(1, this.#nowMs() / DAY_MS - firstDayOf(called));
    return [...called.clients]
      .map(([client, days]) => ({ client, callsPerDay: sum(days.values()) / elapsedDays }))
      .sort((a, b) => b.callsPerDay - a.callsPerDay || (a.client < b.client ? -1 : 1));
  }

  countedDays(): number {
    return Math.min(this.#bounds.days, Math.max(0, (this.#nowMs() - this.#sinceMs) / DAY_MS));
  }

  /** What `restore` reads. */
  toJSON(): unknown {
    this.#prune();
    const names = new Map<number, string>();
    const operations = [...this.#operations.values()].map(({ domain, operation, clients }) => ({
      domain,
      operation,
      clients: Object.fromEntries(
        [...clients].map(([client, days]) => [
          client,
          Object.fromEntries([...days].map(([day, calls]) => [nameOfDay(day, names), calls])),
        ]),
      ),
    }));
    return { v: 1, since: new Date(this.#sinceMs).toISOString(), operations };
  }

  /** Takes what `toJSON` gave; false, or a throw, where it is something else. */
  restore(value: unknown): boolean {
    const { v, since, operations } = value as Readonly<Record<string, unknown>>;
    const sinceMs = Date.parse(String(since));
    if (v !== 1 || Number.isNaN(sinceMs) || !Array.isArray(operations)) return false;
    this.#sinceMs = sinceMs;
    return operations.every((operation) => this.#restoreOperation(operation as Readonly<Record<string, unknown>>));
  }

  #restoreOperation({ domain, operation, clients }: Readonly<Record<string, unknown>>): boolean {
    if (typeof domain !== 'string' || typeof operation !== 'string') return false;
    return entriesOf(clients).every(([client, days]) =>
      entriesOf(days).every(([day, calls]) => {
        const isCount = DAY.test(day) && !Number.isNaN(Date.parse(day)) && Number.isFinite(calls);
        // n.b. a smaller bound than the file was written under drops operations; that is no damage.
        if (isCount) this.#count({ domain, operation, client, calls: calls as number }, Date.parse(day) / DAY_MS);
        return isCount;
      }),
    );
  }

  #count({ domain, operation, client, calls }: CallerCount, day: number): boolean {
    if (!(calls > 0)) return true;
    const key = keyOf(domain, operation);
    let called = this.#operations.get(key);
    if (called === undefined) {
      if (this.#operations.size >= this.#bounds.maxOperations) return false;
      called = { domain, operation, clients: new Map() };
      this.#operations.set(key, called);
    }
    const days = this.#daysOf(called.clients, client);
    days.set(day, (days.get(day) ?? 0) + calls);
    return true;
  }

  #daysOf(clients: Map<string, CallsByDay>, client: string): CallsByDay {
    const known = clients.get(client);
    if (known !== undefined) return known;
    const { maxClientsPerOperation, maxClients } = this.#bounds;
    const isFull = clients.size >= maxClientsPerOperation || this.#clientCount >= maxClients;
    if (isFull && client !== OTHERS) return this.#daysOf(clients, OTHERS);
    const days: CallsByDay = new Map();
    clients.set(client, days);
    this.#clientCount += 1;
    return days;
  }

  #today(): number {
    return Math.floor(this.#nowMs() / DAY_MS);
  }

  /** Does something once a day. */
  #prune(): void {
    const today = this.#today();
    if (today === this.#prunedDay) return;
    this.#prunedDay = today;
    for (const [key, { clients }] of this.#operations) {
      for (const [client, days] of clients) {
        this.#pruneDays(days, today);
        if (days.size === 0 && clients.delete(client)) this.#clientCount -= 1;
      }
      if (clients.size === 0) this.#operations.delete(key);
    }
  }

  /** Days to come are of a clock that was wrong; tomorrow may be of one that was set back a little. */
  #pruneDays(days: CallsByDay, today: number): void {
    for (const day of days.keys()) {
      if (day <= today - this.#bounds.days || day > today + 1) days.delete(day);
    }
  }
}

function keyOf(domain: string, operation: string): string {
  return JSON.stringify([domain, operation]);
}

/** ISO 8601; `names` holds what was made before, of which there are few. */
function nameOfDay(day: number, names: Map<number, string>): string {
  const known = names.get(day);
  if (known !== undefined) return known;
  const name = new Date(day * DAY_MS).toISOString().slice(0, 10);
  names.set(day, name);
  return name;
}

function firstDayOf({ clients }: CalledOperation): number {
  let first = Infinity;
  for (const days of clients.values()) for (const day of days.keys()) first = Math.min(first, day);
  return first;
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const value of numbers) total += value;
  return total;
}

/** Throws where `value` has no members. */
function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  return Object.entries(value as object);
}
