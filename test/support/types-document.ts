import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** What a test found out about one type of a database, on the server that it ran on. */
export interface TypeRow {
  /** What is the same on every server, the first cells of the row; the first two name it. */
  readonly cells: readonly string[];
  readonly outcome: string;
}

export interface TypesSection {
  /** A heading of host/stores/TYPES.md. */
  readonly title: string;
  readonly heads: readonly string[];
  /** The last columns, a server each. */
  readonly servers: readonly string[];
}

/** Set to write what was found instead of comparing with it; `npm run format:fix` lays the table out. */
const WRITE = 'BEDS_WRITE_TYPES';
const DOCUMENT = resolve('host/stores/TYPES.md');

/**
 * Compares a section of host/stores/TYPES.md with what was found on a server. A server without a column of its own is not
 * compared.
 */
export function checkTypes(section: TypesSection, server: string | undefined, found: readonly TypeRow[]): void {
  const written = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : '';
  const before = rowsOf(written, section);
  const names = ({ cells }: TypeRow): string => cells.slice(0, 2).join(' | ');
  const known = new Map(before.map((cells) => [cells.slice(0, 2).join(' | '), cells]));
  const rows = found.map((row) => {
    const others = known.get(names(row))?.slice(section.heads.length) ?? [];
    const outcomes = section.servers.map((each, index) => (each === server ? row.outcome : (others[index] ?? '')));
    return [...row.cells, ...outcomes].map((cell) => cell.replaceAll('|', '\\|'));
  });
  if (process.env[WRITE] === undefined) {
    assert.deepEqual(before, rows, `host/stores/TYPES.md is not what this server does: run the test with ${WRITE}=1`);
    return;
  }
  const heads = [...section.heads, ...section.servers];
  const lines = [heads, heads.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  writeFileSync(DOCUMENT, replaceTable(written, section, lines.join('\n')));
}

function tableOf(text: string, { title }: TypesSection): { readonly start: number; readonly end: number } | undefined {
  const at = text.indexOf(`\n## ${title}\n`);
  if (at < 0) return undefined;
  const start = text.indexOf('\n|', at) + 1;
  const end = /\n(?!\|)/.exec(text.slice(start))?.index;
  return { start, end: end === undefined ? text.length : start + end };
}

function rowsOf(text: string, section: TypesSection): readonly (readonly string[])[] {
  const table = tableOf(text, section);
  if (table === undefined) return [];
  return text
    .slice(table.start, table.end)
    .split('\n')
    .slice(2)
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

function replaceTable(text: string, section: TypesSection, lines: string): string {
  const table = tableOf(text, section);
  if (table === undefined) return `${text}\n## ${section.title}\n\n${lines}\n`;
  return text.slice(0, table.start) + lines + text.slice(table.end);
}
