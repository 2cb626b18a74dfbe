import { createOutput as createPlainOutput, type Output as PlainOutput, type OutputOptions, printable } from '#sdk/cli';
import type { Finding } from '../template/contract.js';
import { formatTable, type TableData } from './table.js';

/** Where a command of the host writes. */
export interface Output extends PlainOutput {
  /** Writes a table to stdout; on a narrow terminal one block for each row. */
  readonly table: (table: TableData) => void;
}

export function createOutput(options: OutputOptions): Output {
  const out = createPlainOutput(options);
  // n.b. added to it, and not spread: its width is read anew each time.
  return Object.assign(out, { table: (table: TableData): void => out.line(formatTable(table, out)) });
}

/** Every finding with what to do about it, indented. */
export function printFindings(findings: readonly Finding[], write: (text: string) => void): void {
  for (const { code, message, hint } of findings) {
    write(`  ${code}: ${printable(message)}`);
    if (hint !== undefined) write(`    ${printable(hint)}`);
  }
}

/** A bold heading with the findings below it, after an empty line. */
export function printReasons(heading: string, findings: readonly Finding[], out: Output): void {
  out.line();
  out.line(out.paint('bold', printable(heading)));
  printFindings(findings, out.line);
}

/** How long ago an ISO 8601 instant was, in one unit. */
export function ago(instant: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1_000));
  if (seconds < 120) return `${String(seconds)} s`;
  if (seconds < 7_200) return `${String(Math.round(seconds / 60))} min`;
  if (seconds < 172_800) return `${String(Math.round(seconds / 3_600))} h`;
  return `${String(Math.round(seconds / 86_400))} d`;
}

export function megabytes(bytes: number): string {
  return `${String(Math.round(bytes / 1_048_576))} MB`;
}
