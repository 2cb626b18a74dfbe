import { didYouMean } from '../nearest.js';
import { commandErrors } from './command-errors.js';
import type { Environment, Output } from './output.js';

/** What every command ends with. https://man.openbsd.org/sysexits `changes`: all is well, and there is something to be done. */
export const EXIT = { ok: 0, failed: 1, changes: 2, usage: 64, config: 78 } as const;

/** An option as `node:util` parseArgs takes it, with what the help says of it. */
export interface CommandOption {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  readonly multiple?: boolean;
  /** What a value is called in the help: `<dir>`. */
  readonly value?: string;
  /** A sentence, with unit and default. */
  readonly description: string;
}

export type OptionValue = string | boolean | readonly (string | boolean)[] | undefined;

/** What every command is given. */
export interface CommandContext {
  /** Where the user is: relative paths of arguments start here. */
  readonly cwd: string;
  readonly env: Environment;
  /** What is not an option. */
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, OptionValue>>;
  /** Print one JSON value to stdout and nothing else. */
  readonly json: boolean;
  readonly out: Output;
  /** Aborted by SIGINT and SIGTERM; a second one ends the process. */
  readonly signal: AbortSignal;
}

/** One command of `beds`. `--json` and `--help` are given to all. */
export interface Command<Context extends CommandContext = CommandContext> {
  readonly name: string;
  /** One sentence for the list of commands. */
  readonly summary: string;
  /** Everything after `beds`: `create <domain> [--store <name>]`. */
  readonly usage: string;
  readonly options: Readonly<Record<string, CommandOption>>;
  /** Further paragraphs of the help. */
  readonly details?: string;
  /** Resolves to the exit code; BEDS errors may be thrown and are printed. */
  readonly run: (context: Context) => Promise<number>;
}

/** Every command by its name, in the order of the help; a command's file is loaded when it is asked for. */
export type CommandRegistry<Context extends CommandContext> = ReadonlyMap<string, () => Promise<Command<Context>>>;

/** The command of this name. Throws BEDS_CLI_COMMAND_UNKNOWN with the nearest one. */
export async function findCommand<Context extends CommandContext>(
  name: string,
  commands: CommandRegistry<Context>,
): Promise<Command<Context>> {
  const load = commands.get(name);
  if (load !== undefined) return load();
  const meant = didYouMean(name, commands.keys());
  throw commandErrors.make('BEDS_CLI_COMMAND_UNKNOWN', `There is no command ${JSON.stringify(name)}.${meant}`);
}
