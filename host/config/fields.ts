import { z } from 'zod';
import { isTable } from './layers.js';
import { configSchema } from './schema.js';

/** What JSON Schema says of a value or a table. */
interface SchemaNode {
  readonly type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  readonly description?: string;
  /** Undefined where a value must be given. */
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | false;
  /** Entries of one section that differ by their `type`. */
  readonly oneOf?: readonly SchemaNode[];
}

/** One key of the configuration, as the schema declares it. */
export interface Field extends SchemaNode {
  readonly key: string;
  /** Types of entries that have it; undefined: all. */
  readonly types?: readonly string[];
}

/** One table of the file. With `named`, a table for each name: `[stores.main]`. */
export interface Section {
  readonly key: string;
  readonly description: string;
  readonly named: boolean;
  readonly fields: readonly Field[];
  readonly default: Readonly<Record<string, unknown>>;
}

/** The configuration's schema as JSON Schema, as the author of a file sees it. */
export function inputJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: 'input' });
}

/** Every table, in the order of the schema. Derived, so that no list of keys can go stale. */
export const sections: readonly Section[] = Object.entries((inputJsonSchema() as SchemaNode).properties ?? {}).map(
  ([key, node]) => {
    const entry = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
    return {
      key,
      description: node.description ?? '',
      named: entry !== undefined,
      fields: fieldsOf(entry ?? node),
      default: (node.default ?? {}) as Section['default'],
    };
  },
);

/** The keys of a table. Of one that differs by type: the keys of all types, in the order in which they are met. */
function fieldsOf({ properties = {}, oneOf: variants }: SchemaNode): readonly Field[] {
  if (variants === undefined) return Object.entries(properties).map(([key, field]) => ({ ...field, key }));
  const types = variants.flatMap((variant) => variant.properties?.['type']?.const ?? []);
  const fields = new Map<string, Field>();
  for (const variant of variants) {
    const type = variant.properties?.['type']?.const ?? '';
    for (const [key, field] of Object.entries(variant.properties ?? {})) {
      fields.set(key, { ...field, key, types: [...(fields.get(key)?.types ?? []), type] });
    }
  }
  return [...fields.values()].map(({ types: having = [], const: _, ...field }) => {
    if (field.key === 'type') return { ...field, enum: types };
    return having.length === types.length ? field : { ...field, types: having };
  });
}

/** The fields that an entry has: those of its type, where there are types. */
export function fieldsOfEntry(fields: readonly Field[], entry: unknown): readonly Field[] {
  const type = isTable(entry) ? entry['type'] : undefined;
  return fields.filter(({ types }) => types === undefined || (typeof type === 'string' && types.includes(type)));
}

/** The field at a path of keys; what goes deeper (an index in a list) is ignored. */
export function fieldAt(path: readonly string[]): Field | undefined {
  const section = sections.find(({ key }) => key === path[0]);
  return section?.fields.find(({ key }) => key === path[section.named ? 2 : 1]);
}

/** What a value of the field must be: `a whole number from 1 to 86,400,000 (milliseconds)`. */
export function expectation({ key, type, enum: choices, minimum = -Infinity, maximum = Infinity }: Field): string {
  if (choices !== undefined) return `one of ${choices.join(', ')}`;
  if (type === 'boolean') return 'true or false';
  if (type === 'array') return 'a list of texts';
  if (type !== 'integer' && type !== 'number') return 'a text';
  const number = type === 'integer' ? 'a whole number' : 'a number';
  return `${number} from ${minimum.toLocaleString('en')} to ${maximum.toLocaleString('en')}${unitOf(key)}`;
}

const UNITS = { Ms: 'milliseconds', Seconds: 'seconds', Bytes: 'bytes', Mb: 'megabytes' } as const;

function unitOf(key: string): string {
  const unit = Object.entries(UNITS).find(([suffix]) => key.endsWith(suffix))?.[1];
  return unit === undefined ? '' : ` (${unit})`;
}
