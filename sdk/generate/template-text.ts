import type { CheckedRecord, CheckedSpecification } from '../spec/index.js';
import type { ActionRoutine } from './mysql-actions.js';
import type { AnswerColumn, Routine } from './mysql-routines.js';

/** A routine, as a template uses it. */
export type ServedRoutine = Omit<Routine, 'text'>;
export type ServedAction = Omit<ActionRoutine, 'routine'> & { readonly routine: ServedRoutine };

export interface Routines {
  /** Standard operations, sweeps and queries. */
  readonly plain: readonly ServedRoutine[];
  readonly actions: readonly ServedAction[];
}

/** What is different from database to database. */
export interface Served {
  readonly columnsOf: (record: CheckedRecord) => readonly AnswerColumn[];
  /** Undefined: readers ask a routine. */
  readonly viewOf: (record: CheckedRecord) => string | undefined;
  readonly refuse: (path: string, construct: string) => void;
  readonly revision: string | number;
  /** Between the arguments of a routine and those of the template. */
  readonly prefix?: string;
}

/** A comment of TypeScript that the texts of a specification cannot end, and that says nothing to the compiler: `@ts-ignore`. */
function doc(words: string): string {
  return `/** ${words
    .replaceAll(/\s+/gu, ' ')
    .replaceAll('*/', '* /')
    .trim()
    .replace(/^(?=@)/, '\\')} */`;
}

/** Comments and texts: a word in them is no use of what is called so. */
const SILENT = /\/\*.*?\*\/|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/g;

