import { defineErrors } from '#sdk/template';

export const threadErrors = defineErrors({
  BEDS_THREAD_START_FAILED: {
    message: 'A broker thread did not become ready.',
    status: 'fault',
    action:
      'Read the cause: most often RabbitMQ or a database is not reachable. Raise supervisor.startTimeoutMs if they are slow.',
  },
  BEDS_THREAD_LOST: {
    message: 'A broker thread ended before it answered the supervisor.',
    status: 'unavailable',
    retryable: true,
    action: 'The supervisor replaces the thread. The log says why it ended.',
  },
  BEDS_THREAD_NO_ANSWER: {
    message: 'A broker thread did not answer the supervisor in time.',
    status: 'timeout',
    retryable: true,
    action: 'Look for a template that blocks the thread. The supervisor replaces a thread that stays silent.',
  },
  BEDS_THREAD_RESTARTS_EXCEEDED: {
    message: 'Broker threads ended more often than supervisor.restartIntensity allows. The host stops.',
    status: 'fault',
    action:
      'Fix the cause that the log shows, then start the host again. In production, let a process manager restart it.',
  },
  BEDS_THREAD_UNCAUGHT: {
    message: 'Code threw in a timer, a listener or a callback, and nothing caught it.',
    status: 'fault',
    action: 'Find what throws in a timer, a listener or a callback of the named template, and handle it there.',
  },
  BEDS_THREAD_PREPARE_FAILED: {
    message: 'A broker thread could not prepare the version.',
    status: 'fault',
    action: 'Read the cause: most often setup() of the template failed.',
  },
  BEDS_THREAD_TRAIL_UNWRITABLE: {
    message:
      'The host cannot record what runs. If the process is killed, the next start will not know which code was running.',
    status: 'fault',
    action:
      'Give the host write permission and disk space in state.directory. Until then it serves without this record.',
  },
  BEDS_THREAD_TRAIL_UNREADABLE: {
    message: 'The record of what ran when the host ended cannot be read. The host starts without it.',
    status: 'fault',
    action: 'Do nothing, unless the host ends again. Then read the end of its log.',
  },
  BEDS_THREAD_ENDED_AGAIN: {
    message: 'The host crashed several times in a row, each time soon after its start.',
    status: 'fault',
    action:
      'Find what kills it: the system log (out of memory), the limits of the container, the template that the line names. ' +
      'Template code that ran at that time now runs in a process of its own.',
  },
});
