import type { CheckedSpecification } from '../spec/index.js';
import { literalOf, type Routines } from './template-text.js';

/** Texts of a specification are data: nothing in them becomes a heading, a list, a link, also one without brackets, or HTML. */
function plain(words: string): string {
  return (
    words
      .replaceAll(/\s+/gu, ' ')
      .trim()
      .replaceAll(/[\\*_[\]<>#~&@$]|:(?=\/\/|\w+@)|(?<=\bmailto):|(?<=\bwww)\./gi, (sign) => `\\${sign}`)
      // n.b. not every reader of tables knows the other way to write these two.
      .replaceAll('`', '&#96;')
      .replaceAll('|', '&#124;')
      .replace(/^(?=[+=-])/, '\\')
      .replace(/^(\d+)(?=[.)])/, '$1\\')
  );
}

/** A table whose columns stand below one another. */
function tableText([head = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) =>
    Math.max(...[[title], ...rows.map((cells) => [cells[at] ?? ''])].flat().map(length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell + ' '.repeat((widths[at] ?? 0) - length(cell))).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

function length(text: string): number {
  return Array.from(text).length;
}

const EXAMPLES: Readonly<Record<string, unknown>> = {
  ...{ integer: 1, decimal: '12.50', float: 1.5, boolean: true, date: '2026-01-31', time: '18:30' },
  ...{ timestamp: '2026-01-31T18:30:00Z', json: {}, list: [], objects: [], text: 'text', reference: 1 },
};

export interface ReadmeOptions {
  /** Records that are fetched by a view. Default: all. */
  readonly views?: readonly string[];
  /** What a DBA does with the files. */
  readonly dba: string;
}

/** What callers and the DBA read of a domain. */
export function readmeText(
  specification: CheckedSpecification,
  { plain: routines, actions }: Routines,
  { views = specification.records.map(({ name }) => name), dba }: ReadmeOptions,
): string {
  const { source, domain, records, queries } = specification;
  const references = records.flatMap((record) =>
    record.fields.flatMap(({ name, type, optional }) =>
      type.kind === 'reference' ? [`  ${type.record} ${optional ? '|o' : '||'}--o{ ${record.name} : "${name}"`] : [],
    ),
  );
  const entities = records.flatMap((record) => [
    `  ${record.name} {`,
    ...record.fields.map(({ name, type }) => `    ${type.kind} ${name}${record.key.includes(name) ? ' PK' : ''}`),
    '  }',
  ]);
  const all = [...routines, ...actions.map(({ routine }) => routine)];
  const rows = [
    ...records.map(({ name }, index) => [
      index === 0
        ? '`fetch`'
        : `${views.includes(name) ? `\`fetch\`, \`"view": "${name}_records"\`; ` : ''}\`${name}_fetch\`, \`${name}_list\``,
      `Finds ${plain(name.replaceAll('_', ' '))} records by key, by filters, in an order, page by page.`,
      '`query`',
    ]),
    ...all.map(({ operation, about, args }) => [
      `\`${operation}\``,
      plain(about),
      args.map(({ name, isLoose }) => `\`${name}\`${isLoose ? '?' : ''}`).join(', '),
    ]),
  ];
  const created = records[0]?.operations.find(({ kind }) => kind === 'create');
  const example = specification.actions[0] ?? queries[0] ?? created;
  const given = example === created ? (records[0]?.fields ?? []).filter((field) => field.givenAtCreate) : [];
  const args = Object.fromEntries(
    [...(example !== undefined && 'args' in example ? example.args : []), ...given]
      .filter((argument) => !argument.optional && argument.default === undefined)
      .map(({ name, type }) => [name, type.kind === 'enum' ? type.values[0] : EXAMPLES[type.kind]]),
  );
  const json = JSON.stringify(args);
  const call =
    example === created ? `create(${literalOf(args)})` : `call('${example?.name ?? ''}', ${literalOf(args)})`;
  const calls =
    example === undefined
      ? ''
      : `
## A call

\`\`\`ts
await beds.domain('${domain}').${call};
\`\`\`

\`\`\`python
beds.call("${domain}", "${example.name}", json.loads(${JSON.stringify(json)}))
\`\`\`

As a bare message, to the exchange \`beds.request\` with the routing key \`${domain}\`:

\`\`\`json
${JSON.stringify({ id: '1', domain, op: example.name, payload: args }, undefined, 2)}
\`\`\`
`;
  return `# ${plain(domain)}

${plain(source.description)} Made from \`domain.json\`: change that, and make this again.

## Operations

${tableText([['operation', 'what it does', 'arguments'], ...rows])}

An argument with \`?\` may be left out. What a rule refuses is answered with a status and the words of the rule: \`invalid\`, \`conflict\`,
\`forbidden\` or \`not-found\`, with the field where one is at fault.
${calls}
## Records

\`\`\`mermaid
erDiagram
${[...references, ...entities].join('\n')}
\`\`\`

## For the DBA

${dba}
`;
}
