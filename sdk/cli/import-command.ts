import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { ImportedDomain, ImportNote } from '../generate/index.js';
import { didYouMean } from '../nearest.js';
import type { AuthorContext, AuthorSettings } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { DOMAIN } from './create-command.js';
import { printable } from './print.js';

const DEFAULT_SAMPLE = 1000;
const MOST_SAMPLE = 100_000;

export const importCommand: Command<AuthorContext> = {
  name: 'import',
  summary: 'Write the specification of a new domain from tables of MySQL or MariaDB, or from collections of MongoDB.',
  usage:
    'import <domain> --table <table>[,<table>…] | --collection <collection>[,…] [--sample <number>] [--store <name>]',
  options: {
    store: {
      type: 'string',
      short: 's',
      value: '<name>',
      description: 'A [stores.*] entry of the configuration. Default: main.',
    },
    table: {
      type: 'string',
      short: 't',
      value: '<tables>',
      description: 'The tables of a store of kind mysql, with commas between them.',
    },
    collection: {
      type: 'string',
      value: '<collections>',
      description: 'The collections of a store of kind mongodb, with commas between them.',
    },
    sample: {
      type: 'string',
      value: '<number>',
      description: `How many documents of each collection are read at most, up to ${MOST_SAMPLE.toLocaleString('en')}. Default: ${DEFAULT_SAMPLE.toLocaleString('en')}.`,
    },
  },
  details:
    'Of tables it reads columns, keys, references, CHECK constraints, defaults, computed columns and comments as administrator, in a transaction that ' +
    'writes nothing. Of collections it reads indexes and a sample of documents: types and how often, and no value of them is shown or kept. ' +
    'It writes domain.json, which passes `beds spec check`. What the language has no word for is listed with the reason, and so is what is of ' +
    'several types: nothing is approximated. The document describes a domain that is generated beside what is there, with tables or collections ' +
    'and operations of its own. What is there stays as it is, and nothing of it is copied.',
  run: async (context) => {
    const { cwd, args, out, json } = context;
    const [domain, ...more] = args;
    if (domain === undefined || more.length > 0 || !DOMAIN.test(domain)) {
      const message = 'Name the domain with at most 30 lower-case letters, digits and -, starting with a letter.';
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const tools = await context.tools();
    const settings = tools.settings();
    const { store, kind } = storeOf(context, settings);
    const parent = settings.isPluginsSaid || existsSync(settings.plugins) ? settings.plugins : cwd;
    const file = join(parent, domain, 'domain.json');
    if (existsSync(file)) throw commandErrors.make('BEDS_CLI_TARGET_EXISTS', `${relative(cwd, file)} exists already.`);
    const { imported, seen, clashes } = await SOURCES[kind].read(context, { domain, store });
    const language = await tools.language();
    mkdirSync(join(parent, domain), { recursive: true });
    writeFileSync(file, language.formatSpecification(imported.specification), { flag: 'wx' });
    const { leftOut, changed } = imported;
    if (json) {
      out.value({ domain, store, file, leftOut, changed, clashes, ...(seen === undefined ? {} : { seen }) });
      return EXIT.ok;
    }
    const { these, one, rows } = SOURCES[kind];
    const shown = relative(cwd, file);
    out.line(
      `${shown}: a domain beside these ${these}, with ${these} of its own. They stay as they are; no ${rows} is copied.`,
    );
    for (const line of [
      ...listed('What was seen:', seen ?? []),
      ...listed('Left out, because the language has no word for it:', leftOut),
      ...listed('Said in another way:', changed),
    ])
      out.line(printable(line));
    for (const name of clashes)
      out.line(
        `\n${printable(name)} is there already, and the domain has a ${one} of that name: \`db apply\` would put its ${SOURCES[kind].made} on it as it is. Choose another name, unless it was generated.`,
      );
    out.line('\nNext:');
    for (const step of ['spec check', 'spec explain', 'generate', 'db plan'])
      out.line(`  ${context.beds} ${step} ${domain}`);
    return EXIT.ok;
  },
};

type Kind = 'mysql' | 'mongodb';

/** Throws BEDS_CLI_ARGUMENT_INVALID. */
function storeOf(
  { options }: AuthorContext,
  { stores }: AuthorSettings,
): { readonly store: string; readonly kind: Kind } {
  const store = typeof options['store'] === 'string' ? options['store'] : 'main';
  const kind = Object.hasOwn(stores, store) ? stores[store] : undefined;
  const known = Object.keys(stores);
  if (kind === undefined) {
    const message = `The configuration has no store ${store}.${didYouMean(store, known)} Known: ${known.join(', ') || 'none'}.`;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
  }
  const other = kind === 'mysql' ? ['collection', 'sample'] : ['table'];
  const wrong = other.find((name) => options[name] !== undefined);
  if (wrong === undefined) return { store, kind };
  const message = `The store ${store} is of kind ${kind}, and --${wrong} is of another. ${SOURCES[kind].ask}`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

interface Imported {
  readonly imported: ImportedDomain;
  /** What was seen in a sample. */
  readonly seen?: readonly ImportNote[];
  /** What the database has already under the name of something of the new domain. */
  readonly clashes: readonly string[];
}

interface Wanted {
  readonly domain: string;
  readonly store: string;
}

interface Source {
  readonly these: string;
  readonly one: string;
  readonly rows: string;
  /** What the domain puts on it. */
  readonly made: string;
  /** How it is asked for. */
  readonly ask: string;
  /** Throws BEDS_CLI_ARGUMENT_INVALID where one is not there, or nothing of it can be said. */
  readonly read: (context: AuthorContext, wanted: Wanted) => Promise<Imported>;
}

const SOURCES: Readonly<Record<Kind, Source>> = {
  mysql: {
    ...{ these: 'tables', one: 'table', rows: 'row', made: 'procedures' },
    ask: 'Name the tables: --table orders,order_line.',
    read: async (context, { domain, store }) => {
      const tools = await context.tools();
      const wanted = namesIn(context.options['table']);
      const tables = await tools.readTables(store, wanted);
      refuseUnknown('mysql', { store, wanted, known: tables.known });
      const { specificationOfTables } = await tools.generator();
      const imported = said(() => specificationOfTables({ domain, store, tables }));
      return { imported, clashes: clashesOf(imported, domain, tables.known) };
    },
  },
  mongodb: {
    ...{ these: 'collections', one: 'collection', rows: 'document', made: 'indexes and validator' },
    ask: 'Name the collections: --collection orders,customers.',
    read: async (context, { domain, store }) => {
      const tools = await context.tools();
      const wanted = namesIn(context.options['collection']);
      const collections = await tools.readCollections(store, { wanted, sample: sampleIn(context) });
      refuseUnknown('mongodb', { store, wanted, known: collections.known });
      const { specificationOfCollections } = await tools.generator();
      const { seen, ...imported } = said(() => specificationOfCollections({ domain, store, collections }));
      return { imported, seen, clashes: clashesOf(imported, domain, collections.known) };
    },
  },
};

function namesIn(option: unknown): readonly string[] {
  const names = (typeof option === 'string' ? option : '').split(',').map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}

/** Throws BEDS_CLI_ARGUMENT_INVALID. */
function sampleIn({ options }: AuthorContext): number {
  const given = options['sample'];
  if (given === undefined) return DEFAULT_SAMPLE;
  const sample = Number(given);
  if (Number.isInteger(sample) && sample >= 1 && sample <= MOST_SAMPLE) return sample;
  const message = `--sample is a whole number from 1 to ${MOST_SAMPLE.toLocaleString('en')}.`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

function refuseUnknown(
  kind: Kind,
  {
    store,
    wanted,
    known,
  }: { readonly store: string; readonly wanted: readonly string[]; readonly known: readonly string[] },
): void {
  const missing = wanted.find((name) => !known.includes(name));
  if (wanted.length > 0 && missing === undefined) return;
  const { ask, one } = SOURCES[kind];
  const problem =
    missing === undefined ? ask : `The database of ${store} has no ${one} ${missing}.${didYouMean(missing, known)}`;
  const message = `${problem} It has: ${printable(known.slice(0, 60).join(', ')) || 'none'}.`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

function said<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', printable(cause.message), { cause });
  }
}

function clashesOf({ specification }: ImportedDomain, domain: string, known: readonly string[]): readonly string[] {
  const own = specification.records.map(({ name }) => `${domain.replaceAll('-', '_')}_${name}`);
  return own.filter((name) => known.includes(name));
}

function listed(title: string, notes: readonly ImportNote[]): readonly string[] {
  return notes.length === 0 ? [] : ['', title, ...notes.map(({ name, reason }) => `  - ${name}: ${reason}`)];
}
