import { stripVTControlCharacters } from 'node:util';
import { type BedsError, isBedsError } from '../template/errors.js';
import { EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import type { Environment, Output } from './output.js';

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
    out.note(`${out.paint(['bold', 'red'], code)}: ${message.split('\n').map(printable).join('\n')}`);
    if (field !== undefined) out.note(`  field: ${field}`);
    if (hint !== undefined) out.note(`  ${out.paint('cyan', 'what to do:')} ${hint}`);
  }
  if ((env['BEDS_DEBUG'] ?? '') !== '') out.note(stackOf(error));
  return exitCode(code);
}

/** What comes from elsewhere must not steer the terminal. */
export function printable(value: string | number | boolean | undefined): string {
  return stripVTControlCharacters(String(value ?? '')).replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ');
}

/** esbuild, TypeScript and the drivers are the project's own: who only calls domains needs none of them. */
function unexpected(error: unknown): BedsError {
  const [, missing] = /Cannot find package '([^']+)'/.exec(error instanceof Error ? error.message : '') ?? [];
  if (missing !== undefined) {
    const message = `The package ${missing} is not installed: npm install --save-dev ${missing}.`;
    return commandErrors.make('BEDS_CLI_PACKAGE_MISSING', message, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return commandErrors.make('BEDS_CLI_FAULT', message === '' ? undefined : message, { cause: error });
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
