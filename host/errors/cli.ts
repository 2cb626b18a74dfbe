import { defineErrors } from '@beds/sdk';

/** What can be wrong with a command line. */
export const cliErrors = defineErrors({
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
  BEDS_CLI_ROLLOUT_UNFINISHED: {
    message: 'The rollout did not finish while the command waited.',
    status: 'timeout',
    action: 'The hosts go on with it: see `beds status` and `beds history`. --timeout makes the command wait longer.',
  },
  BEDS_CLI_BROKER_UNKNOWN: {
    message: 'No RabbitMQ is configured and no private one runs.',
    status: 'invalid',
    action: 'Start the private servers with `npm start` or `beds start`, or set amqp.url (BEDS_AMQP_URL).',
  },
  BEDS_CLI_SERVER_MISSING: {
    message: 'A private server of this checkout does not run, or its database objects are not applied.',
    status: 'unavailable',
    action: 'Run `npm start`, which prepares everything, or set amqp.url and the url of each store.',
  },
  BEDS_CLI_HOST_RUNNING: {
    message: 'A host of this checkout is already running.',
    status: 'conflict',
    action: 'Stop it first, or use it: `npm run beds -- status`.',
  },
  BEDS_CLI_DEMO_FAILED: {
    message: 'The demo failed.',
    status: 'fault',
    action: 'Read the message. The log of the host is under .beds/.',
  },
  BEDS_CLI_FAULT: {
    message: 'The command failed unexpectedly.',
    status: 'fault',
    action: 'Run it again with BEDS_DEBUG=1 and report the stack trace.',
  },
});
