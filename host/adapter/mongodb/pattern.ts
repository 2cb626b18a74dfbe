import { storeErrors } from '../../errors/store.js';
import type { Context, Part } from './body.js';
import { argument, fixed, isArgument } from './body.js';

/** The text that a regular expression matches only literally. */
export function quotePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

/** A caller's text in a pattern is text: it matches itself. */
export function pattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return fixed(node, context);
  return argument(node, context, (bound, name) => {
    if (typeof bound === 'string' && !bound.includes('\0')) return quotePattern(bound);
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be text without NUL.', { field: name });
  });
}
