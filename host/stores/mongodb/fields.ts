import type { Json, ValueType } from '@beds/sdk';
import { VALUE_TYPES } from '@beds/sdk';
import type { NamedValue } from '../contract.js';
import { readValue } from '../read-value.js';
import { isDocument } from './body.js';
import { toColumn, toUndeclared } from './stored-value.js';
import type { BsonType, StoredType } from './values.js';
import { BSON_TYPES } from './values.js';

/** Where a column comes from in a stored document. Plain data: it travels to other threads. */
export interface Field {
  readonly [key: string]: Json;
  readonly from: string;
  readonly type: ValueType;
  readonly as: BsonType;
}

export interface ParsedValue {
  readonly value: NamedValue;
  readonly field: Field;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const PATH = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$/;
const KEYS = {
  args: ['type', 'as', 'optional', 'default', 'maxLength', 'min', 'max'],
  columns: ['type', 'as', 'from', 'maxLength'],
  returns: ['type', 'as', 'from'],
} as const;

type Place = keyof typeof KEYS;

/** Reads `args`, `columns` or `returns` of an entry; what is wrong goes to `problems`. */
export function parseValues(node: unknown, at: Place, problems: string[]): readonly ParsedValue[] {
  if (node === undefined) return [];
  if (!isDocument(node)) {
    problems.push(`${at}: must be a document of names and types`);
    return [];
  }
  return Object.entries(node).flatMap(([name, spec]) => {
    const parsed = parseValue(name, spec, at);
    if (typeof parsed !== 'string') return [parsed];
    problems.push(`${at}.${NAME.test(name) ? name : '?'}: ${parsed}`);
    return [];
  });
}

function parseValue(name: string, spec: unknown, at: Place): ParsedValue | string {
  if (!NAME.test(name) || name === '__proto__') return 'is not a name of letters, digits and _';
  const long = typeof spec === 'string' ? longForm(spec) : spec;
  if (!isDocument(long)) return 'must be a type or a document with a type';
  const keys: readonly string[] = at === 'args' && typeof spec !== 'string' ? KEYS.args : [...KEYS[at], 'optional'];
  if (Object.keys(long).some((key) => !keys.includes(key))) return `knows only ${KEYS[at].join(', ')}`;
  const type = VALUE_TYPES.find((known) => known === long['type']);
  if (type === undefined) return `the type must be one of ${VALUE_TYPES.join(', ')}`;
  const as = BSON_TYPES[type].find((known) => known === (long['as'] ?? BSON_TYPES[type][0]));
  if (as === undefined) return `a ${type} can be stored as ${BSON_TYPES[type].join(', ')}`;
  const from = long['from'] ?? name;
  if (typeof from !== 'string' || !PATH.test(from)) return 'from must be the path of a field';
  const limits = ['maxLength', 'min', 'max'].filter((key) => long[key] !== undefined);
  if (limits.some((key) => !Number.isFinite(long[key]))) return 'maxLength, min and max must be numbers';
  if (long['default'] !== undefined && plainDefault(long['default']) === undefined) return 'the default does not fit';
  // A document need not have a field, except for the one that identifies it.
  const value = namedValue(name, { ...long, type, as }, at === 'args' ? long['optional'] === true : from !== '_id');
  if (value.default !== undefined && 'problem' in readValue(value.default, value)) return 'the default does not fit';
  return { value, field: { from, type, as } };
}

function longForm(spec: string): Readonly<Record<string, unknown>> {
  return spec.endsWith('?') ? { type: spec.slice(0, -1), optional: true } : { type: spec };
}

function namedValue(name: string, long: StoredType & Readonly<Record<string, unknown>>, nullable: boolean): NamedValue {
  const number = (key: string): Record<string, number> => (long[key] === undefined ? {} : { [key]: Number(long[key]) });
  return {
    name,
    type: long.type,
    nativeType: long.as,
    optional: long['optional'] === true,
    nullable,
    ...(long['default'] === undefined ? {} : { default: plainDefault(long['default']) ?? null }),
    ...number('maxLength'),
    ...number('min'),
    ...number('max'),
  };
}

/** Undefined where JSON cannot carry it. */
function plainDefault(value: unknown): Json | undefined {
  try {
    return toUndeclared(value, 'default');
  } catch {
    return undefined;
  }
}

/** The value at a path, as the aggregation path `$a.b` finds it: through lists too. */
function valueAt(document: unknown, path: readonly string[]): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return document;
  if (Array.isArray(document)) return document.map((item) => valueAt(item, path)).filter((item) => item !== undefined);
  return isDocument(document) && Object.hasOwn(document, first) ? valueAt(document[first], rest) : undefined;
}

/** A document as the entry's `returns` names it; without `returns` all of it but `_id`. */
export function toRow(document: object, returns: Readonly<Record<string, Field>> | undefined): Record<string, Json> {
  if (returns === undefined) {
    return Object.fromEntries(
      Object.entries(document)
        .filter(([key]) => key !== '_id')
        .map(([key, value]) => [key, toUndeclared(value, key)]),
    );
  }
  return Object.fromEntries(
    Object.entries(returns).map(([name, field]) => [
      name,
      toColumn(valueAt(document, field.from.split('.')), field, name),
    ]),
  );
}
