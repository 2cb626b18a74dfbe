import { isBedsError, type BedsError } from '@beds/sdk';
import type { Environment } from '../config/environment.js';
import { cliErrors } from '../errors/cli.js';
import type { Finding } from '../template/contract.js';
import { EXIT } from './command.js';
import type { Output } from './output.js';
import { printable } from './table.js';

export interface ErrorPrinting {
  readonly out: Output;
  readonly env: Environment;
  readonly json: boolean;
}

/** Says what went wrong and what to do, without a stack trace unless BEDS_DEBUG=1. Gives the exit code. */
export function printError(error: unknown, { out, env, json }: ErrorPrinting): number {
  const known = isBedsError(error) ? error : unexpected(error);
  const { code, message, retryable, field, hint } = known;
  if (json) out.value({ ok: false, error: { code, message, retryable, field, hint } });
  else {
    out.note(`${out.paint(['bold', 'red'], code)}: ${message}`);
    if (field !== undefined) out.note(`  field: ${field}`);
    if (hint !== undefined) out.note(`  ${out.paint('cyan', 'what to do:')} ${hint}`);
  }
  if ((env['BEDS_DEBUG'] ?? '') !== '') out.note(stackOf(error));
  return exitCode(code);
}

function unexpected(error: unknown): BedsError {
  const message = error instanceof Error ? error.message : String(error);
  return cliErrors.make('BEDS_CLI_FAULT', message === '' ? undefined : message, { cause: error });
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}

const USAGE_CODES: ReadonlySet<string> = new Set([
  'BEDS_CLI_COMMAND_UNKNOWN',
  'BEDS_CLI_OPTION_INVALID',
  'BEDS_CLI_ARGUMENT_INVALID',
]);

function exitCode(code: string): number {
  if (code === 'BEDS_CONFIG_INVALID') return EXIT.config;
  return USAGE_CODES.has(code) ? EXIT.usage : EXIT.failed;
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
