import { parseArgs } from 'node:util';
import { didYouMean } from '../nearest.js';
import { commandErrors } from './command-errors.js';
import type { CommandOption, OptionValue } from './command.js';

/** Options of every command. */
export const GLOBAL_OPTIONS: Readonly<Record<string, CommandOption>> = {
  json: { type: 'boolean', description: 'Print one JSON value, for scripts.' },
  help: { type: 'boolean', short: 'h', description: 'Explain the command.' },
};

export interface ParsedOptions {
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, OptionValue>>;
}

interface Optioned {
  readonly name: string;
  readonly options: Readonly<Record<string, CommandOption>>;
}

/** Splits a command line into options and the rest. Throws BEDS_CLI_OPTION_INVALID. */
export function parseOptions(command: Optioned, line: readonly string[]): ParsedOptions {
  const known = { ...command.options, ...GLOBAL_OPTIONS };
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { type, short, multiple = false }]) => [
      name,
      short === undefined ? { type, multiple } : { type, short, multiple },
    ]),
  );
  try {
    const parsed = parseArgs({ args: [...line], options, allowPositionals: true, strict: true });
    return { args: parsed.positionals, options: parsed.values };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const [, given = ''] = /Unknown option '--([^']*)'/.exec(error.message) ?? [];
    const [reason = ''] = error.message.split('. ');
    const meant = didYouMean(given, Object.keys(known)).replace('mean ', 'mean --');
    const message = `${reason.replace(/\.$/, '')}.${given === '' ? '' : meant}`;
    const hint = `Run \`beds help ${command.name}\` for its options.`;
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', message, { hint, cause: error });
  }
}
