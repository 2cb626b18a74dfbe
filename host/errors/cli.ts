import { defineErrors } from '@beds/sdk';

/** What can be wrong with a command line. */
export const cliErrors = defineErrors({
  BEDS_CLI_COMMAND_UNKNOWN: {
    message: 'There is no such command.',
    status: 'invalid',
    action: 'Run `beds help` for the list of commands.',
  },
  BEDS_CLI_OPTION_INVALID: {
    message: 'An option of the command cannot be used as given.',
    status: 'invalid',
    action: 'Run `beds help <command>` for its options.',
  },
  BEDS_CLI_ARGUMENT_INVALID: {
    message: 'An argument of the command is missing, or cannot be used as given.',
    status: 'invalid',
    action: 'Run `beds help <command>` for its arguments.',
  },
  BEDS_CLI_TARGET_EXISTS: {
    message: 'The command would overwrite something that is there already.',
    status: 'conflict',
    action: 'Choose another name, or move what is there out of the way.',
  },
  BEDS_CLI_FAULT: {
    message: 'The command failed in a way that it does not expect.',
    status: 'fault',
    action: 'Run it again with BEDS_DEBUG=1 for the stack trace, and report it with that.',
  },
});
