import { commandErrors, type CommandOption } from '#sdk/cli';
import type { CommandContext } from './command.js';

const DEFAULT_TIMEOUT_MS = 3_000;
const MAX_TIMEOUT_MS = 600_000;

export const TIMEOUT_OPTION: CommandOption = {
  type: 'string',
  value: '<time>',
  description: `Maximum wait for an answer: 500ms, 5s, or a number of milliseconds. Default ${DEFAULT_TIMEOUT_MS}.`,
};

/** The value of --timeout, milliseconds. Throws BEDS_CLI_OPTION_INVALID. */
export function timeoutOf({ options }: Pick<CommandContext, 'options'>): number {
  const given = options['timeout'];
  if (typeof given !== 'string') return DEFAULT_TIMEOUT_MS;
  if (!/^\d+$/.test(given)) return parseDuration('timeout', given, MAX_TIMEOUT_MS);
  const timeoutMs = Number(given);
  if (timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS) return timeoutMs;
  throw commandErrors.make(
    'BEDS_CLI_OPTION_INVALID',
    '--timeout must be a whole number of milliseconds, at most 600000.',
  );
}

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 } as const;

/** `5%`, `5` or `0.5%` as a number from 0 to 100. Throws BEDS_CLI_OPTION_INVALID that names the option and its value. */
export function parsePercent(option: string, text: string): number {
  const [, digits] = /^(\d{1,3}(?:\.\d{1,6})?) ?%?$/.exec(text.trim()) ?? [];
  const percent = Number(digits ?? NaN);
  if (percent >= 0 && percent <= 100) return percent;
  throw refuse(option, text, 'a percentage from 0 to 100, as in 5% or 0.5%');
}

/** `500ms`, `60s`, `5m` or `1h` as milliseconds. Throws BEDS_CLI_OPTION_INVALID that names the option and its value. */
export function parseDuration(option: string, text: string, maxMs = 86_400_000): number {
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,3})?) ?(ms|s|m|min|h)$/.exec(text.trim()) ?? [];
  const ms = Math.round(Number(digits ?? NaN) * UNITS_MS[(unit ?? 's') as keyof typeof UNITS_MS]);
  if (ms >= 1 && ms <= maxMs) return ms;
  throw refuse(option, text, `a duration of at most ${printDuration(maxMs)}, as in 500ms, 60s or 5m`);
}

/** In the largest unit that gives no fraction. */
function printDuration(ms: number): string {
  const unit = (['h', 'm', 's', 'ms'] as const).find((name) => ms % UNITS_MS[name] === 0) ?? 'ms';
  return `${ms / UNITS_MS[unit]}${unit}`;
}

function refuse(option: string, text: string, wanted: string): Error {
  return commandErrors.make('BEDS_CLI_OPTION_INVALID', `--${option} ${JSON.stringify(text)} is not ${wanted}.`);
}
