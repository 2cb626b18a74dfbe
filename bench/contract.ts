import type { ServiceName, Services } from '../host/dev-servers/index.js';

/** The result of one slice of load by one contender. */
export interface Sample {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What is promised. Every bound that is given must hold. */
export interface Target {
  readonly ratioAtLeast?: number;
  readonly ratioAtMost?: number;
  readonly valueAtLeast?: number;
  readonly valueAtMost?: number;
}

/** One figure: `subject` side by side with `against`, from interleaved rounds of one run. */
export interface Row {
  readonly scenario: string;
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
  /** As little of everything as shows that it runs: nobody warms up, with fewer hosts, domains and requests. The figures say nothing then. */
  readonly isSmoke: boolean;
}

/** What a scenario may use. */
export interface BenchContext {
  readonly services: Services;
  readonly effort: Effort;
  /** An empty folder of this scenario's own. */
  readonly folder: string;
  /** Where hosts write their CPU profiles; undefined: they write none. */
  readonly profiles: string | undefined;
  /** Whether packages may be installed for it. */
  readonly install: boolean;
  /** Aborts when the time limit of the scenario is reached. */
  readonly signal: AbortSignal;
  readonly say: (words: string) => void;
  /** Records in the output and the result file what was skipped, and why. */
  readonly skip: (what: string, why: string) => void;
  /** Registers what must be undone; the last comes first. */
  readonly atEnd: (undo: () => Promise<unknown>) => void;
}

/** One thing that is measured; a file of scenarios/. */
export interface Scenario {
  readonly name: string;
  readonly description: string;
  readonly need: readonly ServiceName[];
  /** No step begins after this time. Grows with the effort; every step has a limit of its own. */
  readonly timeLimitMs: number;
  run(context: BenchContext): Promise<readonly Row[]>;
}

/** Something that was not measured. */
export interface Skipped {
  readonly scenario: string;
  readonly what: string;
  readonly why: string;
}
