import { didYouMean } from '../config/nearest.js';
import { cliErrors } from '../errors/cli.js';
import type { Command, CommandRegistry } from './command.js';

/** The command of this name. Throws BEDS_CLI_COMMAND_UNKNOWN with the nearest one. */
export async function findCommand(name: string, commands: CommandRegistry): Promise<Command> {
  const load = commands.get(name);
  if (load !== undefined) return load();
  const meant = didYouMean(name, commands.keys());
  throw cliErrors.make('BEDS_CLI_COMMAND_UNKNOWN', `There is no command ${JSON.stringify(name)}.${meant}`);
}
