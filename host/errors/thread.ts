import { defineErrors } from '@beds/sdk';

export const threadErrors = defineErrors({
  BEDS_THREAD_START_FAILED: {
    message: 'A broker thread did not become ready.',
    status: 'fault',
    action:
      'Read the cause: most often RabbitMQ or a database is not reachable. Raise supervisor.startTimeoutMs if they are slow.',
  },
  BEDS_THREAD_LOST: {
    message: 'A broker thread ended while it was asked something.',
    status: 'unavailable',
    retryable: true,
    action: 'The supervisor replaces the thread; look at the log line of its end for the reason.',
  },
  BEDS_THREAD_NO_ANSWER: {
    message: 'A broker thread did not answer the supervisor in time.',
    status: 'timeout',
    retryable: true,
    action: 'Look for a template that blocks the thread; the supervisor replaces a thread that stays silent.',
  },
  BEDS_THREAD_RESTARTS_EXCEEDED: {
    message: 'Broker threads ended more often than supervisor.restartIntensity allows; the host gives up.',
    status: 'fault',
    action:
      'Read the reasons in the log above, mend the cause, start again. An external supervisor should restart the host.',
  },
  BEDS_THREAD_UNCAUGHT: {
    message: 'Code threw what is no error, and nobody caught it.',
    status: 'fault',
    action: 'Look in the template that is named for what throws in a timer, a listener or a callback; throw errors.',
  },
  BEDS_THREAD_PREPARE_FAILED: {
    message: 'A broker thread could not prepare the version.',
    status: 'fault',
    action: 'Read the cause: most often setup() of the template failed.',
  },
});
