import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, parse, resolve } from 'node:path';
import type { AuthorContext } from './author.js';
import { commandErrors } from './command-errors.js';

/** The folder of a domain's sources. */
export interface DomainFolder {
  readonly name: string;
  readonly folder: string;
}

/** What makes a folder one of a domain: its template, or what it has for the DBA. */
export const MARKS = { template: 'template.ts', db: 'db' } as const;
export type Mark = keyof typeof MARKS;

/** The file that is built; undefined where the folder has none. */
export function entryOf(folder: string): string | undefined {
  return [join(folder, 'template.ts'), join(folder, 'template.js')].find(isFile);
}

/**
 * The domains that a command is about. A name is a path from where the user is, or a folder in `plugins.directory`. Without a
 * name: the working directory, else its folders that are domains, else those in `plugins.directory`. Throws
 * BEDS_CLI_ARGUMENT_INVALID.
 */
export async function findDomains(context: AuthorContext, mark: Mark): Promise<readonly DomainFolder[]> {
  const { cwd, args } = context;
  const has = (folder: string): boolean =>
    mark === 'template' ? entryOf(folder) !== undefined : existsSync(join(folder, MARKS.db));
  // n.b. read only where it is needed: what is named by its path needs no configuration.
  const plugins = async (): Promise<string> => (await context.tools()).settings().plugins;
  const below = (folder: string): readonly string[] => foldersIn(folder).filter(has);
  if (args.length > 0) {
    const found: string[] = [];
    for (const name of args) {
      const isHere = has(resolve(cwd, name));
      const folder = isHere ? resolve(cwd, name) : join(await plugins(), name);
      if (!has(folder)) throw notThere(`There is no ${MARKS[mark]} in ${resolve(cwd, name)}.`, below(dirname(folder)));
      found.push(folder);
    }
    return found.map(toDomain);
  }
  if (has(cwd)) return [toDomain(cwd)];
  const here = below(cwd);
  const found = here.length > 0 ? here : below(await plugins());
  if (found.length > 0) return found.map(toDomain);
  throw notThere(`Neither ${cwd} nor a folder in it, nor one in ${await plugins()}, has a ${MARKS[mark]}.`, []);
}

/** Which databases and hosts there are, relative to a project. */
export const CONFIGURATION = join('config', 'beds.toml');

/** The nearest folder upwards that has a package.json; where none has, the folder itself. */
export function projectOf(folder: string): string {
  return nearestWith('package.json', folder) ?? folder;
}

/** The folder whose configuration holds for `folder`. n.b. a domain has a package.json of its own, within the project that is configured. */
export function configuredProjectOf(folder: string): string {
  return nearestWith(CONFIGURATION, folder) ?? projectOf(folder);
}

function nearestWith(path: string, folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, path))) return at;
    if (at === parse(at).root) return undefined;
  }
}

function notThere(problem: string, known: readonly string[]): Error {
  const names = known.length === 0 ? '' : ` Known are ${known.map((folder) => basename(folder)).join(', ')}.`;
  return commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `${problem}${names}`);
}

function toDomain(folder: string): DomainFolder {
  return { name: basename(folder), folder };
}

function foldersIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.'))
    .map(({ name }) => join(folder, name))
    .sort();
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