/** A value as TypeScript has it. */
export function literalOf(value: unknown): string {
  if (typeof value === 'string')
    return value.includes("'")
      ? JSON.stringify(value)
      : `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"')}'`;
  if (Array.isArray(value)) return `[${value.map(literalOf).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([name, inner]) => `${name}: ${literalOf(inner)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}

const rowOf = (columns: readonly { readonly name: string; readonly template: string }[]): string =>
  `{ ${columns.map(({ name, template }) => `${name}: ${template}`).join(', ')} }`;

const CALLER_ID = 'caller_id: t.string({ max: 200 }).optional()';
const CALLER_ROLES = 'caller_roles: t.list(t.string({ max: 100 }), { max: 100 }).optional()';
const CORE: readonly string[] = ['create', 'update', 'delete'];

interface Parts {
  readonly objects: string[];
  readonly core: string[];
  readonly operations: string[];
  readonly makers: Set<string>;
  /** Names of rows, by what they are. */
  readonly rows: ReadonlyMap<string, string>;
  readonly prefix: string;
}

/** The template: which object of the database serves each operation, and nothing that decides. */
export function templateText(
  { domain, records, source }: CheckedSpecification,
  served: Served,
  { plain, actions }: Routines,
): string {
  const [first] = records;
  const [key = 'id', ...more] = first?.key ?? [];
  if (more.length > 0) served.refuse(`records.${first?.name ?? ''}.key`, 'a first record whose key has several fields');
  const known = new Map(records.map((record) => [rowOf(served.columnsOf(record)), rowName(record.name)] as const));
  const prefix = served.prefix === undefined ? '' : `.prefix('${served.prefix}')`;
  const parts: Parts = { objects: [], core: [], operations: [], makers: new Set(), rows: known, prefix };
  const bound = plain.find(({ operation }) => operation === 'list');
  for (const routine of plain) if (routine !== bound) addRoutine(routine, parts, undefined);
  for (const action of actions) addRoutine(action.routine, parts, action);
  const names = new Set([...plain, ...actions.map(({ routine }) => routine)].map(({ operation }) => operation));
  for (const kind of CORE) {
    if (names.has(kind)) continue;
    parts.makers.add('unsupported');
    parts.operations.unshift(`${kind}: unsupported(),`);
  }
  const views = records.slice(1).flatMap((record) => {
    const view = served.viewOf(record);
    if (view === undefined || !record.fields.some(({ name }) => name === key)) return [];
    return [`${record.name}_records: view('${view}', ${rowName(record.name)}, { fetchable: true }),`];
  });
  const named = [...parts.objects, ...parts.core, ...parts.operations, ...views].join('\n').replaceAll(SILENT, "''");
  const rows = records
    .filter((record) => record === first || new RegExp(`\\b${rowName(record.name)}\\b`).test(named))
    .map(
      (record) =>
        `${doc(record.spec.description)}\nconst ${rowName(record.name)} = t.row(${rowOf(served.columnsOf(record))});`,
    );
  const fetched =
    bound === undefined
      ? `view('${(first === undefined ? undefined : served.viewOf(first)) ?? ''}', ${rowName(first?.name ?? '')})`
      : boundText(bound, rowName(first?.name ?? ''), prefix);
  const uses = (word: string): boolean => `${named} ${fetched}`.includes(`${word}(`);
  const imports = ['defineDomain', 'notFound', 'procedure', 't', 'view'].filter(
    (word) => word === 'defineDomain' || word === 't' || uses(word),
  );
  const objects =
    parts.objects.length === 0 ? '' : `const objects = {\n${parts.objects.map((each) => `  ${each}\n`).join('')}};\n\n`;
  const operations =
    parts.operations.length === 0
      ? ''
      : `  operations: ({ ${[...parts.makers].toSorted().join(', ')} }) => ({
${parts.operations.map((each) => `    ${each}`).join('\n')}
  }),
`;
  return `import { ${imports.join(', ')} } from '@beds/sdk';

// Made from domain.json by \`beds generate\`: change that, and make this again.

${rows.join('\n\n')}

${objects}${doc(`${source.description} The database decides; what it says is passed on.`)}
export default defineDomain({
  name: '${domain}',
  version: '${served.revision}.0.0',
  store: '${source.store}',
  key: '${key}',
${parts.core.map((each) => `  ${each}\n`).join('')}  fetch: ${fetched},
${views.length === 0 ? '' : `  views: {\n${views.map((each) => `    ${each}`).join('\n')}\n  },\n`}${objects === '' ? '' : '  objects,\n'}${operations}});
`;
}

/** Of records that depend on who asks: the host fills in who that is, and refuses where nobody is signed in. */
function boundText({ name, args, usesCaller }: ServedRoutine, row: string, prefix: string): string {
  const all = [
    ...args.map((arg) => `${arg.name}: ${arg.template}.optional()`),
    ...(usesCaller.id ? ['caller_id: t.string({ max: 200 })'] : []),
    ...(usesCaller.roles ? ['caller_roles: t.list(t.string({ max: 100 }), { max: 100 })'] : []),
  ];
  const fills = [
    ...(usesCaller.id ? ["caller_id: 'user.id'"] : []),
    ...(usesCaller.roles ? ["caller_roles: 'user.roles'"] : []),
  ];
  return `procedure('${name}', { ${all.join(', ')} }, t.list(${row}))${prefix}.bind({ ${fills.join(', ')} })`;
}

/** n.b. a record may be called as a word of TypeScript: class, new. */
function rowName(record: string): string {
  return `${record}_row`;
}

/** Whether the template has code for it, and not the name of its object only. */
function isCodedHere({ usesCaller, clears }: ServedRoutine, action: ServedAction | undefined): boolean {
  return usesCaller.id || usesCaller.roles || clears || (action?.rows.length ?? 0) > 0;
}

/** n.b. an action may be called as an update is: `stock_update` adds what comes in, and twice is not once. */
function isUpdateOf({ operation, reads }: ServedRoutine, action: ServedAction | undefined): boolean {
  return action === undefined && !reads && (operation === 'update' || operation.endsWith('_update'));
}

/** The name that the object of a routine has in the template. */
export function aliasOf(routine: ServedRoutine, action: ServedAction | undefined): string {
  return isCodedHere(routine, action) ? `${routine.operation}_call` : routine.operation;
}

function addRoutine(routine: ServedRoutine, parts: Parts, action: ServedAction | undefined): void {
  const { operation, usesCaller, clears, reads } = routine;
  const isCore = CORE.includes(operation);
  const isCoded = isCodedHere(routine, action);
  const alias = aliasOf(routine, action);
  const isUpdate = isUpdateOf(routine, action);
  // n.b. a procedure knows no difference between absent and null: without `clears` it would keep what must have a value.
  const loose = isUpdate && !clears ? '.omittable()' : '.optional()';
  const args = routine.args.map(({ name, template, isLoose }) => `${name}: ${template}${isLoose ? loose : ''}`);
  const all = [
    ...args,
    ...(clears ? ['clears: t.list(t.string({ max: 64 }), { max: 100 })'] : []),
    ...(usesCaller.id ? [CALLER_ID] : []),
    ...(usesCaller.roles ? [CALLER_ROLES] : []),
  ];
  const columns = rowOf(routine.columns);
  const row = parts.rows.get(columns) ?? `t.row(${columns})`;
  const returns = { nothing: '', row: `, ${row}`, rows: `, t.list(${row})`, page: '' }[routine.answers];
  const made = `procedure('${routine.name}', { ${all.join(', ')} }${returns})${parts.prefix}${isUpdate ? '.idempotent()' : ''}`;
  const maker = reads ? 'query' : 'mutation';
  if (isCore && !isCoded) {
    parts.core.push(chained(`${operation}: ${made},`));
    return;
  }
  parts.makers.add(maker);
  parts.objects.push(`${alias}: ${made},`);
  if (!isCoded) parts.operations.push(`${doc(routine.about)}\n    ${operation}: ${maker}.of('${alias}'),`);
  else parts.operations.push(codedText(routine, { alias, args, action }));
}

const LINE_CHARACTERS = 118;

/** What does not fit into a line goes on in the next ones, a call in each. */
function chained(text: string): string {
  if (text.length <= LINE_CHARACTERS) return text;
  return text
    .replace(/\)\.prefix\('p_'\)\.idempotent\(\)/, ")\n    .prefix('p_')\n    .idempotent()")
    .replace(
      /^(\w+: procedure)\(('[\w-]+'), (\{ .* \}), (\w+)(\)\.idempotent\(\),)$/,
      '$1(\n    $2,\n    $3,\n    $4,\n  $5',
    );
}

