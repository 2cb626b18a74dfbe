import { defineErrors } from '#sdk/template';

/** What can go wrong with a command of an operator, beside what can with any (`commandErrors` of the SDK). */
export const cliErrors = defineErrors({
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
  BEDS_CLI_NOTHING_KEPT: {
    message: 'No node keeps this: nobody serves the domains of the role admin.',
    status: 'unavailable',
    action:
      'Run a node of the role admin with a store for it ([stores.admin]); host/OPERATIONS.md says how. `beds logs --follow` shows what nodes say from now on without one.',
  },
  BEDS_CLI_DEMO_FAILED: {
    message: 'The demo failed.',
    status: 'fault',
    action: 'Read the message. The log of the host is under .beds/.',
  },
});
