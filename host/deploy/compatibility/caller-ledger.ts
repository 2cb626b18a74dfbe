import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { rolloutErrors } from '../../errors/rollout.js';
import { publishFault } from '../../observe/channels.js';
import type { CallerCount } from '../../request/observations.js';
import { StateFile } from '../state-file.js';
import type { Caller, CallerLedger } from './gate.js';

const FILE = 'callers.json';
const WRITE_EVERY_MS = 30_000;
const MAX_OPERATIONS = 10_000;
const MAX_CLIENTS_PER_OPERATION = 1_000;
/** Of all operations: bounds the file, which is written whole, and the time for which that holds up the supervisor. */
const MAX_CLIENTS = 20_000;

export interface CallerLedgerOptions extends Partial<Omit<TallyBounds, 'days'>> {
  /** `state.directory`. */
  readonly directory: string;
  /** Days that are kept, UTC, the running one among them. */
  readonly days: number;
  /** Longest time that what was added stays in memory only. Default 30 000. */
  readonly writeEveryMs?: number;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly nowMs?: () => number;
}

/**
 * Opens the count of who called what, `callers.json` in the state directory. Never rejects: a damaged file is set aside, a
 * directory that cannot be written leaves the count in memory, and both are faults on the diagnostics channel.
 */
export async function openCallerLedger(options: CallerLedgerOptions): Promise<CallerLedger> {
  const { directory, days, nowMs = Date.now, writeEveryMs = WRITE_EVERY_MS } = options;
  const bounds = {
    days,
    maxOperations: options.maxOperations ?? MAX_OPERATIONS,
    maxClientsPerOperation: options.maxClientsPerOperation ?? MAX_CLIENTS_PER_OPERATION,
    maxClients: options.maxClients ?? MAX_CLIENTS,
  };
  const parse = (value: unknown): CallerTally | undefined => {
    const tally = new CallerTally(bounds, nowMs);
    return tally.restore(value) ? tally : undefined;
  };
  // Writing says what is wrong with the directory.
  await mkdir(directory, { recursive: true }).catch(() => undefined);
  const file = await StateFile.open(join(directory, FILE), parse, new CallerTally(bounds, nowMs));
  return new FileLedger(file, writeEveryMs);
}

class FileLedger implements CallerLedger {
  readonly #file: StateFile<CallerTally>;
  readonly #writeEveryMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isFull = false;
  #closed: Promise<void> | undefined;

  constructor(file: StateFile<CallerTally>, writeEveryMs: number) {
    this.#file = file;
    this.#writeEveryMs = writeEveryMs;
    // Also a count of nobody's calls says since when nobody called.
    this.#writeLater();
  }

  add(counts: readonly CallerCount[]): void {
    if (this.#closed !== undefined || counts.length === 0) return;
    const uncounted = counts.filter((count) => !this.#file.value.add(count));
    if (uncounted.length > 0) this.#reportFull();
    this.#writeLater();
  }

  callersOf(domain: string, operation: string): readonly Caller[] {
    return this.#file.value.callersOf(domain, operation);
  }

  countedDays(): number {
    return this.#file.value.countedDays();
  }

  flush(): Promise<void> {
    if (this.#timer !== undefined) this.#write();
    return this.#closed ?? this.#file.close();
  }

  close(): Promise<void> {
    if (this.#closed === undefined) {
      // Once more in any case: an earlier write may have failed.
      this.#write();
      this.#closed = this.#file.close();
    }
    return this.#closed;
  }

  #writeLater(): void {
    this.#timer ??= setTimeout(() => this.#write(), this.#writeEveryMs).unref();
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#file.set(this.#file.value);
  }

  /** Once: the operations stay too many until days go. */
  #reportFull(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    publishFault({ where: 'count of callers', error: rolloutErrors.make('BEDS_ROLLOUT_CALLERS_FULL') });
  }
}

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
class CallerTally {
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
