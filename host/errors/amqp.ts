import { defineErrors } from '@beds/sdk';

export const amqpErrors = defineErrors({
  BEDS_AMQP_GUARD_MISSING: {
    message: 'The guard against deeply nested header tables did not take effect.',
    status: 'fault',
    action:
      'The installed amqplib differs from the one this host was tested with; install the version of the lock file.',
  },
  BEDS_AMQP_REPLY_REFUSED: {
    message: 'RabbitMQ closed the channel or the connection over a reply; the reply was dropped.',
    status: 'fault',
    action:
      'The cause says why. Over the size: raise max_message_size of RabbitMQ or lower limits.maxReplyBytes. Over the reply-to address: a caller made it up, or it is of another cluster.',
  },
  BEDS_AMQP_TOPOLOGY_MISMATCH: {
    message: 'A queue or exchange exists with other properties than the configuration asks for.',
    status: 'fault',
    action: 'Delete the queue or exchange when it is empty, or make [topology] agree with it, then start again.',
  },
});
