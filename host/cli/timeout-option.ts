import { cliErrors } from '../errors/cli.js';
import type { CommandContext, CommandOption } from './command.js';
import { parseDuration } from './quantities.js';

const DEFAULT_TIMEOUT_MS = 3_000;
const MAX_TIMEOUT_MS = 600_000;

export const TIMEOUT_OPTION: CommandOption = {
  type: 'string',
  value: '<time>',
  description: `Longest wait for an answer: 500ms, 5s, or a number of milliseconds. Default ${String(DEFAULT_TIMEOUT_MS)}.`,
};

/** The value of --timeout, milliseconds. Throws BEDS_CLI_OPTION_INVALID. */
export function timeoutOf({ options }: Pick<CommandContext, 'options'>): number {
  const given = options['timeout'];
  if (typeof given !== 'string') return DEFAULT_TIMEOUT_MS;
  if (!/^\d+$/.test(given)) return parseDuration('timeout', given, MAX_TIMEOUT_MS);
  const timeoutMs = Number(given);
  if (timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS) return timeoutMs;
  throw cliErrors.make('BEDS_CLI_OPTION_INVALID', '--timeout must be a whole number of milliseconds, at most 600000.');
}
