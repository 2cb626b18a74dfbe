import type { ServiceName, Services } from '../host/dev-servers/index.js';

/** What one slice of load, by one contender, came to. */
export interface Sample {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What is promised; every bound that is named must hold. */
export interface Target {
  readonly ratioAtLeast?: number;
  readonly ratioAtMost?: number;
  readonly valueAtLeast?: number;
  readonly valueAtMost?: number;
}

/** One figure: `subject` side by side with `against`, from interleaved rounds of one run. */
export interface Row {
  readonly question: string;
  readonly case: string;
  readonly subject: string;
  readonly against: string;
  readonly unit: string;
  /** Median of the rounds. */
  readonly value: number;
  readonly againstValue: number;
  /** Median of the rounds' ratios, each of two neighbouring slices. */
  readonly ratio: number;
  /** Lowest and highest ratio of a round. */
  readonly spread: readonly [lowest: number, highest: number];
  readonly target?: Target;
  readonly met?: boolean;
}

/** How much is measured. */
export interface Effort {
  /** Measured rounds of each pair, after one that is not. */
  readonly rounds: number;
  /** Length of one contender's slice of a round, in milliseconds. */
  readonly sliceMs: number;
  /** Messages that wait when `backlog` begins to take them. */
  readonly backlog: number;
}

/** What a question may use. */
export interface Bed {
  readonly services: Services;
  readonly effort: Effort;
  /** An empty folder of this question's own. */
  readonly folder: string;
  /** Where hosts write their CPU profiles; undefined: they write none. */
  readonly profiles: string | undefined;
  /** Whether packages may be installed for it. */
  readonly install: boolean;
  /** Ends with the bound of the question. */
  readonly signal: AbortSignal;
  readonly say: (words: string) => void;
  /** Says, in the result too, what is missing and why. */
  readonly leave: (what: string, why: string) => void;
  /** Registers what must be undone; the last comes first. */
  readonly atEnd: (undo: () => Promise<unknown>) => void;
}

/** One question about speed, answered by a file of questions/. */
export interface Question {
  readonly name: string;
  readonly words: string;
  readonly need: readonly ServiceName[];
  /** No step begins after so many milliseconds; for the default effort, and more for more. Every step has its own bound. */
  readonly longestMs: number;
  run(bed: Bed): Promise<readonly Row[]>;
}

/** Something that was not measured. */
export interface Left {
  readonly question: string;
  readonly what: string;
  readonly why: string;
}
