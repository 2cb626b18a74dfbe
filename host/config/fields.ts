import { z } from 'zod';
import { configSchema } from './schema.js';

/** What JSON Schema says of a value or a table. */
interface SchemaNode {
  readonly type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';
  readonly description?: string;
  /** Undefined where a value must be given. */
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | false;
}

/** One key of the configuration, as the schema declares it. */
export interface Field extends SchemaNode {
  readonly key: string;
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
    const { properties = {} } = entry ?? node;
    return {
      key,
      description: node.description ?? '',
      named: entry !== undefined,
      fields: Object.entries(properties).map(([name, field]) => ({ ...field, key: name })),
      default: (node.default ?? {}) as Section['default'],
    };
  },
);

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
