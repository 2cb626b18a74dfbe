import { inputJsonSchema } from './fields.js';

/** The text of config/beds.schema.json: editors use it to check and complete the TOML files. */
export function jsonSchemaText(): string {
  const { $schema, ...schema } = inputJsonSchema();
  return `${JSON.stringify({ $schema, title: 'BEDS configuration', ...schema }, undefined, 2)}\n`;
}
