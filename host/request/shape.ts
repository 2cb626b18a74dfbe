import type { Json } from '@beds/sdk';

const MAX_DEPTH = 6;
const MAX_LENGTH = 2_000;
/** Elements of an array that are looked at. */
const MAX_ELEMENTS = 1_000;
/** Fields of an object that are named, and letters of a name. */
const MAX_FIELDS = 100;
const MAX_NAME_LENGTH = 64;

/** What the values at one place have in common: their types, and for each the parts merged. */
interface Shape {
  readonly scalars: Set<string>;
  /** Objects seen here. */
  objects: number;
  readonly fields: Map<string, { readonly shape: Shape; seen: number }>;
  /** Lengths of the arrays seen here. */
  readonly lengths: Set<number>;
  element: Shape | undefined;
}

/**
 * What an answer is made of, without its values: `{id: integer, name: null|string, note?: string}[2]`. Fields are sorted, so
 * equal structures have equal texts. At most 6 levels and 2,000 characters; what is beyond is `…`.
 */
export function shapeOf(value: Json): string {
  const shape = emptyShape();
  merge(shape, value, 1);
  const text = write(shape);
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 1)}…`;
}

function emptyShape(): Shape {
  return { scalars: new Set(), objects: 0, fields: new Map(), lengths: new Set(), element: undefined };
}

function merge(shape: Shape, value: Json, depth: number): void {
  if (typeof value !== 'object' || value === null) shape.scalars.add(scalarOf(value));
  else if (depth > MAX_DEPTH) shape.scalars.add('…');
  else if (Array.isArray(value)) mergeArray(shape, value as readonly Json[], depth);
  else mergeObject(shape, Object.entries(value), depth);
}

function scalarOf(value: string | number | boolean | null): string {
  if (value === null) return 'null';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function mergeArray(shape: Shape, elements: readonly Json[], depth: number): void {
  shape.lengths.add(elements.length);
  for (const element of elements.slice(0, MAX_ELEMENTS)) {
    shape.element ??= emptyShape();
    merge(shape.element, element, depth + 1);
  }
}

function mergeObject(shape: Shape, entries: readonly [string, Json][], depth: number): void {
  shape.objects += 1;
  for (const [name, value] of entries) {
    let field = shape.fields.get(name);
    if (field === undefined) {
      if (shape.fields.size >= MAX_FIELDS) continue;
      shape.fields.set(name, (field = { shape: emptyShape(), seen: 0 }));
    }
    field.seen += 1;
    merge(field.shape, value, depth + 1);
  }
}

function write(shape: Shape): string {
  const kinds = [...shape.scalars].sort();
  if (shape.objects > 0) kinds.push(writeObject(shape));
  if (shape.lengths.size > 0) kinds.push(writeArray(shape));
  return kinds.join('|');
}

function writeObject({ fields, objects }: Shape): string {
  const names = [...fields.keys()].sort();
  const written = names.map((name) => {
    const field = fields.get(name);
    if (field === undefined) return '';
    return `${writeName(name)}${field.seen < objects ? '?' : ''}: ${write(field.shape)}`;
  });
  return `{${[...written, ...(fields.size < MAX_FIELDS ? [] : ['…'])].join(', ')}}`;
}

function writeName(name: string): string {
  const short = name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}…`;
  return /^[\w$]+$/.test(short) ? short : JSON.stringify(short);
}

function writeArray({ lengths, element }: Shape): string {
  const shortest = Math.min(...lengths);
  const longest = Math.max(...lengths);
  const length = shortest === longest ? String(longest) : `${String(shortest)}-${String(longest)}`;
  const of = element === undefined ? '' : write(element);
  return `${of.includes('|') && !/^\{.*\}$/.test(of) ? `(${of})` : of}[${length}]`;
}
