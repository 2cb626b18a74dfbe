import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rolloutErrors } from '../../errors/rollout.js';
import { publishFault } from '../../observe/channels.js';
import type { CallerCount } from '../../request/observations.js';

const FOLDER = 'callers';
const DAY_FILE = /^(\d{4}-\d{2}-\d{2})\.jsonl$/;
const DAY_MS = 86_400_000;
const WRITE_EVERY_MS = 30_000;
const MAX_OPERATIONS = 10_000;
const MAX_CLIENTS_PER_OPERATION = 1_000;
/** Of all operations: bounds the memory, and the size of a day's file. */
const MAX_CLIENTS = 20_000;
/** A day's file is folded when it has this many lines more than twice what it says. */
const SLACK_LINES = 1_000;
/** Clients beyond a bound count under this name. */
const OTHERS = '*';

export interface CallerLedgerOptions {
  /** `state.directory`. */
  readonly directory: string;
  /** Days that are kept, UTC, the running one among them. */
  readonly days: number;
  readonly maxOperations?: number;
  readonly maxClientsPerOperation?: number;
  readonly maxClients?: number;
  /** Longest time that what was added stays in memory only. Default 30 000. */
  readonly writeEveryMs?: number;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly nowMs?: () => number;
}

/** How often a client calls an operation. */
export interface Caller {
  /** Empty where the callers named none, `*` for those beyond the bound of clients. */
  readonly client: string;
  readonly callsPerDay: number;
}

interface Day {
  /** Calls by domain, operation and client. */
  readonly counts: Map<string, CallerCount>;
  /** The part of them that is not on disk. */
  unwritten: CallerCount[];
  /** Lines of its file: 0 while there is none, infinite where the file has to be written anew. */
  lines: number;
}

/**
 * Opens the count of who called what. A damaged day is set aside, a directory that cannot be written leaves the count in
 * memory, and both are faults on the diagnostics channel. Throws BEDS_ROLLOUT_STATE_UNREADABLE.
 */
export async function openCallerLedger(options: CallerLedgerOptions): Promise<CallerLedger> {
  const ledger = new CallerLedger(options);
  await ledger.load();
  return ledger;
}

/**
 * Who called what, by day. A day is a file, `callers/<day>.jsonl`: its first line says since when callers are counted, each
 * further line is added to the count. Callers choose their names, so everything is bounded.
 */
