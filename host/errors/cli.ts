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
  BEDS_CLI_MODEL_REFUSED: {
    message: 'The endpoint of the model refuses the request.',
    status: 'invalid',
    action:
      'Read what it says, and correct [assistant] of the configuration: url, model, apiKey, maxAnswerTokens. --provider files needs no endpoint.',
  },
  BEDS_CLI_MODEL_UNAVAILABLE: {
    message: 'The endpoint of the model cannot be reached, has too much to do, or breaks off.',
    status: 'unavailable',
    action: 'Run the command again later: it goes on where it stopped. assistant.url says where it asks.',
  },
  BEDS_CLI_MODEL_TIMEOUT: {
    message: 'The model has not answered in time.',
    status: 'timeout',
    action: 'Run the command again, with a longer assistant.timeoutMs or another model.',
  },
  BEDS_CLI_MODEL_BUDGET: {
    message: 'The bound on what one domain or change may use of a model is reached.',
    status: 'invalid',
    action:
      'Raise assistant.maxTokens or assistant.maxCostUsd, answer the prompt by hand with --provider files, or describe a smaller domain.',
  },
  BEDS_CLI_DEMO_FAILED: {
    message: 'The demo failed.',
    status: 'fault',
    action: 'Read the message. The log of the host is under .beds/.',
  },
});
