import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { AuthorContext } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { lineOfPath } from './document-lines.js';
import { printable } from './print.js';
import { findSpecifications } from './spec-command.js';

/** Beside the files: with which bytes each was made, so that what a person has changed is seen. */
const RECORD = 'generated.json';

export const generateCommand: Command<AuthorContext> = {
  name: 'generate',
  summary: 'Make the tables, views, procedures and the template of a domain from its domain.json.',
  usage: 'generate [domain or file…] [--for mysql|mongodb] [--check] [--force]',
  options: {
    for: {
      type: 'string',
      description: 'The database: mysql, which is MariaDB as well, or mongodb. Default: that of its store, or mysql.',
    },
    check: { type: 'boolean', description: 'Write nothing; exit with 1 where a file is not as it would be made.' },
    force: { type: 'boolean', description: 'Write over files that a person has changed.' },
  },
  details:
    'For MySQL and MariaDB, or for MongoDB. The same document gives the same bytes. The files go beside it: db/ for the DBA, template.ts, README.md. What the generator cannot make it ' +
    `names with its line, and makes nothing of that domain then. ${RECORD} notes with which bytes each file was made: one that a person has changed is never written over without --force.`,
  run: async (context) => {
    const files = await findSpecifications(context, context.args);
    const outcomes: boolean[] = [];
    for (const file of files) outcomes.push(await generateOne(context, file));
    return outcomes.every(Boolean) ? EXIT.ok : EXIT.failed;
  },
};

/** Throws BEDS_CLI_NOT_GENERATED, BEDS_CLI_TARGET_EXISTS. */
export async function generateOne(context: AuthorContext, file: string): Promise<boolean> {
  const tools = await context.tools();
  const [language, { generateMysql, generateMongodb }] = await Promise.all([tools.language(), tools.generator()]);
  const text = readFileSync(file, 'utf8');
  const shown = relative(context.cwd, file);
  const answer = language.readAnswer(text);
  const { checked } = answer.ok ? language.checkSpecification(answer.document) : {};
  if (checked === undefined)
    throw commandErrors.make(
      'BEDS_CLI_ARGUMENT_INVALID',
      `${shown} has problems: beds spec check ${shown} lists them.`,
    );
  const database = context.options['for'] ?? tools.settings().stores[checked.source.store] ?? 'mysql';
  if (database !== 'mysql' && database !== 'mongodb')
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', '--for knows mysql, which is MariaDB as well, and mongodb.');
  const { files, refused } = database === 'mysql' ? generateMysql(checked) : generateMongodb(checked);
  if (files === undefined) {
    const lines = refused.map(({ path, construct }) => {
      const line = lineOfPath(text, path);
      return `${shown}${line === undefined ? '' : `:${String(line)}`}: ${path}: ${construct}`;
    });
    throw commandErrors.make(
      'BEDS_CLI_NOT_GENERATED',
      `Nothing is made of ${checked.domain}, because the generator does not make: ${printable(lines.join('; '))}.`,
      {
        hint: 'Say it in another way, or write these objects by hand: the other files of a domain are as plain as yours.',
      },
    );
  }
  return write(context, { folder: dirname(file), domain: checked.domain, files });
}

interface Made {
  readonly folder: string;
  readonly domain: string;
  readonly files: Readonly<Record<string, string>>;
}

/** Written where there is none, and the author's from then on: it has a version, and packages. */
const ONCE = 'package.json';

/** Writes what differs, and says so. Throws BEDS_CLI_TARGET_EXISTS where a person has changed a file. */
function write(context: AuthorContext, { folder, domain, files: made }: Made): boolean {
  const { options, out, cwd, json } = context;
  const before = recordedIn(folder);
  if (options['check'] !== true && !existsSync(join(folder, ONCE)) && made[ONCE] !== undefined) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, ONCE), made[ONCE]);
  }
  const { [ONCE]: _, ...files } = made;
  const there = (name: string): string | undefined =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : undefined;
  const names = [...new Set([...Object.keys(before), ...Object.keys(files)])].toSorted();
  const changed = names.filter((name) => there(name) !== files[name]);
  const foreign = changed.filter((name) => {
    const found = there(name);
    return found !== undefined && hashOf(found) !== before[name];
  });
  const shown = (list: readonly string[]): string => list.map((name) => relative(cwd, join(folder, name))).join(', ');
  if (options['check'] === true) {
    if (json) out.value({ domain, changed });
    else
      out.line(
        changed.length === 0 ? `${domain}: all files are as made.` : `${domain}: not as made: ${shown(changed)}`,
      );
    return changed.length === 0;
  }
  if (foreign.length > 0 && options['force'] !== true)
    throw commandErrors.make(
      'BEDS_CLI_TARGET_EXISTS',
      `A person has changed or written ${shown(foreign)}: nothing is written. Move them away, or add --force.`,
    );
  for (const name of changed) {
    const text = files[name];
    if (text === undefined) rmSync(join(folder, name), { force: true });
    else {
      mkdirSync(dirname(resolve(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
  }
  writeFileSync(join(folder, RECORD), recordText(files));
  if (json) out.value({ domain, folder, changed, files: Object.keys(files) });
  else {
    for (const name of changed)
      out.line(`${files[name] === undefined ? 'removed ' : ''}${relative(cwd, join(folder, name))}`);
    const many = Object.keys(files).length;
    out.line(
      `${domain}: ${String(many)} files, ${String(changed.length)} changed. The DBA reads db/ and applies it: ${context.beds} db apply ${domain}`,
    );
  }
  return true;
}

function recordText(files: Readonly<Record<string, string>>): string {
  const hashes = Object.keys(files)
    .toSorted()
    .map((name) => [name, hashOf(files[name] ?? '')] as const);
  return `${JSON.stringify({ beds: 1, files: Object.fromEntries(hashes) }, undefined, 2)}\n`;
}

/** What a new domain gets, with the record of it. */
export function withRecord(made: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { [ONCE]: _, ...files } = made;
  return { ...made, [RECORD]: recordText(files) };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function recordedIn(folder: string): Readonly<Record<string, string>> {
  const path = join(folder, RECORD);
  if (!existsSync(path)) return {};
  try {
    const { files = {} } = JSON.parse(readFileSync(path, 'utf8')) as {
      readonly files?: Readonly<Record<string, string>>;
    };
    // n.b. what is no longer made is removed: nothing outside of the folder is.
    return Object.fromEntries(
      Object.entries(files).filter(([name]) => resolve(folder, name).startsWith(resolve(folder) + sep)),
    );
  } catch (cause) {
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `${path} is not JSON: take it from your version control.`, {
      cause,
    });
  }
}
