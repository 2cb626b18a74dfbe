import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';

/** Values as a file or the environment gives them: tables within tables. */
export type Table = Readonly<Record<string, unknown>>;

/** One origin of values, named as a reader knows it: `config/env.toml`. */
export interface Layer {
  readonly values: Table;
  /** The origin of the value at a path of keys; undefined where the tables around it know better. */
  readonly source: (path: readonly string[]) => string | undefined;
}

/** Layers laid over one another. */
export interface Merged {
  readonly values: Table;
  /** Dotted path to the origin of the effective value. */
  readonly sources: ReadonlyMap<string, string>;
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Lays later layers over earlier ones: tables key by key, everything else as a whole. */
export function mergeLayers(layers: readonly Layer[]): Merged {
  const sources = new Map<string, string>();
  let values: Table = {};
  for (const layer of layers) {
    values = mergeTables(values, layer.values);
    visit(layer.values, [], (path) => {
      const source = layer.source(path);
      if (source !== undefined) sources.set(path.join('.'), source);
    });
  }
  return { values, sources };
}

/** The origin of the value at a path, or of the nearest table around it. */
export function sourceOf(sources: ReadonlyMap<string, string>, path: readonly string[]): string {
  for (let length = path.length; length > 0; length -= 1) {
    const source = sources.get(path.slice(0, length).join('.'));
    if (source !== undefined) return source;
  }
  return 'default';
}

/** Calls `see` with the path of every table and value. */
function visit(table: Table, at: readonly string[], see: (path: readonly string[]) => void): void {
  for (const [key, value] of Object.entries(table)) {
    const path = [...at, key];
    see(path);
    if (isTable(value)) visit(value, path, see);
  }
}

function mergeTables(below: Table, above: Table): Table {
  const merged = new Map<string, unknown>(Object.entries(below));
  for (const [key, value] of Object.entries(above)) {
    const under = merged.get(key);
    merged.set(key, isTable(under) && isTable(value) ? mergeTables(under, value) : value);
  }
  // n.b. fromEntries defines own properties, so a key `__proto__` stays a key, and is refused as unknown.
  return Object.fromEntries(merged);
}

/** What a file says, or why it cannot be read. An absent file says nothing. */
interface TomlFile {
  readonly values: Table;
  readonly problem?: string;
}

/** Reads a TOML file. No text of the file gets into the problem: it may be a secret. */
export function readTomlFile(path: string): TomlFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    return code === 'ENOENT' ? { values: {} } : { values: {}, problem: `the file cannot be read (${code}).` };
  }
  try {
    return { values: parse(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const place = `line ${String(error.line)}, column ${String(error.column)}`;
    const [reason = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    return { values: {}, problem: `${place} is not TOML: ${reason}.` };
  }
}
