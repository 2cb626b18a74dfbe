import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { didYouMean } from '../nearest.js';
import type { AuthorContext, AuthorSettings, StoreKind } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { projectOf } from './domains.js';
import { domainFiles, projectFiles } from './scaffold/domain-files.js';

const DOMAIN = /^[a-z][a-z0-9-]{0,62}$/;

export const createCommand: Command<AuthorContext> = {
  name: 'create',
  summary: 'Start a new domain: a template, its test and its database objects.',
  usage: 'create <domain> [--store <name>] [--database <kind>]',
  options: {
    store: {
      type: 'string',
      short: 's',
      value: '<name>',
      description: 'A [stores.*] of the configuration. Default: main.',
    },
    database: {
      type: 'string',
      value: '<kind>',
      description: 'mysql (serves MariaDB too) or mongodb, where no configuration says. Default: mysql.',
    },
  },
  details:
    'The domain starts with records of an id and a name. It builds and passes its test as it is. It goes into plugins.directory ' +
    'where a configuration names one, else into the working directory. Outside a project that has @beds/sdk it is a ' +
    'project of its own, with a package.json, a tsconfig.json and a configuration.',
  run: async (context) => {
    const {
      cwd,
      args: [domain, ...more],
      options,
      out,
      json,
    } = context;
    if (domain === undefined || more.length > 0 || !DOMAIN.test(domain)) {
      const message = 'Give the domain one name of lower-case letters, digits and -, a letter first.';
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const settings = (await context.tools()).settings();
    const parent = settings.isPluginsSaid || existsSync(settings.plugins) ? settings.plugins : cwd;
    const folder = join(parent, domain);
    const shown = relative(cwd, folder);
    if (existsSync(folder)) throw commandErrors.make('BEDS_CLI_TARGET_EXISTS', `There is a ${shown} already.`);
    const store = typeof options['store'] === 'string' ? options['store'] : 'main';
    const isOwnProject = ![context.projectRoot, projectOf(parent)].some(usesSdk);
    const kind = kindOf(settings, { store, database: options['database'], isOwnProject });
    const files = {
      ...domainFiles({ domain, store, kind }),
      ...(isOwnProject ? projectFiles({ domain, store, kind }) : {}),
    };
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text, { flag: 'wx' });
    }
    if (json) out.value({ domain, store, folder, files: Object.keys(files) });
    else {
      for (const name of Object.keys(files)) out.line(join(shown, name));
      out.line('\nNext:');
      const steps = isOwnProject ? ownSteps(shown, context) : stepsWithin(domain, parent, context);
      for (const step of steps) out.line(`  ${step}`);
    }
    return EXIT.ok;
  },
};

/** From the template to a served domain, in a project that is there. */
function stepsWithin(domain: string, parent: string, { projectRoot, cwd, beds }: AuthorContext): readonly string[] {
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
  readonly isOwnProject: boolean;
}

function kindOf({ stores }: AuthorSettings, { store, database, isOwnProject }: Asked): StoreKind {
  const kind = stores[store];
  if (kind !== undefined && (database === undefined || database === kind)) return kind;
  if (kind !== undefined) {
    const message = `The configuration says that the store ${store} is of kind ${kind}.`;
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', message);
  }
  if (isOwnProject || database !== undefined) {
    if (database === undefined || database === 'mysql' || database === 'mongodb') return database ?? 'mysql';
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', '--database is mysql or mongodb.');
  }
  const known = Object.keys(stores);
  const names = known.length === 0 ? 'It has none.' : `Known: ${known.join(', ')}.`;
  const message = `The configuration has no store ${store}.${didYouMean(store, known)} ${names}`;
  throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}