/** The host says who calls, never the caller; and what comes in one row is answered record by record. */
function codedText(
  routine: ServedRoutine,
  {
    alias,
    args,
    action,
  }: { readonly alias: string; readonly args: readonly string[]; readonly action: ServedAction | undefined },
): string {
  const { operation, usesCaller, clears, reads, answers } = routine;
  const given = [
    '...input',
    ...(clears ? ['clears: Object.entries(input).flatMap(([name, value]) => (value === null ? [name] : []))'] : []),
    ...(usesCaller.id ? ['caller_id: user?.id ?? null'] : []),
    ...(usesCaller.roles ? ['caller_roles: user?.roles.slice() ?? []'] : []),
  ];
  const takes = ['input', 'db', ...(usesCaller.id || usesCaller.roles ? ['user'] : [])].join(', ');
  const call = `db.${alias}({ ${given.join(', ')} })`;
  const maker = reads ? 'query' : 'mutation';
  const idempotent = isUpdateOf(routine, action) ? '.idempotent()' : '';
  const head = `${doc(routine.about)}\n    ${operation}: ${maker}(`;
  const input = `input: { ${args.join(', ')} }`;
  if (answers === 'nothing')
    return `${head}{ ${input}, output: { affected: t.int() } }, async ({ ${takes} }) => ${call}),`;
  if (answers === 'rows')
    return `${head}{ ${input}, output: t.list(t.object(${rowOf(routine.columns)})) }, async ({ ${takes} }) => ${call}),`;
  const own: readonly AnswerColumn[] = action === undefined ? routine.columns : action.returns;
  const rows = action?.rows ?? [];
  const output = [
    ...own.map(({ name, template }) => `${name}: ${template}`),
    ...rows.map(
      ({ as, columns, isLoose }) =>
        `${as}: t.object({ ${columns.map(({ field, template }) => `${field}: ${template}`).join(', ')} })${isLoose ? '.optional()' : ''}`,
    ),
  ];
  const shown = [
    ...own.map(({ name }) => `${name}: answer.${name}`),
    ...rows.map(({ as, columns, isLoose }) => {
      const object = `{ ${columns.map(({ name, field }) => `${field}: answer.${name}`).join(', ')} }`;
      return isLoose ? `${as}: answer.${columns[0]?.name ?? ''} === null ? null : ${object}` : `${as}: ${object}`;
    }),
  ];
  return `${head}{ ${input}, output: { ${output.join(', ')} } }, async ({ ${takes} }) => {
      const answer = await ${call};
      if (answer === undefined) throw notFound();
      return { ${shown.join(', ')} };
    })${idempotent},`;
}
