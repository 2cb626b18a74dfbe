import { printable } from '#sdk/cli';
import type { Finding } from '../template/contract.js';
import type { Output } from './output.js';

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
