import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import type { Table } from './layers.js';
import type { ConfigProblem } from './problem.js';

/** What a file says, or why it cannot be read. An absent file says nothing. */
export interface TomlFile {
  readonly values: Table;
  readonly problems: readonly ConfigProblem[];
}

/** Reads a TOML file; `source` is its name in messages. No text of the file gets into a message: it may be a secret. */
export function readTomlFile(path: string, source: string): TomlFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    return code === 'ENOENT' ? { values: {}, problems: [] } : failed(source, `the file cannot be read (${code}).`);
  }
  try {
    return { values: parse(text), problems: [] };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const place = `line ${String(error.line)}, column ${String(error.column)}`;
    const [reason = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    return failed(source, `${place} is not TOML: ${reason}.`);
  }
}

function failed(source: string, message: string): TomlFile {
  return { values: {}, problems: [{ source, path: '', message }] };
}
