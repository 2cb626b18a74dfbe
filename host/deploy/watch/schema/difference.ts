import type { ObjectFinding } from '../../../stores/contract.js';

/** One thing about a named object that is not as it was. */
export interface ObjectDifference {
  /** One sentence part for a person: `routine note_create: parameter text is varchar(50), was varchar(200)`. */
  readonly line: string;
  /** What the preflight calls it where the template cannot live with it. */
  readonly refusedAs: ObjectFinding['code'];
  /** The parameter, the column or the words by which a finding of the preflight is about the same; empty for the object. */
  readonly part: string;
}

/** Those of a list that the other does not have; anything that is no list has none. */
export function newTexts(was: unknown, is: unknown): readonly string[] {
  const before: readonly unknown[] = Array.isArray(was) ? was : [];
  return Array.isArray(is)
    ? is.filter((text): text is string => typeof text === 'string' && !before.includes(text))
    : [];
}
