import { cliErrors } from '../errors/cli.js';
import type { AskOptions } from './ask-nodes.js';
import { brokerOf } from './broker-of.js';
import type { CommandContext, CommandOption } from './command.js';
import { timeoutOf } from './timeout-option.js';

export const NODE_OPTION: CommandOption = {
  type: 'string',
  value: '<name>',
  description: 'Only this node. Default: all.',
};

/** Where and how long to ask, as the command line says. */
export function askOptions(context: CommandContext): AskOptions {
  const node = context.options['node'];
  return {
    ...brokerOf(context),
    timeoutMs: timeoutOf(context),
    signal: context.signal,
    ...(typeof node === 'string' ? { node } : {}),
  };
}

/** The arguments by position; `names` ends in `?` where one may be left out. Throws BEDS_CLI_ARGUMENT_INVALID. */
export function argumentsOf(
  { args }: Pick<CommandContext, 'args'>,
  ...names: readonly string[]
): readonly (string | undefined)[] {
  const missing = names.filter((name, index) => args[index] === undefined && !name.endsWith('?'));
  if (missing.length > 0) {
    throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', `It is not said which ${missing.join(' and which ')}.`);
  }
  const extra = args[names.length];
  if (extra === undefined) return args;
  throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', `${JSON.stringify(extra)} is one argument too many.`);
}
