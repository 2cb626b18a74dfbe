import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Message, Metafile } from 'esbuild';
import { alternativeTo, isKnownPackage, packageOf } from './alternatives.js';
import { packageFolder } from './import-guard.js';
import type { FoundName } from './ways-out.js';

/** Something that a bundle cannot have. */
export interface BuildProblem {
  /** Relative to the folder of the entry, or a module that is no file. */
  readonly file: string;
  /** From 1; 0 where it is not known. */
  readonly line: number;
  readonly column: number;
  readonly text: string;
  readonly hint: string;
}

/** Messages of esbuild, translated into messages of BEDS. */
const WORDS: readonly (readonly [says: RegExp, text: string, hint: string])[] = [
  [
    /top-level await/i,
    'await outside of a function',
    'A version is loaded in one go: await in setup(), or where the value is needed.',
  ],
  [
    /^empty-import-meta/,
    'import.meta is not there for a template',
    'A bundle has no address of its own: import a JSON or text file to have its content.',
  ],
  [
    /^unsupported-dynamic-import/,
    'import() of a name that is computed',
    'Write the name as a text: a bundle carries all that it may load.',
  ],
  [
    /^unsupported-require-call/,
    'require() of a name that is computed',
    'Write the name as a text: a bundle carries all that it may load.',
  ],
  [/^indirect-require/, 'require that is handed on', 'Call it with a name: a bundle carries all that it may load.'],
  [
    /^direct-eval/,
    'eval is not there for a template',
    'new Function(…) makes code from text, with its arguments only.',
  ],
  [/^commonjs-variable-in-esm/, 'module.exports in a file that has imports or exports', 'Use export.'],
];

const UNRESOLVED = /^Could not resolve "([^"]+)"/;

export function problemOf({ id, text, location, notes }: Message): BuildProblem {
  const place = { file: location?.file ?? '', line: location?.line ?? 0, column: (location?.column ?? -1) + 1 };
  const known = WORDS.find(([says]) => says.test(id) || says.test(text));
  if (known !== undefined) return { ...place, text: known[1], hint: known[2] };
  const missing = UNRESOLVED.exec(text)?.[1];
  if (missing !== undefined && !missing.startsWith('.') && !missing.startsWith('#')) {
    return { ...place, text: `"${missing}" is not installed`, hint: `npm install ${packageOf(missing)}` };
  }
  const hints = notes.map((note) => note.text).filter((note) => note !== '');
  return { ...place, text, hint: hints.join(' ') };
}

export function problemOfName({ name, file, line, column }: FoundName): BuildProblem {
  return { file, line, column, text: `${name} is not there for a template`, hint: hintForName(name) };
}

function hintForName(name: string): string {
  if (name === 'process.env') return alternativeTo('dotenv');
  if (/^process\.(?:argv|stdin|cwd)/.test(name)) return 'What a request is about comes with its input.';
  if (/^process\.(?:on|once|off|add|prepend|remove|emit)/.test(name))
    return 'What ends with a version ends in teardown().';
  if (['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'].includes(name)) return alternativeTo('undici');
  if (name.startsWith('__')) return alternativeTo('node:fs');
  return 'It leads out of its domain; use what a handler is given.';
}

/** Who imports whom: from a file to the file that imports it first, and by which name. */
type Importers = ReadonlyMap<string, { readonly file: string; readonly specifier: string }>;

export function importersOf({ inputs }: Metafile, entry: string): Importers {
  const found = new Map<string, { readonly file: string; readonly specifier: string }>();
  const waiting = [entry];
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    for (const { path, original } of inputs[file]?.imports ?? []) {
      if (path === entry || found.has(path)) continue;
      found.set(path, { file, specifier: original ?? path });
      waiting.push(path);
    }
  }
  return found;
}

interface Line {
  readonly place: string;
  readonly text: string;
  readonly hint: string;
  readonly through: string;
}

/**
 * A line for each problem. Of one in a package the line names the author's own import that brought it in, and the packages
 * between. `directory`: that of the entry.
 */
export function describeProblems(
  problems: readonly BuildProblem[],
  importers: Importers,
  directory: string,
): readonly string[] {
  const lines = new Map<string, Line & { readonly count: number }>();
  for (const problem of problems) {
    const line = describe(problem, importers, directory);
    const key = `${line.place} ${line.text}`;
    const before = lines.get(key);
    lines.set(key, { ...(before ?? line), count: (before?.count ?? 0) + 1 });
  }
  return [...lines.values()].map(({ place, text, hint, through, count }) => {
    const notes = [hint, through, count > 1 ? `In ${String(count)} places.` : ''].filter((note) => note !== '');
    return `- ${place === '' ? '' : `${place} `}${text}${notes.length > 0 ? ` (${notes.join(' ')})` : ''}`;
  });
}

function describe({ file, line, column, text, hint }: BuildProblem, importers: Importers, directory: string): Line {
  const place = file === '' || line === 0 ? file : `${file}:${String(line)}:${String(column)}`;
  const steps = stepsTo(file, importers);
  const [first] = steps;
  if (packageFolder(file) === undefined || first === undefined) return { place, text, hint, through: '' };
  const name = packageOf(first.specifier);
  const packages = steps.slice(1).map(({ specifier }) => packageOf(specifier));
  const named = packages.filter((each, at) => !each.startsWith('.') && each !== packages[at - 1] && each !== name);
  return {
    place: placeOfImport(first.file, first.specifier, directory),
    text: `"${first.specifier}" cannot be used here: ${text}`,
    hint: isKnownPackage(name) ? alternativeTo(name) : hint,
    through: `Through ${[name, ...named, place].join(' → ')}.`,
  };
}

/** The imports on the way to a file, from the last file that is the author's on. */
function stepsTo(
  target: string,
  importers: Importers,
): readonly { readonly file: string; readonly specifier: string }[] {
  const steps: { readonly file: string; readonly specifier: string }[] = [];
  for (let at = importers.get(target); at !== undefined; at = importers.get(at.file)) {
    steps.unshift(at);
    if (packageFolder(at.file) === undefined && !at.file.includes(':')) break;
  }
  return steps;
}

/** `template.ts:3:21`; esbuild tells who imports whom, but not where. */
function placeOfImport(file: string, specifier: string, directory: string): string {
  try {
    const lines = readFileSync(join(directory, file), 'utf8').split('\n');
    for (const [row, text] of lines.entries()) {
      const at = Math.max(text.indexOf(`'${specifier}'`), text.indexOf(`"${specifier}"`));
      if (at >= 0) return `${file}:${String(row + 1)}:${String(at + 1)}`;
    }
  } catch {
    // The name of the file tells enough.
  }
  return file;
}
