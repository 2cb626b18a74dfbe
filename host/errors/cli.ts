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
  BEDS_CLI_ROLLOUT_UNFINISHED: {
    message: 'The rollout was not over in the time that the command waits.',
    status: 'timeout',
    action: 'It goes on in the hosts: `beds status` and `beds history` show it; --timeout waits longer.',
  },
  BEDS_CLI_BROKER_UNKNOWN: {
    message: 'It is not known where RabbitMQ is.',
    status: 'invalid',
    action: 'Start the private servers with `npm start` or `beds start`, or set amqp.url (BEDS_AMQP_URL).',
  },
  BEDS_CLI_SERVER_MISSING: {
    message: 'A server that the configuration leaves to this checkout does not run, or is not prepared.',
    status: 'unavailable',
    action: 'Run `npm start`, which prepares everything; or set the url of the broker and of the stores.',
  },
  BEDS_CLI_HOST_RUNNING: {
    message: 'A host of this checkout is running already.',
    status: 'conflict',
    action: 'Stop the other one first; or use it: `npm run beds -- status`.',
  },
  BEDS_CLI_DEMO_FAILED: {
    message: 'The demonstration could not go on.',
    status: 'fault',
    action: 'Read the message; the log of the host is beside its data under .beds/.',
  },
  BEDS_CLI_FAULT: {
    message: 'The command failed in a way that it does not expect.',
    status: 'fault',
    action: 'Run it again with BEDS_DEBUG=1 for the stack trace, and report it with that.',
  },
});
