import { isTable, type Table } from './layers.js';
import type { Environment } from './environment.js';
import type { ConfigProblem } from './problem.js';

const PLACEHOLDER = /\$\$\{|\$\{([^}]*)\}?/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A file's values with every `${NAME}` filled in. */
export interface Expanded {
  readonly values: Table;
  /** Dotted path to the text as it was written, for values that held a placeholder. */
  readonly written: ReadonlyMap<string, string>;
  /** The variables that the file names. */
  readonly names: ReadonlySet<string>;
  readonly problems: readonly ConfigProblem[];
}

/** Replaces `${NAME}` in every text by the environment variable NAME; `$${` is a plain `${`. */
export function expandSecrets(values: Table, source: string, env: Environment): Expanded {
  const written = new Map<string, string>();
  const names = new Set<string>();
  const problems: ConfigProblem[] = [];

  const expandText = (text: string, path: string): string =>
    text.replaceAll(PLACEHOLDER, (match: string, name: string | undefined) => {
      if (name === undefined) return '${';
      written.set(path, text);
      const problem = placeholderProblem(match, name, env);
      if (problem !== undefined) problems.push({ source, path, message: problem });
      names.add(name);
      return env[name] ?? '';
    });

  const expand = (value: unknown, path: string): unknown => {
    if (typeof value === 'string') return expandText(value, path);
    if (Array.isArray(value)) return value.map((item) => expand(item, path));
    if (!isTable(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, expand(inner, path === '' ? key : `${path}.${key}`)]),
    );
  };

  return { values: expand(values, '') as Table, written, names, problems };
}

function placeholderProblem(match: string, name: string, env: Environment): string | undefined {
  if (!match.endsWith('}') || !NAME.test(name)) {
    return 'holds a `${` that is not a `${NAME}`; write `$${` for a plain `${`.';
  }
  if (env[name] === undefined || env[name] === '') return `needs the environment variable ${name}, which is not set.`;
  return undefined;
}
