import { join } from 'node:path';
import { z } from 'zod';
import type { Finding } from '../template/contract.js';
import { makeFinding } from '../template/make-finding.js';
import type { QuarantineView } from '../admin/contract.js';
import { StateFile } from './state-file.js';

/** Bytes that are blamed. */
export interface Accused {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
}

export interface StrikeLimit {
  readonly maxStrikes: number;
  readonly strikePeriodMs: number;
}

const view = z.object({
  domain: z.string(),
  version: z.string(),
  hash: z.string(),
  since: z.string(),
  code: z.string(),
  message: z.string(),
});
const strike = z.object({ atMs: z.number(), reason: z.string() });
const schema = z.object({
  v: z.literal(1),
  quarantined: z.array(view),
  strikes: z.record(z.string(), z.array(strike)),
});
type State = z.output<typeof schema>;

/** The oldest go: nobody drops them again, and the file is written whole. */
const MAX_QUARANTINED = 1_000;
/** Whole stack traces are in the log. */
const MAX_REASON_LENGTH = 200;

/** How the reason of a strike begins that is for faults which no request ended with. */
export const STRAYS = 'stray faults';

/** Which bytes did harm, over restarts: strikes against them, and those that are refused for it. */
export class Quarantine {
  readonly #file: StateFile<State>;
  readonly #limit: StrikeLimit;

  private constructor(file: StateFile<State>, limit: StrikeLimit) {
    this.#file = file;
    this.#limit = limit;
  }

  static async open(directory: string, limit: StrikeLimit): Promise<Quarantine> {
    const parse = (value: unknown): State | undefined => schema.safeParse(value).data;
    const path = join(directory, 'quarantine.json');
    return new Quarantine(await StateFile.open<State>(path, parse, { v: 1, quarantined: [], strikes: {} }), limit);
  }

  get views(): readonly QuarantineView[] {
    return this.#file.value.quarantined;
  }

  /** Why these bytes are refused; undefined: they are not. */
  reason(hash: string): Finding | undefined {
    const entry = this.#file.value.quarantined.find((candidate) => candidate.hash === hash);
    if (entry === undefined) return undefined;
    const words = `These bytes are in quarantine since ${entry.since} (${entry.code}): ${entry.message}`;
    return makeFinding('BEDS_ROLLOUT_QUARANTINED', words);
  }

  /** Strikes within the period. */
  strikes(hash: string, nowMs = Date.now()): readonly { readonly atMs: number; readonly reason: string }[] {
    const { strikes } = this.#file.value;
    const all = Object.hasOwn(strikes, hash) ? (strikes[hash] ?? []) : [];
    return all.filter(({ atMs }) => nowMs - atMs < this.#limit.strikePeriodMs);
  }

  /** Counts a harm that these bytes did. Returns the finding that quarantines them when it was one too many. */
  strike({ hash }: Accused, reason: string, nowMs = Date.now()): Finding | undefined {
    const [firstLine = ''] = reason.split('\n');
    const counted = [...this.strikes(hash, nowMs), { atMs: nowMs, reason: firstLine.slice(0, MAX_REASON_LENGTH) }];
    const state = this.#file.value;
    this.#file.set({ ...state, strikes: { ...this.#current(nowMs), [hash]: counted } });
    if (counted.length < this.#limit.maxStrikes || this.reason(hash) !== undefined) return undefined;
    const reasons = [...new Set(counted.map((one) => one.reason))].join('; ');
    return makeFinding('BEDS_ROLLOUT_STRIKES', `It did harm ${String(counted.length)} times: ${reasons}`);
  }

  add({ domain, version, hash }: Accused, { code, message }: Finding): void {
    const state = this.#file.value;
    const others = state.quarantined.filter((entry) => entry.hash !== hash);
    const since = new Date().toISOString();
    const quarantined = [...others, { domain, version, hash, since, code, message }].slice(-MAX_QUARANTINED);
    this.#file.set({ ...state, quarantined });
  }

  /** Allows bytes again: by their hash or its beginning, or all of a domain. Returns what was lifted. */
  lift(name: string): readonly QuarantineView[] {
    const state = this.#file.value;
    const lifted = state.quarantined.filter(({ hash, domain }) => domain === name || isBeginning(name, hash));
    if (lifted.length === 0) return [];
    const hashes = new Set(lifted.map(({ hash }) => hash));
    this.#file.set({
      ...state,
      quarantined: state.quarantined.filter(({ hash }) => !hashes.has(hash)),
      strikes: Object.fromEntries(Object.entries(state.strikes).filter(([hash]) => !hashes.has(hash))),
    });
    return lifted;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** Strikes that still count, so that the file does not grow with every version there ever was. */
  #current(nowMs: number): State['strikes'] {
    const { strikes } = this.#file.value;
    return Object.fromEntries(
      Object.keys(strikes).flatMap((hash) => {
        const counted = this.strikes(hash, nowMs);
        return counted.length === 0 ? [] : [[hash, [...counted]]];
      }),
    );
  }
}

function isBeginning(name: string, hash: string): boolean {
  return name.length >= 6 && hash.startsWith(name);
}
