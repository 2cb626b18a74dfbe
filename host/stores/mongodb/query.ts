import { storeErrors } from '../../errors/store.js';
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
  problem,
  value,
} from './body.js';
import { expression } from './expression.js';

const LOGICAL = ['$and', '$or', '$nor'];
const LISTS = ['$in', '$nin', '$all'];

/** A `$match` or a `filter`: arguments are values to compare with, never conditions. */
export function query(node: unknown, context: Context): Part {
  if (!isDocument(node) || isArgument(node)) return problem(context, 'must be a document of conditions');
  return documentOf(Object.entries(node).map(([key, child]) => [key, condition(key, child, inside(context, key))]));
}

function condition(key: string, node: unknown, context: Context): Part {
  if (LOGICAL.includes(key)) {
    if (!Array.isArray(node)) return problem(context, 'must be a list of conditions');
    return listOf(node.map((item, index) => query(item, inside(context, index))));
  }
  if (key === '$expr') return expression(node, context);
  if (key === '$jsonSchema') return fixed(node, context);
  if (key.startsWith('$') && isArgument(node)) return problem(context, 'an argument cannot be a condition');
  return key.startsWith('$') ? value(node, context) : predicate(node, context);
}

function predicate(node: unknown, context: Context): Part {
  if (isArgument(node) || !isDocument(node) || !Object.keys(node).some((key) => key.startsWith('$'))) {
    return value(node, context);
  }
  return documentOf(Object.entries(node).map(([key, child]) => [key, comparison(key, child, inside(context, key))]));
}

function comparison(key: string, node: unknown, context: Context): Part {
  if (LISTS.includes(key)) return list(node, context);
  if (key === '$regex') return pattern(node, context);
  if (key !== '$not' && key !== '$elemMatch') return value(node, context);
  if (!isDocument(node)) return constant(node);
  if (isArgument(node)) return problem(context, 'an argument cannot be a condition');
  return Object.keys(node).some((name) => name.startsWith('$')) ? predicate(node, context) : query(node, context);
}

function list(node: unknown, context: Context): Part {
  if (!isArgument(node)) return value(node, context);
  return argument(node, context, (bound, name) => {
    if (Array.isArray(bound)) return bound as readonly unknown[];
    throw storeErrors.make('BEDS_STORE_INVALID_VALUE', 'A value must be a list.', { field: name });
  });
}
