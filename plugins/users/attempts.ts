import { createHash } from 'node:crypto';
import { refused, type CallTerms } from '@beds/sdk';
import type { definition } from './definition.js';
import { networkOf } from './network.js';

export type Database = CallTerms<typeof definition>['db'];

/** So many wrong passwords, and resets that are asked for, cost no time: of a name, and of a caller who may speak for many people. */
const FREE = {
  signIn: { name: 5, caller: 30 },
  reset: { name: 3, caller: 100 },
} as const;
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

/** n.b. who signs in and who asks for a reset are counted apart: neither is in the other's way. */
const KINDS = {
  signIn: { name: 'name', caller: 'caller' },
  reset: { name: 'reset of name', caller: 'reset of caller' },
} as const;

function idOf(kind: string, text: string): string {
  return createHash('sha256').update(`${kind}\0${text}`).digest('hex');
}

/**
 * Sign-ins that fail are slowed, for the name and for the caller, and so are resets that are asked for; the store counts them, so that a
 * restart forgets nothing.
 */
export class Attempt {
  readonly #db: Database;
  readonly #free: (typeof FREE)[keyof typeof FREE];
  readonly #name: string;
  readonly #caller: string;
  #isCallerForgotten = false;

  constructor(db: Database, { nameKey, client = '', address = '' }: Trial, what: keyof typeof FREE = 'signIn') {
    this.#db = db;
    this.#free = FREE[what];
    this.#name = idOf(KINDS[what].name, nameKey);
    this.#caller = idOf(KINDS[what].caller, `${client}\0${networkOf(address)}`);
  }

  /** Counts the attempt before it is made, so that many at once are not free. Throws where it comes too early. */
  async begin(now: number): Promise<void> {
    const waitMs = await this.waitBefore(now);
    if (waitMs > 0) throw tooMany(waitMs);
  }

  /** The same, but gives how long has to be waited before it; 0: it was counted. */
  async waitBefore(now: number): Promise<number> {
    if (Math.random() * PURGE_ONE_IN < 1) await this.#db.attemptPurge({ before_at: now - KEPT_MS });
    for (let round = 0; round < ROUNDS; round += 1) {
      const { rows } = await this.#db.attempts({ where: { id: { in: [this.#name, this.#caller] } } });
      const ofName = rows.find(({ id }) => id === this.#name) ?? NONE;
      const ofCaller = rows.find(({ id }) => id === this.#caller) ?? NONE;
      this.#isCallerForgotten = ofCaller.failures > 0 && isForgotten(ofCaller, now);
      const waitMs = Math.max(waitOf(ofName, this.#free.name, now), waitOf(ofCaller, this.#free.caller, now));
      if (waitMs > 0) return waitMs;
      const failures = (isForgotten(ofName, now) ? 0 : ofName.failures) + 1;
      if (await this.#take(ofName.failures, failures, now)) return 0;
    }
    return FIRST_WAIT_MS;
  }

  /**
   * Throws where its caller has failed too often since it began: what waits for its turn was let in before others of the same caller had
   * failed, and there may be many.
   */
  async mayStill(now: number): Promise<void> {
    const { rows } = await this.#db.attempts({ where: { id: this.#caller } });
    const waitMs = waitOf(rows[0] ?? NONE, this.#free.caller, now);
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
    if (this.#isCallerForgotten) await this.#db.attemptClear({ id: this.#caller });
    await this.#db.attemptAdd({ id: this.#caller, failed_at: now });
  }

  async succeeded(): Promise<void> {
    await this.#db.attemptClear({ id: this.#name });
  }
}

function isForgotten({ failed_at: failedAt }: Attempts, now: number): boolean {
  return now - failedAt > FORGOTTEN_MS;
}

function waitOf(attempts: Attempts, free: number, now: number): number {
  const { failures, failed_at: failedAt } = attempts;
  if (failures < free || isForgotten(attempts, now)) return 0;
  return failedAt + Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - free)) - now;
}

function tooMany(waitMs: number): Error {
  return refused(`Too many attempts. Try again in ${Math.ceil(waitMs / 1_000)} s.`);
}
