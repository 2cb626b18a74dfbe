import { editorSchema } from './json-schema.js';
import { FUNCTIONS, SPECIAL_FUNCTIONS } from './functions.js';

/** The language as a table for readers: made from its one definition, for the reference page and for the prompt. */

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly string[];
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

function definitions(): Readonly<Record<string, Schema>> {
  return (editorSchema() as { readonly $defs: Readonly<Record<string, Schema>> }).$defs;
}

/** What the shapes are called in the text. */
const ORDER = [
  ...[
    'specification',
    'record',
    'field',
    'rollup',
    'numbering',
    'unique',
    'rule',
    'states',
    'move',
    'no_overlap',
    'expires',
    'row_access',
    'row',
  ],
  ...[
    'query',
    'argument',
    'column',
    'join',
    'top',
    'action',
    'step',
    'example',
    'call',
    'caller',
    'expectation',
    'expected_row',
    'named_value',
    'value',
    'cover',
  ],
];

function nameOf(schema: Schema): string | undefined {
  return schema.$ref?.replace('#/$defs/', '');
}

function wordFor(schema: Schema): string {
  const name = nameOf(schema);
  if (name !== undefined) return name;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.anyOf !== undefined) return schema.anyOf.map(wordFor).join(' | ');
  if (schema.type === 'array') return `list of ${schema.items === undefined ? 'values' : wordFor(schema.items)}`;
  if (schema.description?.startsWith('Formula. ') === true) return 'formula';
  if (schema.type === 'integer') return wholeNumber(schema);
  return { string: 'text', boolean: 'true or false' }[schema.type ?? ''] ?? schema.type ?? 'value';
}

function wholeNumber({ minimum, maximum }: Schema): string {
  return minimum === undefined || maximum === undefined
    ? 'whole number'
    : `whole number from ${String(minimum)} to ${String(maximum)}`;
}

function propertyLine(name: string, schema: Schema, isRequired: boolean): string {
  const target = nameOf(schema);
  const description =
    schema.description ?? (target === undefined ? undefined : definitions()[target]?.description) ?? '';
  return `- \`${name}\`${isRequired ? '' : '?'}: ${wordFor(schema)}. ${description.replace(/^Formula\. /, '')}`;
}

function linesOf(schema: Schema, leaveOut: ReadonlySet<string> = new Set()): readonly string[] {
  const entries = Object.entries(schema.properties ?? {}).filter(([name]) => !leaveOut.has(name));
  return entries.map(([name, property]) => propertyLine(name, property, schema.required?.includes(name) === true));
}

/** Shapes that a tag tells apart: what all have is said once. */
function unionLines(options: readonly Schema[]): readonly string[] {
  const shapes = options.map((option) => definitions()[nameOf(option) ?? ''] ?? option);
  const [first] = shapes;
  const shared = Object.keys(first?.properties ?? {}).filter((name) =>
    shapes.every((shape) => JSON.stringify(shape.properties?.[name]) === JSON.stringify(first?.properties?.[name])),
  );
  const common =
    first === undefined || shared.length === 0
      ? []
      : [
          'All have',
          '',
          ...linesOf({
            ...first,
            properties: Object.fromEntries(shared.map((name) => [name, first.properties?.[name] ?? {}])),
          }),
          '',
        ];
  const own = shapes.flatMap((shape) => {
    const [tag = ''] = ['type', 'op', 'outcome'].filter((name) => shape.properties?.[name] !== undefined);
    const word = shape.properties?.[tag];
    const title = word === undefined ? '' : wordFor(word).replaceAll('"', '`');
    return [`**${tag} ${title}** ${word?.description ?? ''}`, '', ...linesOf(shape, new Set([tag, ...shared])), ''];
  });
  return [...common, ...own];
}

/** Every shape with its properties. */
export function grammarText(): string {
  const lines = ORDER.flatMap((name) => {
    const schema = definitions()[name];
    if (schema === undefined) return [];
    const head = [`### ${name}`, '', ...(schema.description === undefined ? [] : [schema.description, ''])];
    if (name === 'value') return head;
    return [...head, ...(schema.anyOf === undefined ? linesOf(schema) : unionLines(schema.anyOf)), ''];
  });
  return lines
    .join('\n')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim();
}

/** The names of all shapes that the text leaves out: none, but for those that stand inside of another. */
export function shapesLeftOut(): readonly string[] {
  const inside = new Set(
    ORDER.flatMap((name) => (definitions()[name]?.anyOf ?? []).map((option) => nameOf(option) ?? '')),
  );
  return Object.keys(definitions()).filter((name) => !ORDER.includes(name) && !inside.has(name));
}

export function functionsText(): string {
  const rows = [...FUNCTIONS.values()].map(
    ({ signature, about, example }) =>
      `| \`${signature.replaceAll('|', String.raw`\|`)}\` | ${about} | \`${example.formula}\` is ${example.gives} |`,
  );
  const special = SPECIAL_FUNCTIONS.map(
    ({ signature, about, example }) => `| \`${signature}\` | ${about} | \`${example}\` |`,
  );
  return ['| function | what it gives | example |', '| -------- | ------------- | ------- |', ...special, ...rows].join(
    '\n',
  );
}
