import type { ValueDescription, ValueType } from '@beds/sdk';
import { compareBounds, type ValuePair } from './compare-bounds.js';
import { breaking, compatible, namesOfBoth, own, type Difference } from './difference.js';

type Values = Readonly<Record<string, ValueDescription>>;

/**
 * Compares the columns of a view: what `next` gives must suit a reader of `live`, and his conditions must still be
 * understood. Whether a column is optional says nothing: columns of rows may always be null.
 */
export function compareColumns(live: Values, next: Values): readonly Difference[] {
  return namesOfBoth(live, next).flatMap((name) => {
    const what = `result column ${name}`;
    const before = own(live, name);
    const after = own(next, name);
    if (after === undefined) return [breaking(`${what} is gone`)];
    if (before === undefined) return [compatible(`${what} was added`)];
    const pair = { what, live: before, next: after };
    return [...compareTypes(pair), ...compareBounds(pair, 'looser')];
  });
}

function compareTypes({ what, live, next }: ValuePair): readonly Difference[] {
  if (live.type === next.type) return [];
  const types = `from ${live.type} to ${next.type}`;
  if (isNarrower(live.type, next.type)) return [compatible(`${what} was narrowed ${types}`)];
  if (live.type === 'string' && isWrittenAsText(next.type)) {
    return [breaking(`${what} was narrowed ${types}, so it can no longer be searched as text`)];
  }
  const isWider = isNarrower(next.type, live.type) || (next.type === 'string' && isWrittenAsText(live.type));
  return [breaking(`${what} ${isWider ? 'was widened' : 'changed'} ${types}`)];
}

/** A column declared as a number may hold whole numbers already, and JSON can be compared with null only. */
function isNarrower(live: ValueType, next: ValueType): boolean {
  return live === 'json' || (live === 'number' && next === 'integer');
}

function isWrittenAsText(type: ValueType): boolean {
  return type === 'date' || type === 'datetime' || type === 'decimal';
}
