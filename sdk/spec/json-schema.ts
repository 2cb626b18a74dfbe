import { z } from 'zod';
import { specificationSchema } from './language.js';

/** A JSON Schema, as far as this file changes it. */
interface Schema {
  readonly [key: string]: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

let forEditors: Schema | undefined;
let forModels: Schema | undefined;

/** The JSON Schema of a specification, for editors: optional properties may be left out. n.b. made when it is asked for: it takes 40 ms. */
export function editorSchema(): Schema {
  forEditors ??= makeEditorSchema();
  return forEditors;
}

function makeEditorSchema(): Schema {
  const { $schema, $defs, ...root } = z.toJSONSchema(specificationSchema, { target: 'draft-2020-12' }) as Schema;
  return plain({ $schema, ...root, $defs }) as Schema;
}

/**
 * The same for structured output of models, whose strict form demands every property: an optional one may be null. What the
 * strict form does not know is left out; the check of a specification knows it.
 */
export function strictSchema(): Schema {
  const { $schema: _, ...schema } = editorSchema();
  forModels ??= strict(schema) as Schema;
  return forModels;
}

/** The text of domain.schema.json. n.b. without spaces: programs that only call carry it too. */
export function editorSchemaText(): string {
  return `${JSON.stringify(editorSchema())}\n`;
}

/** Removes what says nothing: the bounds of JavaScript's whole numbers, and one-of where any-of is the same. */
function plain(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(plain);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema)
    .filter(
      ([key, value]) =>
        !((key === 'minimum' || key === 'maximum') && Math.abs(value as number) === Number.MAX_SAFE_INTEGER),
    )
    .map(([key, value]) => [key === 'oneOf' ? 'anyOf' : key, plain(value)] as const);
  return Object.fromEntries(entries);
}

function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { minLength: _min, maxLength: _max, ...known } = schema as Schema;
  const inner = Object.fromEntries(Object.entries(known).map(([key, value]) => [key, strict(value)])) as Schema;
  if (inner['type'] !== 'object' || inner.properties === undefined) return inner;
  const required = inner.required ?? [];
  const properties = Object.entries(inner.properties).map(
    ([name, value]) => [name, required.includes(name) ? value : { anyOf: [value, { type: 'null' }] }] as const,
  );
  return { ...inner, properties: Object.fromEntries(properties), required: properties.map(([name]) => name) };
}
