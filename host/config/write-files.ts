import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { variableName } from './environment.js';
import { expectation, fieldsOfEntry, inputJsonSchema, sections, type Field, type Section } from './fields.js';
import { isTable, type Table } from './layers.js';

/** The files of config/ that are derived from the schema. `npm run config:schema` runs this file to write them. */

const HEADER = `#:schema ./beds.schema.json

# The configuration of BEDS: every key with its default. Put what differs on one machine into env.toml beside this file
# (env.example.toml is an example), or into the environment variable that is named with each key. Variables override
# env.toml, and env.toml overrides this file. \${NAME} in a text is replaced by the environment variable NAME: keep passwords there.
#
# Generated from the schema by \`npm run config:schema\`: change host/config/schema.ts, not the sentences here.
`;

/** The stores of a fresh checkout; all are private servers. */
const STORES: Table = {
  main: { kind: 'mysql' },
  documents: { kind: 'mongodb' },
  accounts: { kind: 'mysql', roles: ['tercero'], poolSize: 8 },
  admin: { kind: 'mysql', roles: ['admin'], poolSize: 4 },
};

/** The text of config/beds.schema.json: editors use it to check and complete the TOML files. */
export function jsonSchemaText(): string {
  const { $schema, ...schema } = inputJsonSchema();
  return `${JSON.stringify({ $schema, title: 'BEDS configuration', ...schema }, undefined, 2)}\n`;
}

/** The text of config/beds.toml. */
export function defaultFileText(): string {
  return [HEADER, ...sections.map(sectionText)].join('\n');
}

function sectionText({ key, description, named, fields, default: defaults }: Section): string {
  const rule = `# ${'-'.repeat(100)}\n# ${description}\n`;
  if (!named) return `${rule}\n${tableText([key], explainedLines([key], fields))}`;
  const tables = Object.entries(key === 'stores' ? STORES : defaults).map(([name, values], index) => {
    const path = [key, name];
    const own = isTable(values) ? values : {};
    const known = fieldsOfEntry(fields, own);
    return tableText(path, index === 0 ? explainedLines(path, known, own) : known.map((field) => line(field, own)));
  });
  return `${rule}\n${tables.join('\n')}`;
}

function tableText(path: readonly string[], lines: readonly string[]): string {
  return `[${path.join('.')}]\n${lines.join('\n').trimStart()}\n`;
}

function explainedLines(path: readonly string[], fields: readonly Field[], values: Table = {}): readonly string[] {
  return fields.flatMap((field) => {
    const allowed = field.type === 'string' && field.enum === undefined ? '' : ` ${capitalised(expectation(field))}.`;
    const variable = variableName([...path, field.key]);
    return ['', `# ${field.description ?? ''}`, `#${allowed} ${variable}`, line(field, values)];
  });
}

function line(field: Field, values: Table): string {
  return stringify({ [field.key]: values[field.key] ?? field.default }).trimEnd();
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

if (process.argv[1]?.endsWith(join('config', 'write-files.js')) === true) {
  const directory = join(process.cwd(), 'config');
  writeFileSync(join(directory, 'beds.schema.json'), jsonSchemaText());
  writeFileSync(join(directory, 'beds.toml'), defaultFileText());
}
