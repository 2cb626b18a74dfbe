import { stringify } from 'smol-toml';
import { variableName } from './environment.js';
import { expectation, sections, type Field, type Section } from './fields.js';
import { isTable, type Table } from './layers.js';

const HEADER = `#:schema ./beds.schema.json

# The configuration of BEDS: every key, with its default. What differs on one machine belongs in env.toml beside this
# file (env.example.toml shows how), or in the environment variable that is named with each key; variables win over
# env.toml, env.toml wins over this file. \${NAME} in a text is filled in from the environment: keep passwords there.
#
# Made from the schema by \`npm run config:schema\`: change host/config/schema.ts, not the sentences here.
`;

/** The stores of a fresh checkout; both are private servers. */
const STORES: Table = { main: { kind: 'mysql' }, documents: { kind: 'mongodb' } };

/** The text of config/beds.toml. */
export function defaultFileText(): string {
  return [HEADER, ...sections.map(sectionText)].join('\n');
}

function sectionText(section: Section): string {
  const rule = `# ${'-'.repeat(100)}\n# ${section.description}\n`;
  if (!section.named)
    return `${rule}\n${tableText(section.fields, { path: [section.key], values: {}, explained: true })}`;
  const entries = Object.entries(section.key === 'stores' ? STORES : section.default);
  const tables = entries.map(([name, values], index) =>
    tableText(section.fields, {
      path: [section.key, name],
      values: isTable(values) ? values : {},
      explained: index === 0,
    }),
  );
  return `${rule}\n${tables.join('\n')}`;
}

interface Header {
  readonly path: readonly string[];
  /** Values that differ from the defaults of the fields. */
  readonly values: Table;
  readonly explained: boolean;
}

function tableText(fields: readonly Field[], { path, values, explained }: Header): string {
  const lines = fields.flatMap((field) => {
    const value = stringify({ [field.key]: values[field.key] ?? field.default });
    return explained ? ['', ...explanation(path, field), value.trimEnd()] : [value.trimEnd()];
  });
  return `[${path.join('.')}]\n${lines.join('\n').trimStart()}\n`;
}

function explanation(path: readonly string[], field: Field): readonly string[] {
  const allowed = field.type === 'string' && field.choices.length === 0 ? '' : ` ${capitalised(expectation(field))}.`;
  return [`# ${field.description}`, `#${allowed} ${variableName([...path, field.key])}`];
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
