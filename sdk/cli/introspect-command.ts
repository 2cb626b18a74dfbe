import { existsSync, writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { AuthorContext, DescribedValue, StoreObject } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';

export const introspectCommand: Command<AuthorContext> = {
  name: 'introspect',
  summary: 'Write the definitions of the objects of a database, so that nobody types columns by hand.',
  usage: 'introspect <store> [object…] [--out <file>] [--force]',
  options: {
    out: { type: 'string', short: 'o', value: '<file>', description: 'Output file. Default: standard output.' },
    force: { type: 'boolean', description: 'Replace an existing file.' },
  },
  details:
    'Covers views, procedures and functions of MySQL and MariaDB, and the catalogue of MongoDB. Only objects that are granted to the ' +
    'account of the store are visible. Name objects to select them; `cities_*` selects by prefix. The same database gives the same ' +
    'text. `beds check` finds where a template and its database differ.',
  run: async (context) => {
    const { cwd, out, json, options } = context;
    const [store, ...names] = context.args;
    if (store === undefined) throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Name the store.');
    const all = await (await context.tools()).describeStore(store);
    const chosen = all.filter(({ name }) => names.length === 0 || names.some((wanted) => fits(name, wanted)));
    const missing = names.filter((wanted) => !all.some(({ name }) => fits(name, wanted)));
    if (missing.length > 0) {
      const message = `The store ${store} has no ${missing.join(', ')}, or its account may not see it. It has: ${all.map(({ name }) => name).join(', ') || 'nothing'}.`;
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const text = definitionsText(store, chosen);
    if (typeof options['out'] === 'string') {
      const path = resolve(cwd, options['out']);
      if (existsSync(path) && options['force'] !== true) {
        const message = `${relative(cwd, path)} exists already; --force replaces it.`;
        throw commandErrors.make('BEDS_CLI_TARGET_EXISTS', message);
      }
      writeFileSync(path, text);
    }
    if (json) out.value({ store, objects: chosen, text });
    else if (typeof options['out'] === 'string') out.line(`${chosen.length} objects of ${store}: ${options['out']}`);
    else out.line(text.trimEnd());
    return EXIT.ok;
  },
};

function fits(name: string, wanted: string): boolean {
  return wanted.endsWith('*') ? name.startsWith(wanted.slice(0, -1)) : name === wanted;
}

/** A module that exports each object under its name in camelCase. */
export function definitionsText(store: string, objects: readonly StoreObject[]): string {
  const sorted = objects.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const constants = constantsOf(sorted);
  const used = [...new Set(sorted.map(({ kind }) => MAKERS[kind]))].sort();
  const imports =
    sorted.length === 0 ? [] : [...used.filter((name) => name < 't'), 't', ...used.filter((name) => name > 't')];
  const head = `// The objects of the store ${store} that its account can see. Written by \`beds introspect ${store}\`.`;
  if (imports.length === 0) return `${head}\nexport {};\n`;
  const from = `import { ${imports.join(', ')} } from '@beds/sdk';`;
  return [head, from, '', ...sorted.map((object, place) => definitionText(object, constants[place] ?? ''))].join('\n');
}

const MAKERS = { view: 'view', procedure: 'procedure', function: 'fn' } as const;

/** A name for each object that is one in TypeScript, and no other's. */
function constantsOf(objects: readonly StoreObject[]): readonly string[] {
  const constants: string[] = [];
  for (const { name } of objects) {
    const joined = name.replaceAll(/[^A-Za-z0-9]+(.)?/g, (_, next: string | undefined) => (next ?? '').toUpperCase());
    const constant = /^\d|^$/.test(joined) || TAKEN.has(joined) ? `_${joined}` : joined;
    const others = constants.filter((other) => other === constant || other.startsWith(`${constant}_`)).length;
    constants.push(others === 0 ? constant : `${constant}_${others + 1}`);
  }
  return constants;
}

/** Words of the language, and what the file imports. */
const TAKEN: ReadonlySet<string> = new Set([
  ...['t', 'fn', 'view', 'procedure', 'await', 'yield', 'let', 'static', 'enum', 'eval', 'arguments', 'implements'],
  ...['interface', 'package', 'private', 'protected', 'public', 'break', 'case', 'catch', 'class', 'const', 'continue'],
  ...['debugger', 'default', 'delete', 'do', 'else', 'export', 'extends', 'false', 'finally', 'for', 'function', 'if'],
  ...[
    'import',
    'in',
    'instanceof',
    'new',
    'null',
    'return',
    'super',
    'switch',
    'this',
    'throw',
    'true',
    'try',
    'typeof',
  ],
  ...['var', 'void', 'while', 'with'],
]);

/** For the rest of a line: what a database says of a type may have several. */
function onOneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}

function definitionText(object: StoreObject, constant: string): string {
  const { kind, name, problem } = object;
  const note = problem === undefined ? '' : `// n.b. BEDS cannot serve it as it is: ${onOneLine(problem)}.\n`;
  const { args = [], gives = [] } = object;
  const prefix = prefixOf([...args, ...gives].map((value) => value.name));
  const unprefixed = args.map((value) => ({ ...value, name: value.name.slice(prefix.length) }));
  const fields =
    kind === 'view' ? `t.row(${fieldsText(object.columns ?? [], 'column')})` : fieldsText(unprefixed, 'argument');
  const given = gives.map((value) => ({ ...value, name: value.name.slice(prefix.length) }));
  const row = object.returns ?? (given.length > 0 ? given : undefined);
  const returns = row === undefined ? [] : [returnsText(row)];
  const parts = [`'${name}'`, fields, ...returns];
  const end = prefix === '' ? '' : `.prefix('${prefix}')`;
  const told = kind === 'procedure' && object.returns === undefined ? toldOf(gives.length > 0) : '';
  return `${note}${told}export const ${constant} = ${MAKERS[kind]}(${parts.join(', ')})${end};\n`;
}

function toldOf(givesBack: boolean): string {
  return givesBack
    ? '// The row of its OUT and INOUT parameters. Result sets of its own come before it: [t.list(…), t.row(…)].\n'
    : '// The catalogue of the database does not say what it returns: name its row as the third argument.\n';
}

/** What DBAs begin all names of parameters with, so that they are no names of columns. */
const PREFIX = /^(?:(?:p|in|arg|par|param)_|_)(?=[A-Za-z])/;

function prefixOf(names: readonly string[]): string {
  const [prefix = ''] = PREFIX.exec(names[0] ?? '') ?? [];
  return names.every((name) => name.startsWith(prefix) && /^[A-Za-z]/.test(name.slice(prefix.length))) ? prefix : '';
}

function returnsText(returns: NonNullable<StoreObject['returns']>): string {
  return Array.isArray(returns)
    ? `t.row(${fieldsText(returns as readonly DescribedValue[], 'column')})`
    : `t.${typeText(returns as DescribedValue)}`;
}

function fieldsText(values: readonly DescribedValue[], place: 'argument' | 'column'): string {
  if (values.length === 0) return '{}';
  const lines = values.map((value) => {
    const isAbsent = value.optional === true || value.nullable === true;
    const absence = isAbsent ? '.optional()' : '';
    const note = place === 'column' || value.nativeType === undefined ? '' : ` // ${onOneLine(value.nativeType)}`;
    return `  ${value.name}: t.${typeText(value)}${absence},${note}`;
  });
  return `{\n${lines.join('\n')}\n}`;
}

const TYPES: Readonly<Record<string, string>> = { integer: 'int' };

function typeText({ type, maxLength, min, max }: DescribedValue): string {
  const bounds = [
    ...(maxLength === undefined ? [] : [`max: ${maxLength}`]),
    ...(min === undefined ? [] : [`min: ${min}`]),
    ...(max === undefined ? [] : [`max: ${max}`]),
  ];
  return `${TYPES[type] ?? type}(${bounds.length === 0 ? '' : `{ ${bounds.join(', ')} }`})`;
}
