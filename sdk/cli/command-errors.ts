import { defineErrors } from '../template/errors.js';

/** What can be wrong with a command line, and with what a command of the author needs. */
export const commandErrors = defineErrors({
  BEDS_CLI_COMMAND_UNKNOWN: {
    message: 'There is no such command.',
    status: 'invalid',
    action: 'Run `beds help` for the list of commands.',
  },
  BEDS_CLI_OPTION_INVALID: {
    message: 'An option of the command is not valid.',
    status: 'invalid',
    action: 'Run `beds help <command>` for its options.',
  },
  BEDS_CLI_ARGUMENT_INVALID: {
    message: 'An argument of the command is missing or not valid.',
    status: 'invalid',
    action: 'Run `beds help <command>` for its arguments.',
  },
  BEDS_CLI_TARGET_EXISTS: {
    message: 'The command would overwrite something that exists.',
    status: 'conflict',
    action: 'Choose another name, or move the existing file or folder away.',
  },
  BEDS_CLI_NOT_GENERATED: {
    message: 'The generator has no SQL for a construct of the specification.',
    status: 'invalid',
    action: 'Say it in another way at the line that the message names, or write its objects by hand.',
  },
  BEDS_CLI_PACKAGE_MISSING: {
    message: 'A package that the command needs is not installed.',
    status: 'invalid',
    action: 'Install it as the message says, in the project of the domain.',
  },
  BEDS_CLI_MODEL_DECLINED: {
    message: 'The model has declined to answer.',
    status: 'invalid',
    action: 'Read why in the file that the message names. Say it in other words, or ask another model.',
  },
  BEDS_CLI_NO_HOST: {
    message: 'There is no host to deploy the domain to.',
    status: 'unavailable',
    action: 'Start a host, or set BEDS_AMQP_URL to the RabbitMQ of a running host.',
  },
  BEDS_CLI_FAULT: {
    message: 'The command failed unexpectedly.',
    status: 'fault',
    action: 'Run it again with BEDS_DEBUG=1 and report the stack trace.',
  },
});

/** What `beds check` finds in an author's TypeScript. */
export const checkErrors = defineErrors({
  BEDS_CHECK_TYPE: {
    message: 'The TypeScript compiler reports an error.',
    status: 'invalid',
    action: 'Correct the line. The message is from TypeScript.',
  },
  BEDS_CHECK_FORGOTTEN_AWAIT: {
    message: 'A promise is not awaited.',
    status: 'invalid',
    action: 'Write `await` before it, or `void` if that is intended.',
  },
});
