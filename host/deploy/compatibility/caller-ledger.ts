import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallerCount } from '../../request/observations.js';
import { rolloutErrors } from '../../errors/rollout.js';
import { publishFault } from '../../observe/channels.js';
import { StateFile } from '../state-file.js';
import { CallerTally, type TallyBounds } from './caller-tally.js';
import type { Caller, CallerLedger } from './contract.js';

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
