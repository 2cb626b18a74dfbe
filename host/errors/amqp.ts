import { defineErrors } from '#sdk/template';

export const amqpErrors = defineErrors({
  BEDS_AMQP_EVENT_INVALID: {
    message: 'What a domain keeps with a record as an event is none.',
    status: 'fault',
    action:
      'It stays in its record and is not published, nor is what the record keeps behind it; what stands before it is, and events of other records are. An event is one line of JSON: an object with "id" and "topic" (texts), "at" (milliseconds since 1970) and "data". Find what wrote this one, and take it out of the record: the message names that.',
  },
  BEDS_AMQP_EVENT_REFUSED: {
    message: 'RabbitMQ did not take an event that a domain keeps with its record.',
    status: 'unavailable',
    action:
      'The event stays in its record and is published again. If this goes on: a queue that is bound to the exchange of events may be full and refuse (overflow: reject-publish), or RabbitMQ cannot be reached.',
  },
  BEDS_AMQP_GUARD_MISSING: {
    message: 'The protection against deeply nested header tables is not active.',
    status: 'fault',
    action: 'The installed amqplib is not the tested version. Install the version of the lock file.',
  },
  BEDS_AMQP_REPLY_REFUSED: {
    message: 'RabbitMQ closed the channel or the connection because of a reply. The reply was dropped.',
    status: 'fault',
    action:
      'The cause says why. Too large: raise max_message_size of RabbitMQ or lower limits.maxReplyBytes. Unknown reply-to address: the caller invented it, or it belongs to another cluster.',
  },
  BEDS_AMQP_TOPOLOGY_MISMATCH: {
    message: 'A queue or exchange exists with properties that differ from the configuration.',
    status: 'fault',
    action: 'Delete the queue or exchange once it is empty, or change [topology] to match it. Then start again.',
  },
});
