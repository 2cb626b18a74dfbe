import type { Context, Part } from './body.js';
import { argument, constant, documentOf, inside, isArgument, isDocument, listOf, value } from './body.js';
import { pattern } from './pattern.js';

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
  if (!PATTERNS.includes(key) || !isDocument(node)) return expression(node, context);
  return documentOf(
    Object.entries(node).map(([name, child]) => [
      name,
      name === 'regex' ? literalPattern(child, inside(context, name)) : expression(child, inside(context, name)),
    ]),
  );
}

function literalPattern(node: unknown, context: Context): Part {
  if (!isArgument(node)) return expression(node, context);
  const quoted = pattern(node, context);
  return (args) => ({ $literal: quoted(args) });
}
