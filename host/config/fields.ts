import { z } from 'zod';
import { configSchema } from './schema.js';

/** One key of the configuration, as the schema declares it. */
export interface Field {
  readonly key: string;
  readonly description: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'list';
  readonly choices: readonly string[];
  readonly minimum: number | undefined;
  readonly maximum: number | undefined;
  /** Undefined where a value must be given. */
  readonly default: unknown;
}

/** One table of the file. With `named`, a table for each name: `[stores.main]`. */
export interface Section {
  readonly key: string;
  readonly description: string;
  readonly named: boolean;
  readonly fields: readonly Field[];
  readonly default: Readonly<Record<string, unknown>>;
}

interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | false;
}

/** The configuration's schema as JSON Schema, seen from the one who writes a file. */
export function inputJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configSchema, { io: 'input' });
}

/** Every table, in the order of the schema. Derived, so that no list of keys can go stale. */
export const sections: readonly Section[] = Object.entries((inputJsonSchema() as SchemaNode).properties ?? {}).map(
  ([key, node]) => toSection(key, node),
);

/** The field at a path of keys; what goes deeper (an index in a list) is ignored. */
export function fieldAt(path: readonly string[]): Field | undefined {
  const section = sections.find(({ key }) => key === path[0]);
  return section?.fields.find(({ key }) => key === path[section.named ? 2 : 1]);
}

/** What a value of the field must be: `a whole number from 1 to 86,400,000 (milliseconds)`. */
export function expectation(field: Field): string {
  if (field.choices.length > 0) return `one of ${field.choices.join(', ')}`;
  if (field.type === 'integer') return `a whole number ${bounds(field)}${unitOf(field.key)}`;
  if (field.type === 'number') return `a number ${bounds(field)}${unitOf(field.key)}`;
  if (field.type === 'boolean') return 'true or false';
  return field.type === 'list' ? 'a list of texts' : 'a text';
}

function bounds({ minimum = -Infinity, maximum = Infinity }: Field): string {
  return `from ${minimum.toLocaleString('en')} to ${maximum.toLocaleString('en')}`;
}

const UNITS: readonly (readonly [suffix: string, unit: string])[] = [
  ['Ms', 'milliseconds'],
  ['Seconds', 'seconds'],
  ['Bytes', 'bytes'],
  ['Mb', 'megabytes'],
];

function unitOf(key: string): string {
  const unit = UNITS.find(([suffix]) => key.endsWith(suffix))?.[1];
  return unit === undefined ? '' : ` (${unit})`;
}

function toSection(key: string, node: SchemaNode): Section {
  const named = typeof node.additionalProperties === 'object';
  const table = typeof node.additionalProperties === 'object' ? node.additionalProperties : node;
  return {
    key,
    description: node.description ?? '',
    named,
    fields: Object.entries(table.properties ?? {}).map(([name, field]) => toField(name, field)),
    default: (node.default ?? {}) as Section['default'],
  };
}

function toField(key: string, node: SchemaNode): Field {
  const types: Readonly<Record<string, Field['type']>> = {
    integer: 'integer',
    number: 'number',
    boolean: 'boolean',
    array: 'list',
  };
  return {
    key,
    description: node.description ?? '',
    type: types[node.type ?? ''] ?? 'string',
    choices: node.enum ?? [],
    minimum: node.minimum,
    maximum: node.maximum,
    default: node.default,
  };
}
