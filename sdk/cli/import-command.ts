import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { ImportedDomain, ImportNote } from '../generate/index.js';
import { didYouMean } from '../nearest.js';
import type { AuthorContext, AuthorSettings } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { DOMAIN } from './create-command.js';
import { printable } from './print.js';

export const importCommand: Command<AuthorContext> = {
  name: 'import',
  summary: 'Write the specification of a new domain from tables of a MySQL or MariaDB database.',
  usage: 'import <domain> --table <table>[,<table>…] [--store <name>]',
  options: {
    store: {
      type: 'string',
      short: 's',
      value: '<name>',
      description: 'A [stores.*] entry of the configuration, of kind mysql. Default: main.',
    },
    table: { type: 'string', short: 't', value: '<tables>', description: 'The tables, with commas between them.' },
  },
  details:
    'Reads columns, keys, references, CHECK constraints, defaults, computed columns and comments as administrator, in a transaction that writes ' +
    'nothing, and writes domain.json, which passes `beds spec check`. What the language has no word for is listed with the reason: nothing is approximated. ' +
    'The document describes a domain that is generated beside those tables, with tables and procedures of its own. The tables themselves stay as ' +
    'they are, and no row is copied. Collections of MongoDB are not imported: they say nothing of their fields.',
  run: async (context) => {
    const { cwd, args, out, json } = context;
    const [domain, ...more] = args;
    if (domain === undefined || more.length > 0 || !DOMAIN.test(domain)) {
      const message = 'Name the domain with at most 30 lower-case letters, digits and -, starting with a letter.';
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const tools = await context.tools();
    const settings = tools.settings();
    const store = storeOf(context, settings);
    const parent = settings.isPluginsSaid || existsSync(settings.plugins) ? settings.plugins : cwd;
    const file = join(parent, domain, 'domain.json');
    if (existsSync(file)) throw commandErrors.make('BEDS_CLI_TARGET_EXISTS', `${relative(cwd, file)} exists already.`);
    const { imported, clashes } = await importTables(context, { domain, store });
    const language = await tools.language();
    mkdirSync(join(parent, domain), { recursive: true });
    writeFileSync(file, language.formatSpecification(imported.specification), { flag: 'wx' });
    const { leftOut, changed } = imported;
    if (json) {
      out.value({ domain, store, file, leftOut, changed, clashes });
      return EXIT.ok;
    }
    const shown = relative(cwd, file);
    out.line(
      `${shown}: a domain beside these tables, with tables of its own. They stay as they are; no row is copied.`,
    );
    for (const line of [
      ...listed('Left out, because the language has no word for it:', leftOut),
      ...listed('Said in another way:', changed),
    ])
      out.line(printable(line));
    for (const name of clashes)
      out.line(
        `\n${printable(name)} is there already, and the domain has a table of that name: \`db apply\` would put its procedures on it as it is. Choose another name, unless it was generated.`,
      );
    out.line('\nNext:');
    for (const step of ['spec check', 'spec explain', 'generate', 'db plan'])
      out.line(`  ${context.beds} ${step} ${domain}`);
    return EXIT.ok;
  },
};

/** Throws BEDS_CLI_ARGUMENT_INVALID. */
function storeOf({ options }: AuthorContext, { stores }: AuthorSettings): string {
  const store = typeof options['store'] === 'string' ? options['store'] : 'main';
  const kind = Object.hasOwn(stores, store) ? stores[store] : undefined;
  if (kind === 'mysql') return store;
  const known = Object.keys(stores);
  const message =
    kind === undefined
      ? `The configuration has no store ${store}.${didYouMean(store, known)} Known: ${known.join(', ') || 'none'}.`
      : `The store ${store} is MongoDB, whose collections say nothing of their fields. Write domain.json by hand, or describe the domain to \`beds design\`; \`beds create\` begins one.`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

interface Imported {
  readonly imported: ImportedDomain;
  /** Tables of the database that are called as one of the new domain. */
  readonly clashes: readonly string[];
}

/** Throws BEDS_CLI_ARGUMENT_INVALID where a table is not there, or nothing of it can be said. */
async function importTables(
  { options, tools: open }: AuthorContext,
  { domain, store }: { readonly domain: string; readonly store: string },
): Promise<Imported> {
  const said = typeof options['table'] === 'string' ? options['table'] : '';
  const names = said.split(',').map((name) => name.trim());
  const wanted = [...new Set(names.filter((name) => name !== ''))];
  const tools = await open();
  const tables = await tools.readTables(store, wanted);
  const { known } = tables;
  const missing = wanted.find((name) => !known.includes(name));
  if (wanted.length === 0 || missing !== undefined) {
    const problem =
      missing === undefined
        ? 'Name the tables: --table orders,order_line.'
        : `The database of ${store} has no table ${missing}.${didYouMean(missing, known)}`;
    const message = `${problem} It has: ${printable(known.slice(0, 60).join(', ')) || 'none'}.`;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
  }
  const { specificationOfTables } = await tools.generator();
  try {
    const imported = specificationOfTables({ domain, store, tables });
    const own = imported.specification.records.map(({ name }) => `${domain.replaceAll('-', '_')}_${name}`);
    return { imported, clashes: own.filter((name) => known.includes(name)) };
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', printable(cause.message), { cause });
  }
}

function listed(title: string, notes: readonly ImportNote[]): readonly string[] {
  return notes.length === 0 ? [] : ['', title, ...notes.map(({ name, reason }) => `  - ${name}: ${reason}`)];
}
