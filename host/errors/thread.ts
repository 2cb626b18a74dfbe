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
  BEDS_THREAD_TRAIL_UNWRITABLE: {
    message: 'What runs could not be written down: if the process is killed, the next start will not know what did it.',
    status: 'fault',
    action: 'Give the account of the host write permission on state.directory, and space. The host serves without it.',
  },
  BEDS_THREAD_TRAIL_UNREADABLE: {
    message: 'What ran when the host ended could not be read; the host starts without knowing.',
    status: 'fault',
    action: 'Nothing need be done, unless the host ends again: then look at the log for what it did last.',
  },
  BEDS_THREAD_ENDED_AGAIN: {
    message: 'The host ended without being stopped, several times in a row, each time soon after its start.',
    status: 'fault',
    action:
      'Look for what kills it: the log of the system (out of memory), the limits of the container, a template that the line names. ' +
      'What template code ran then is tried in a process of its own.',
  },
});
