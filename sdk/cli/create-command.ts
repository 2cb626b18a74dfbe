import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { didYouMean } from '../nearest.js';
import type { AuthorContext, AuthorSettings, StoreKind } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { CONFIGURATION, projectOf } from './domains.js';
import { withRecord } from './generate-command.js';
import {
  type DomainFiles,
  type NewDomain,
  projectFiles,
  smallSpecification,
  storeText,
  workplaceFiles,
} from './new-domain.js';

/** What a domain may be called. */
export const DOMAIN = /^[a-z][a-z0-9-]{0,29}$/;

export const createCommand: Command<AuthorContext> = {
  name: 'create',
  summary: 'Start a new domain: its specification, and what is generated from it.',
  usage: 'create <domain> [--store <name>] [--database <kind>]',
  options: {
    store: {
      type: 'string',
      short: 's',
      value: '<name>',
      description: 'A [stores.*] entry of the configuration. Default: main.',
    },
    database: {
      type: 'string',
      value: '<kind>',
      description: 'mysql (also for MariaDB) or mongodb, if no configuration says which. Default: mysql.',
    },
  },
  details:
    'The new domain has records with an id and a name. domain.json says so, in the language of `beds spec`; database objects, template, test and ' +
    'documentation are made from it, as by `beds generate`, for the database of its store. It builds and passes its test as it is. It is created in plugins.directory ' +
    'if a configuration names one, otherwise in the working directory. The first domain of a project also gets a tsconfig.json, a ' +
    '.gitignore and a configuration. Outside a project that has @beds/sdk it becomes a project of its own, with a package.json.',
  run: async (context) => {
    const {
      cwd,
      args: [domain, ...more],
      options,
      out,
      json,
    } = context;
    if (domain === undefined || more.length > 0 || !DOMAIN.test(domain)) {
      const message = 'Name the domain with at most 30 lower-case letters, digits and -, starting with a letter.';
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const settings = (await context.tools()).settings();
    const parent = settings.isPluginsSaid || existsSync(settings.plugins) ? settings.plugins : cwd;
    const folder = join(parent, domain);
    const shown = relative(cwd, folder);
    if (existsSync(folder)) throw commandErrors.make('BEDS_CLI_TARGET_EXISTS', `${shown} exists already.`);
    const store = typeof options['store'] === 'string' ? options['store'] : 'main';
    const { projectRoot } = context;
    const isOwnProject = ![projectRoot, projectOf(parent)].some(usesSdk);
    const isFirst = !isOwnProject && isUnconfigured(settings, projectRoot);
    const kind = kindOf(settings, { store, database: options['database'], isNew: isOwnProject || isFirst });
    const asked = { domain, store, kind };
    const own = filesIn(folder, {
      ...(await domainFiles(asked, context)),
      ...(isOwnProject ? projectFiles(asked) : {}),
    });
    const shared = isFirst ? filesIn(projectRoot, workplaceFiles(asked, ['*/*.ts'])) : [];
    // What the project has already is its own.
    const files = [...own, ...shared.filter(({ path }) => !existsSync(path))];
    for (const { path, text } of files) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text, { flag: 'wx' });
    }
    if (!isOwnProject && !isFirst && settings.stores[store] === undefined) addStore(asked, projectRoot);
    if (json) out.value({ domain, store, folder, files: files.map(({ path }) => relative(folder, path)) });
    else {
      for (const { path } of files) out.line(relative(cwd, path));
      out.line('\nNext:');
      const steps = isOwnProject ? ownSteps(shown, context) : stepsWithin(domain, { parent, isFirst }, context);
      for (const step of steps) out.line(`  ${step}`);
    }
    return EXIT.ok;
  },
};

/** A small specification, and what is made from it. */
async function domainFiles(asked: NewDomain, context: AuthorContext): Promise<DomainFiles> {
  const tools = await context.tools();
  const [language, { generateMysql, generateMongodb }] = await Promise.all([tools.language(), tools.generator()]);
  const specification = smallSpecification(asked);
  const { checked, problems } = language.checkSpecification(specification);
  if (checked === undefined) {
    const message = `${asked.domain} cannot be the name of a domain, or ${asked.store} that of its store: ${problems[0]?.message ?? ''}`;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
  }
  const { files = {} } = asked.kind === 'mongodb' ? generateMongodb(checked) : generateMysql(checked);
  return { 'domain.json': language.formatSpecification(specification), ...withRecord(files) };
}

function filesIn(folder: string, texts: Readonly<Record<string, string>>): readonly { path: string; text: string }[] {
  return Object.entries(texts).map(([name, text]) => ({ path: join(folder, name), text }));
}

function addStore(asked: NewDomain, projectRoot: string): void {
  const path = join(projectRoot, CONFIGURATION);
  if (existsSync(path)) appendFileSync(path, `\n${storeText(asked)}`);
}

/** From the template to a served domain, in a project that is there. */
function stepsWithin(
  domain: string,
  { parent, isFirst }: { readonly parent: string; readonly isFirst: boolean },
  { projectRoot, cwd, beds }: AuthorContext,
): readonly string[] {
  // n.b. outside of a directory that a host watches, a domain is tried by `dev`, the second one as well.
  if (isFirst || parent === cwd)
    return ['test', 'db apply', 'check', 'dev'].map((command) => `${beds} ${command} ${domain}`);
  const isInside = parent === join(projectRoot, 'plugins');
  const out = isInside ? relative(cwd, parent) || '.' : parent;
  return [`${beds} test ${domain}`, `${beds} db apply ${domain}`, `${beds} build ${domain} --file --out ${out}`];
}

/** In a project of its own. */
function ownSteps(shown: string, { beds }: AuthorContext): readonly string[] {
  return [`cd ${shown}`, 'npm install', `${beds} test`, `${beds} db apply`, `${beds} check`, `${beds} dev`];
}

/** Whether a project has the SDK as a dependency, or is the checkout of BEDS. */
function usesSdk(project: string): boolean {
  const path = join(project, 'package.json');
  if (!existsSync(path)) return false;
  try {
    const { dependencies, devDependencies } = JSON.parse(readFileSync(path, 'utf8')) as Readonly<
      Record<string, Readonly<Record<string, string>> | undefined>
    >;
    return Object.hasOwn({ ...dependencies, ...devDependencies }, '@beds/sdk');
  } catch (cause) {
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `${path} is not JSON.`, { cause });
  }
}

interface Asked {
  readonly store: string;
  readonly database: unknown;
  /** Whether the configuration is made now, and takes any store. */
  readonly isNew: boolean;
}

/** Whether nobody has said of this project which databases it has. */
function isUnconfigured({ stores }: AuthorSettings, projectRoot: string): boolean {
  return Object.keys(stores).length === 0 && !existsSync(join(projectRoot, CONFIGURATION));
}

function kindOf({ stores }: AuthorSettings, { store, database, isNew }: Asked): StoreKind {
  const kind = stores[store];
  if (kind !== undefined && (database === undefined || database === kind)) return kind;
  if (kind !== undefined) {
    const message = `The configuration says that the store ${store} is of kind ${kind}.`;
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', message);
  }
  if (isNew || database !== undefined) {
    if (database === undefined || database === 'mysql' || database === 'mongodb') return database ?? 'mysql';
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', '--database must be mysql or mongodb.');
  }
  const known = Object.keys(stores);
  const names = known.length === 0 ? 'It has none.' : `Known: ${known.join(', ')}.`;
  const message = `The configuration has no store ${store}.${didYouMean(store, known)} ${names}`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}