export class CallerLedger {
  readonly #options: Required<CallerLedgerOptions>;
  readonly #directory: string;
  /** By days since 1970, UTC. */
  readonly #days = new Map<number, Day>();
  /** Clients by operation, of all days. */
  readonly #clients = new Map<string, Set<string>>();
  #clientCount = 0;
  #sinceMs: number;
  #prunedDay = -1;
  /** Days that are no longer kept and whose files are still there. */
  readonly #stale: number[] = [];
  #isFull = false;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: CallerLedgerOptions) {
    this.#options = {
      maxOperations: MAX_OPERATIONS,
      maxClientsPerOperation: MAX_CLIENTS_PER_OPERATION,
      maxClients: MAX_CLIENTS,
      writeEveryMs: WRITE_EVERY_MS,
      nowMs: Date.now,
      ...options,
    };
    this.#directory = join(options.directory, FOLDER);
    this.#sinceMs = this.#options.nowMs();
  }

  /** Reads what is on disk; once, before anything is added. */
  async load(): Promise<void> {
    const names = await readdir(this.#directory).catch((error: unknown) => unreadable(this.#directory, error, []));
    for (const name of names.sort()) {
      const day = Date.parse(DAY_FILE.exec(name)?.[1] ?? '') / DAY_MS;
      if (!Number.isNaN(day)) await this.#loadDay(day);
    }
    // Also a count of nobody's calls says since when nobody called.
    this.#writeLater();
  }

  add(counts: readonly CallerCount[]): void {
    if (this.#closed !== undefined || counts.length === 0) return;
    this.#prune();
    const day = this.#day(this.#today());
    for (const count of counts) {
      const counted = this.#count(day, count);
      if (counted === undefined) this.#reportFull();
      else day.unwritten.push(counted);
    }
    this.#writeLater();
  }

  /**
   * Clients of an operation, busiest first. Per day means: over the days from the first kept one on which the operation was
   * called until now (the running day counts as its part), and over one day where that is less.
   */
  callersOf(domain: string, operation: string): readonly Caller[] {
    this.#prune();
    const calls = new Map<string, number>();
    let firstDay = Infinity;
    for (const [day, { counts }] of this.#days) {
      for (const client of this.#clients.get(keyOf(domain, operation)) ?? []) {
        const count = counts.get(keyOf(domain, operation, client));
        if (count === undefined) continue;
        firstDay = Math.min(firstDay, day);
        calls.set(client, (calls.get(client) ?? 0) + count.calls);
      }
    }
    const elapsedDays = Math.max(1, this.#options.nowMs() / DAY_MS - firstDay);
    return [...calls]
      .map(([client, sum]) => ({ client, callsPerDay: sum / elapsedDays }))
      .sort((a, b) => b.callsPerDay - a.callsPerDay || (a.client < b.client ? -1 : 1));
  }

  /** The same for all operations of a domain, each client with what it called. */
  callersOfDomain(domain: string): readonly (Caller & { readonly operation: string })[] {
    return [...this.#clients.keys()]
      .map((key) => JSON.parse(key) as readonly [string, string])
      .filter(([of]) => of === domain)
      .flatMap(([, operation]) => this.callersOf(domain, operation).map((caller) => ({ operation, ...caller })))
      .sort((a, b) => b.callsPerDay - a.callsPerDay);
  }

  /** Who calls each domain, busiest first, over the days that are kept; the first `most` of each. */
  clientsByDomain(most: number): ReadonlyMap<string, readonly string[]> {
    this.#prune();
    const sums = new Map<string, Map<string, number>>();
    for (const { counts } of this.#days.values()) {
      for (const { domain, client, calls } of counts.values()) {
        const ofDomain = sums.get(domain) ?? new Map<string, number>();
        sums.set(domain, ofDomain.set(client, (ofDomain.get(client) ?? 0) + calls));
      }
    }
    const busiest = (clients: ReadonlyMap<string, number>): readonly string[] =>
      [...clients]
        .sort(([a, some], [b, others]) => others - some || (a < b ? -1 : 1))
        .slice(0, most)
        .map(([client]) => client);
    return new Map([...sums].map(([domain, clients]) => [domain, busiest(clients)]));
  }

  /** Days that the count covers, as a fraction; at most the days that are kept. */
  countedDays(): number {
    const { days, nowMs } = this.#options;
    return Math.min(days, Math.max(0, (nowMs() - this.#sinceMs) / DAY_MS));
  }

  /** Writes what is new; resolves when it is on disk. Never rejects: a failure is a fault on the diagnostics channel. */
  flush(): Promise<void> {
    if (this.#timer !== undefined) this.#write();
    return this.#writing;
  }

  /** Writes what is new; what is added afterwards is not counted. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      // Once more in any case: an earlier write may have failed.
      this.#write();
      this.#closed = this.#writing;
    }
    return this.#closed;
  }

  async #loadDay(day: number): Promise<void> {
    const path = this.#pathOf(day);
    const text = await readFile(path, 'utf8').catch((error: unknown) => unreadable(path, error, ''));
    const [since, ...lines] = text.split('\n');
    // n.b. a host that is killed leaves a part of a line.
    const torn = lines.pop();
    if (torn === undefined) return;
    const sinceMs = Date.parse(since ?? '');
    const counts = lines.flatMap(parseCount);
    if (Number.isNaN(sinceMs) || counts.length < lines.length) return setAside(path);
    this.#sinceMs = Math.min(this.#sinceMs, sinceMs);
    const into = this.#day(day);
    into.lines = torn === '' ? lines.length + 1 : Infinity;
    // A smaller bound than the file was written under drops operations; that is no damage.
    for (const count of counts) this.#count(into, count);
  }

  /** What was counted, perhaps under another client's name; undefined where the bound of operations leaves it uncounted. */
  #count({ counts }: Day, count: CallerCount): CallerCount | undefined {
    const { maxOperations, maxClientsPerOperation, maxClients } = this.#options;
    const clients = this.#clients.get(keyOf(count.domain, count.operation));
    if (clients === undefined && this.#clients.size >= maxOperations) return undefined;
    const isFull = (clients?.size ?? 0) >= maxClientsPerOperation || this.#clientCount >= maxClients;
    const client = isFull && clients?.has(count.client) !== true ? OTHERS : count.client;
    this.#know({ ...count, client });
    const key = keyOf(count.domain, count.operation, client);
    counts.set(key, { ...count, client, calls: (counts.get(key)?.calls ?? 0) + count.calls });
    return { ...count, client };
  }

  #know({ domain, operation, client }: CallerCount): void {
    const key = keyOf(domain, operation);
    const clients = this.#clients.get(key) ?? new Set();
    this.#clients.set(key, clients);
    if (!clients.has(client)) this.#clientCount += 1;
    clients.add(client);
  }

  #day(day: number): Day {
    const known = this.#days.get(day);
    if (known !== undefined) return known;
    const made: Day = { counts: new Map(), unwritten: [], lines: 0 };
    this.#days.set(day, made);
    return made;
  }

  #today(): number {
    return Math.floor(this.#options.nowMs() / DAY_MS);
  }

  /** Does something once a day. Days to come are of a clock that was wrong; tomorrow may be of one that was set back a little. */
  #prune(): void {
    const today = this.#today();
    if (today === this.#prunedDay) return;
    this.#prunedDay = today;
    const stale = [...this.#days.keys()].filter((day) => day <= today - this.#options.days || day > today + 1);
    for (const day of stale) this.#days.delete(day);
    this.#stale.push(...stale);
    this.#clients.clear();
    this.#clientCount = 0;
    for (const { counts } of this.#days.values()) for (const count of counts.values()) this.#know(count);
  }

  #writeLater(): void {
    this.#timer ??= setTimeout(() => this.#write(), this.#options.writeEveryMs).unref();
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(async () => this.#writeDays()).catch(reportUnwritable);
  }

  async #writeDays(): Promise<void> {
    this.#prune();
    this.#day(this.#today());
    await mkdir(this.#directory, { recursive: true });
    for (const [day, state] of this.#days) await this.#writeDay(day, state);
    for (const day of this.#stale.splice(0)) await rm(this.#pathOf(day), { force: true });
  }

  async #writeDay(day: number, state: Day): Promise<void> {
    const { counts, unwritten, lines } = state;
    const isWhole = lines > 0 && lines < Infinity;
    if (isWhole && unwritten.length === 0) return;
    const isAppended = isWhole && lines + unwritten.length <= 2 * counts.size + SLACK_LINES;
    const added = isAppended ? unwritten : [...counts.values()];
    const text = added
      .map((each) => `${JSON.stringify([each.domain, each.operation, each.client, each.calls])}\n`)
      .join('');
    state.unwritten = [];
    // Where it fails, nobody knows how much of it was written.
    state.lines = Infinity;
    if (isAppended) await appendFile(this.#pathOf(day), text, { flush: true });
    else await replaceFile(this.#pathOf(day), `${new Date(this.#sinceMs).toISOString()}\n${text}`);
    state.lines = added.length + (isAppended ? lines : 1);
  }

  #pathOf(day: number): string {
    return join(this.#directory, `${new Date(day * DAY_MS).toISOString().slice(0, 10)}.jsonl`);
  }

  /** Once: the operations stay too many until days go. */
  #reportFull(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    publishFault({ where: 'count of callers', error: rolloutErrors.make('BEDS_ROLLOUT_CALLERS_FULL') });
  }
}

function keyOf(...names: readonly string[]): string {
  return JSON.stringify(names);
}

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.draft`, text, { mode: 0o600, flush: true });
  await rename(`${path}.draft`, path);
}

/** Empty where the line is none of ours. */
function parseCount(line: string): CallerCount[] {
  try {
    const [domain, operation, client, calls] = JSON.parse(line) as readonly unknown[];
    const isNamed = typeof domain === 'string' && typeof operation === 'string' && typeof client === 'string';
    return isNamed && typeof calls === 'number' ? [{ domain, operation, client, calls }] : [];
  } catch {
    return [];
  }
}

async function setAside(path: string): Promise<void> {
  const aside = `${path}.damaged-${String(Date.now())}`;
  await rename(path, aside).catch(() => undefined);
  const words = `It is kept as ${aside}; the callers of that day are counted anew.`;
  publishFault({ where: 'count of callers', error: rolloutErrors.make('BEDS_ROLLOUT_STATE_UNREADABLE', words) });
}

function unreadable<T>(path: string, cause: unknown, otherwise: T): T {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return otherwise;
  throw rolloutErrors.make('BEDS_ROLLOUT_STATE_UNREADABLE', `${path} could not be read.`, { cause });
}

function reportUnwritable(cause: unknown): void {
  const error = rolloutErrors.make('BEDS_ROLLOUT_STATE_UNWRITABLE', undefined, { cause });
  publishFault({ where: 'count of callers', error });
}
