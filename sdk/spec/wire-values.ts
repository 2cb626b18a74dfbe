import type { Json, JsonObject } from '../template/json.js';
import type { Type } from './checked.js';
import { Exact } from './exact.js';
import type { Stored, StoredItem } from './simulated-rows.js';

/** Values between the wire and the model of a domain: what a host and a database take for a value of a type. */

export class ValueError extends Error {}

const DEFAULT_LENGTH = 200;
const MASK: Readonly<Record<string, string>> = { d: String.raw`\d`, A: '[A-Z]' };

type Bounds = object & {
  readonly max_length?: number;
  readonly mask?: string;
  readonly letter_case?: 'lower' | 'upper';
  readonly precision?: number;
  readonly max_items?: number;
  readonly min_items?: number;
};

interface Wanted {
  /** n.b. of a reference the type of the key that it names. */
  readonly type: Type;
  readonly name: string;
  readonly bounds?: Bounds | undefined;
}

/** Throws ValueError. */
export function fromWire(value: Json, { type, name, bounds = {} }: Wanted): Stored {
  if (value === null) return null;
  switch (type.kind) {
    case 'list': {
      const items = listOf(value, name, bounds);
      return items.map((item) => fromWire(item, { type: type.of, name, bounds })) as Stored;
    }
    case 'objects':
      return listOf(value, name, bounds).map((item) => itemOf(item, type, name));
    case 'integer':
      if (typeof value === 'number' && Number.isSafeInteger(value)) return Exact.of(value);
      throw new ValueError(`${name} is a whole number.`);
    case 'decimal':
      return decimalOf(value, type.scale, { name, bounds });
    case 'float':
      if (typeof value === 'number' && Number.isFinite(value)) return value;
      throw new ValueError(`${name} is a number.`);
    case 'boolean':
      if (typeof value === 'boolean') return value;
      throw new ValueError(`${name} is true or false.`);
    case 'enum':
      if (typeof value === 'string' && type.values.includes(value)) return value;
      throw new ValueError(`${name} is one of ${type.values.join(', ')}.`);
    case 'date':
      if (typeof value === 'string' && isDay(value)) return value;
      throw new ValueError(`${name} is a day.`);
    case 'time':
      if (typeof value === 'string' && /^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?$/.test(value)) return value.slice(0, 5);
      throw new ValueError(`${name} is a time of day.`);
    case 'timestamp':
      if (
        typeof value === 'string' &&
        /^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:\d\d)$/.test(value) &&
        !Number.isNaN(Date.parse(value))
      )
        return new Date(value);
      throw new ValueError(`${name} is a moment with its zone.`);
    case 'point': {
      const { lat, lon } = value as { readonly lat?: unknown; readonly lon?: unknown };
      if (typeof lat === 'number' && typeof lon === 'number' && Math.abs(lat) <= 90 && Math.abs(lon) <= 180)
        return { lat, lon };
      throw new ValueError(`${name} is a place.`);
    }
    case 'json':
      return JSON.stringify(value);
    default:
      return textOf(value, name, bounds);
  }
}

function listOf(value: Json, name: string, { max_items: most, min_items: fewest = 0 }: Bounds): readonly Json[] {
  if (!Array.isArray(value)) throw new ValueError(`${name} is a list.`);
  const items = value as readonly Json[];
  if (most !== undefined && items.length > most) throw new ValueError(`${name} has at most ${String(most)} items.`);
  if (items.length < fewest) throw new ValueError(`${name} has at least ${String(fewest)} items.`);
  return items;
}

function itemOf(item: Json, type: Type & { readonly kind: 'objects' }, name: string): StoredItem {
  if (typeof item !== 'object' || item === null || Array.isArray(item))
    throw new ValueError(`${name} is a list of objects.`);
  const given = item as JsonObject;
  const strange = Object.keys(given).find((key) => !type.columns.some((column) => column.name === key));
  if (strange !== undefined) throw new ValueError(`${name} has no column ${strange}.`);
  const values = type.columns.map((column) => {
    const value = fromWire(given[column.name] ?? null, {
      type: column.type,
      name: `${name}.${column.name}`,
      bounds: column.spec,
    });
    if (value === null && !column.optional) throw new ValueError(`${name}.${column.name} is missing.`);
    return [column.name, value] as const;
  });
  return { item: Object.fromEntries(values) };
}

function decimalOf(
  value: Json,
  scale: number,
  { name, bounds }: { readonly name: string; readonly bounds: Bounds },
): Exact {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !/^-?\d{1,40}(?:\.\d{1,40})?$/.test(text))
    throw new ValueError(`${name} is a decimal number.`);
  const exact = Exact.of(text);
  const fitted = exact.rounded(scale);
  if (fitted.compare(exact) !== 0) throw new ValueError(`${name} has at most ${String(scale)} digits after the point.`);
  const digits = fitted.digits < 0n ? -fitted.digits : fitted.digits;
  if (bounds.precision !== undefined && digits.toString().length > bounds.precision)
    throw new ValueError(`${name} has at most ${String(bounds.precision)} digits.`);
  return fitted;
}

function isDay(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}

function textOf(value: Json, name: string, { max_length: most, mask, letter_case: fold }: Bounds): string {
  if (typeof value !== 'string') throw new ValueError(`${name} is a text.`);
  const text = fold === undefined ? value : fold === 'lower' ? value.toLowerCase() : value.toUpperCase();
  if (Array.from(text).length > (most ?? mask?.length ?? DEFAULT_LENGTH))
    throw new ValueError(`${name} has at most ${String(most ?? DEFAULT_LENGTH)} characters.`);
  if (mask !== undefined) {
    const form = Array.from(mask, (sign) => MASK[sign] ?? sign.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join(
      '',
    );
    if (!new RegExp(`^${form}$`).test(text)) throw new ValueError(`${name} has the form ${mask}.`);
  }
  return text;
}

/** A value as an answer has it. */
export function toWire(value: Stored, type: Type): Json {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Exact) {
    if (type.kind === 'decimal') return value.rounded(type.scale).toString();
    return type.kind === 'integer' || value.scale === 0 ? value.rounded(0).toNumber() : value.toString();
  }
  if (Array.isArray(value)) {
    const items = value as readonly (Stored | StoredItem)[];
    return items.map((item) => {
      if (typeof item !== 'object' || item === null || !('item' in item))
        return toWire(item, type.kind === 'list' ? type.of : type);
      const columns = type.kind === 'objects' ? type.columns : [];
      const entries = Object.entries(item.item).map(
        ([name, inner]) =>
          [name, toWire(inner, columns.find((column) => column.name === name)?.type ?? { kind: 'text' })] as const,
      );
      return Object.fromEntries(entries);
    });
  }
  if (type.kind === 'json' && typeof value === 'string') return JSON.parse(value) as Json;
  return value as Json;
}
