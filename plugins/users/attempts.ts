import { createHash } from 'node:crypto';
import { refused, type CallTerms } from '@beds/sdk';
import type { definition } from './definition.js';

export type Database = CallTerms<typeof definition>['db'];

/** So many wrong passwords cost no time: of a name, and of a caller who may sign many people in. */
const FREE = { name: 5, caller: 30 } as const;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 900_000;
/** Without another attempt, what was is forgotten after this time. */
const FORGOTTEN_MS = 3_600_000;
const KEPT_MS = 86_400_000;
/** One in so many attempts removes what is old. */
const PURGE_ONE_IN = 64;
/** Others may count an attempt at the same name meanwhile. */
const ROUNDS = 3;

interface Attempts {
  readonly failures: number;
  readonly failed_at: number;
}

const NONE: Attempts = { failures: 0, failed_at: 0 };

/** Who tries whose password. */
export interface Trial {
  readonly nameKey: string;
  readonly client: string | undefined;
  readonly address: string | undefined;
}

function idOf(kind: keyof typeof FREE, text: string): string {
  return createHash('sha256').update(`${kind}\0${text}`).digest('hex');
}

/** Sign-ins that fail are slowed, for the name and for the caller; the store counts them, so that a restart forgets nothing. */
export class Attempt {
  readonly #db: Database;
  readonly #name: string;
  readonly #caller: string;

  constructor(db: Database, { nameKey, client = '', address = '' }: Trial) {
    this.#db = db;
    this.#name = idOf('name', nameKey);
    this.#caller = idOf('caller', `${client}\0${address}`);
  }

  /** Counts the attempt before it is made, so that many at once are not free. Throws where it comes too early. */
  async begin(now: number): Promise<void> {
    if (Math.random() * PURGE_ONE_IN < 1) await this.#db.attemptPurge({ before_at: now - KEPT_MS });
    for (let round = 0; round < ROUNDS; round += 1) {
      const { rows } = await this.#db.attempts({ where: { id: { in: [this.#name, this.#caller] } } });
      const ofName = rows.find(({ id }) => id === this.#name) ?? NONE;
      const ofCaller = rows.find(({ id }) => id === this.#caller) ?? NONE;
      const waitMs = Math.max(waitOf(ofName, FREE.name, now), waitOf(ofCaller, FREE.caller, now));
      if (waitMs > 0) throw tooMany(waitMs);
      const failures = (now - ofName.failed_at > FORGOTTEN_MS ? 0 : ofName.failures) + 1;
      if (await this.#take(ofName.failures, failures, now)) return;
    }
    throw tooMany(FIRST_WAIT_MS);
  }

  /**
   * Throws where its caller has failed too often since it began: what waits for its turn was let in before others of the same caller had
   * failed, and there may be many.
   */
  async mayStill(now: number): Promise<void> {
    const { rows } = await this.#db.attempts({ where: { id: this.#caller } });
    const waitMs = waitOf(rows[0] ?? NONE, FREE.caller, now);
    if (waitMs > 0) throw tooMany(waitMs);
  }

  async #take(seen: number, failures: number, now: number): Promise<boolean> {
    try {
      return (await this.#db.attemptTake({ id: this.#name, seen, failures, failed_at: now })).affected > 0;
    } catch (error) {
      // Another one has made the record of this name.
      if ((error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT') return false;
      throw error;
    }
  }

  async failed(now: number): Promise<void> {
    await this.#db.attemptAdd({ id: this.#caller, failed_at: now });
  }

  async succeeded(): Promise<void> {
    await this.#db.attemptClear({ id: this.#name });
  }
}

function waitOf({ failures, failed_at: failedAt }: Attempts, free: number, now: number): number {
  if (failures < free || now - failedAt > FORGOTTEN_MS) return 0;
  return failedAt + Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - free)) - now;
}

function tooMany(waitMs: number): Error {
  return refused(`Too many attempts. Try again in ${Math.ceil(waitMs / 1_000)} s.`);
}
