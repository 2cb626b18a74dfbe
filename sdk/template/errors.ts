/** Marks BEDS errors across bundles, each of which carries its own copy of this class. */
const MARK = Symbol.for('beds.error');

/** What the host does with a message whose handling ended in an error. */
export type Verdict = 'ack' | 'requeue' | 'reject';

/** The class of an error, for callers that treat classes alike. */
export type ErrorStatus =
  | 'invalid'
  | 'forbidden'
  | 'not-found'
  | 'conflict'
  | 'timeout'
  | 'overloaded'
  | 'unavailable'
  | 'indeterminate'
  | 'fault';

/** One row of the error catalogue. */
export interface ErrorSpec {
  /** What happened, in one sentence for a person. */
  readonly message: string;
  readonly status: ErrorStatus;
  /** Default 'ack': the caller is answered, the message is done. */
  readonly verdict?: Verdict;
  /** Whether the same request may succeed later. Default false. */
  readonly retryable?: boolean;
  /** What the reader should do next. */
  readonly action: string;
}

/** One thing that is wrong with an input: `message` reads on from the field (`must be a text`). Neither repeats a value. */
export interface Problem {
  /** A path: `payload.name`. Empty: the input as a whole. */
  readonly field: string;
  readonly message: string;
}

export interface ErrorDetails {
  /** The field of the input that is at fault, as a path: `payload.name`. Never its value. */
  readonly field?: string;
  /** All that is wrong with the input, `field` being that of the first. */
  readonly problems?: readonly Problem[];
  readonly hint?: string;
  readonly cause?: unknown;
  /** Overrides the catalogue where one occurrence differs. */
  readonly retryable?: boolean;
}

/** An error with a catalogued code. */
export class BedsError extends Error {
  readonly code: string;
  readonly status: ErrorStatus;
  readonly verdict: Verdict;
  readonly retryable: boolean;
  readonly field: string | undefined;
  readonly problems: readonly Problem[] | undefined;
  readonly hint: string | undefined;
  /** Which operation was called: `songs.count`. Only errors that a caller gets have it. */
  declare operation?: string;

  constructor(code: string, spec: ErrorSpec, details: ErrorDetails & { readonly message?: string } = {}) {
    super(details.message ?? spec.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'BedsError';
    this.code = code;
    this.status = spec.status;
    this.verdict = spec.verdict ?? 'ack';
    this.retryable = details.retryable ?? spec.retryable ?? false;
    this.field = details.field;
    this.problems = details.problems;
    this.hint = details.hint ?? spec.action;
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Problems that one error names; a caller that sent more has enough to correct, and for the others no words are looked for. */
export const MOST_PROBLEMS = 32;

/** The sentence and the details of an error that says all that is wrong with an input. `problems` has at least one. */
export function sayProblems(problems: readonly Problem[]): {
  readonly message: string;
  readonly details: ErrorDetails;
} {
  const named = problems.slice(0, MOST_PROBLEMS);
  const sentences = named.map(({ field, message }) => (field === '' ? message : `${field} ${message}`));
  const more = problems.length > named.length ? [`${problems.length - named.length} more`] : [];
  const field = named[0]?.field ?? '';
  return {
    message: `${[...sentences, ...more].join('; ')}.`,
    details: { problems: named, ...(field === '' ? {} : { field }) },
  };
}

/** Recognises a BEDS error of any copy of the SDK. Never throws: what was thrown may be a proxy. */
export function isBedsError(value: unknown): value is BedsError {
  try {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[MARK] === true;
  } catch {
    return false;
  }
}

/** A part of the catalogue, with a maker that accepts only its codes. */
export interface ErrorTable<Code extends string> {
  readonly specs: Readonly<Record<Code, ErrorSpec>>;
  /** Makes (does not throw) the error. `message` replaces the catalogue's sentence with a more exact one. */
  make(code: Code, message?: string, details?: ErrorDetails): BedsError;
}

/** Declares a part of the catalogue. Codes read `BEDS_<AREA>_<REASON>`. */
export function defineErrors<const Code extends `BEDS_${string}`>(
  specs: Readonly<Record<Code, ErrorSpec>>,
): ErrorTable<Code> {
  return {
    specs,
    make: (code, message, details = {}) =>
      new BedsError(code, specs[code], message === undefined ? details : { ...details, message }),
  };
}
