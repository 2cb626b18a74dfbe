import type { Context, Part } from './body.js';
import {
  argument,
  constant,
  documentOf,
  fixed,
  inside,
  isArgument,
  isDocument,
  listOf,
  pattern,
  value,
} from './body.js';

/** Their operand, or its `field`, is the name of a field. */
const FIELD_NAMES = ['$getField', '$setField', '$unsetField'];
const PATTERNS = ['$regexMatch', '$regexFind', '$regexFindAll'];

/**
 * An aggregation expression. There a string such as `$price` is the path of a field, so every argument is wrapped in
 * $literal: https://www.mongodb.com/docs/manual/reference/operator/aggregation/literal/
 */
export function expression(node: unknown, context: Context): Part {
  const strict = { ...context, mayOmit: false };
  if (isArgument(node)) return argument(node, strict, (bound) => ({ $literal: bound }));
  if (Array.isArray(node)) return listOf(node.map((item, index) => expression(item, inside(strict, index))));
  if (!isDocument(node)) return constant(node);
  return documentOf(Object.entries(node).map(([key, child]) => [key, operand(key, child, inside(strict, key))]));
}

function operand(key: string, node: unknown, context: Context): Part {
  if (key === '$literal') return value(node, context);
  if (FIELD_NAMES.includes(key))
    return isArgument(node) ? fixed(node, context) : operands(node, context, { field: fixed });
  return PATTERNS.includes(key) ? operands(node, context, { regex: literalPattern }) : expression(node, context);
}

/** Expressions all, but for the operands named. */
function operands(
  node: unknown,
  context: Context,
  special: Readonly<Record<string, (node: unknown, context: Context) => Part>>,
): Part {
  if (!isDocument(node)) return expression(node, context);
  return documentOf(
    Object.entries(node).map(([name, child]) => {
      const compile = Object.hasOwn(special, name) ? special[name] : undefined;
      return [name, (compile ?? expression)(child, inside(context, name))];
    }),
  );
}

function literalPattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return expression(node, context);
  const quoted = pattern(node, context);
  return (args) => ({ $literal: quoted(args) });
}
