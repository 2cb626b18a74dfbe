import { storeErrors } from '../../errors/store.js';
import type { Context, Part } from './body.js';
import { argument, fixed, isArgument } from './body.js';

/** The text that a regular expression matches only literally. */
export function quotePattern(text: string): string {
  // n.b. a pattern travels as a C string: it cannot hold NUL itself.
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&').replaceAll('\0', '\\x00');
}

/** A caller's text in a pattern is text: it matches itself. */
export function pattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return fixed(node, context);
  return argument(node, context, (bound, name) => {
    if (typeof bound === 'string') return quotePattern(bound);
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be text.', { field: name });
  });
}
