import { cliErrors } from '../errors/cli.js';
import type { CommandContext, CommandOption } from './command.js';

const DEFAULT_TIMEOUT_MS = 3_000;

export const TIMEOUT_OPTION: CommandOption = {
  type: 'string',
  value: '<ms>',
  description: `Longest wait for an answer, in milliseconds. Default ${String(DEFAULT_TIMEOUT_MS)}.`,
};

/** The value of --timeout. Throws BEDS_CLI_OPTION_INVALID. */
export function timeoutOf({ options }: Pick<CommandContext, 'options'>): number {
  const given = options['timeout'];
  if (given === undefined) return DEFAULT_TIMEOUT_MS;
  const timeoutMs = Number(given);
  if (Number.isInteger(timeoutMs) && timeoutMs > 0 && timeoutMs <= 600_000) return timeoutMs;
  throw cliErrors.make('BEDS_CLI_OPTION_INVALID', '--timeout must be a whole number of milliseconds, at most 600000.');
}
