import { defineErrors } from '#sdk/template';

/** What a caller may be answered, besides the store's errors and the template's own. */
export const requestErrors = defineErrors({
  BEDS_REQUEST_MALFORMED: {
    message: 'The message is not a valid BEDS envelope.',
    status: 'invalid',
    verdict: 'reject',
    action:
      'Send a JSON object, or an array of them, as host/PROTOCOL.md says. `problems` names all that is wrong, each with its field.',
  },
  BEDS_REQUEST_TOO_LARGE: {
    message: 'The message body is larger than the host accepts.',
    status: 'invalid',
    verdict: 'reject',
    action: 'Send less in one message. limits.maxBodyBytes is the bound.',
  },
  BEDS_REQUEST_TOO_COMPLEX: {
    message: 'The message nests too deeply or has too many elements.',
    status: 'invalid',
    verdict: 'reject',
    action: 'Send flatter or smaller data. limits.maxDepth, limits.maxKeys and limits.maxBatch are the bounds.',
  },
  BEDS_REQUEST_CONTENT_TYPE: {
    message: 'The content type or encoding is not accepted.',
    status: 'invalid',
    verdict: 'reject',
    action: 'Send content-type application/json in UTF-8 without content-encoding.',
  },
  BEDS_REQUEST_FORBIDDEN_KEY: {
    message: 'The message contains a forbidden key.',
    status: 'invalid',
    verdict: 'reject',
    action: 'Remove keys named __proto__, constructor or prototype.',
  },
  BEDS_REQUEST_ROUTE_MISMATCH: {
    message: 'The operation in the envelope differs from the routing key.',
    status: 'forbidden',
    verdict: 'reject',
    action: 'Publish to the request exchange with routing key <domain>.<operation> of the envelope.',
  },
  BEDS_REQUEST_INVALID: {
    message: 'The request is not valid.',
    status: 'invalid',
    action: 'Correct the named fields: `problems` has all of them.',
  },
  BEDS_REQUEST_REPLY_TO: {
    message: 'The host may not publish to this reply-to address. The request was not carried out.',
    status: 'forbidden',
    verdict: 'reject',
    action:
      'Use direct reply-to (amq.rabbitmq.reply-to), a server-named queue, or a queue named beds.reply.<name>. Operators: amqp.replyPrefixes allows others.',
  },
  BEDS_REQUEST_FORBIDDEN: {
    message: 'Who asks may not do this.',
    status: 'forbidden',
    action:
      'Ask for less, or for the right. Authors: `access` of the template says who may. Operators: so does [callers.*], for the AMQP user.',
  },
  BEDS_REQUEST_SIGN_IN: {
    message: 'Nobody is signed in, or no longer.',
    status: 'forbidden',
    action:
      'Send the token of a session as meta.session. Where one was sent it has ended: refresh it, or sign in again.',
  },
  BEDS_REQUEST_SESSION_UNAVAILABLE: {
    message: 'Whose session this is cannot be found out now.',
    status: 'unavailable',
    retryable: true,
    action:
      'Try again. Operators: a node must serve the domain `sessions`, and for tokens of an OpenID provider its keys must be reached.',
  },
  BEDS_REQUEST_UNKNOWN_DOMAIN: {
    message: 'This host does not serve the domain.',
    status: 'not-found',
    action: 'Check the name. `beds status` lists the domains; `beds versions` says why one is not live.',
  },
  BEDS_REQUEST_ROLE_ABSENT: {
    message: 'No node that plays the role of this domain serves it.',
    status: 'unavailable',
    action:
      'Start a node with this role in node.roles, and deploy the domain there. `beds status` says which roles nobody plays.',
  },
  BEDS_REQUEST_PEER_UNAVAILABLE: {
    message: 'Another domain, which other nodes serve, cannot be asked.',
    status: 'unavailable',
    retryable: true,
    action:
      'Look at the message and at `beds status`: RabbitMQ, the node of that domain, the rights of this host’s account.',
  },
  BEDS_REQUEST_WITHHELD: {
    message: 'The only version of this domain is quarantined.',
    status: 'unavailable',
    action: 'Try again later. Operators: `beds versions` says why and what to do.',
  },
  BEDS_REQUEST_UNKNOWN_OPERATION: {
    message: 'The domain has no such operation.',
    status: 'not-found',
    action: 'Check the name against the template. `by` and `beds status` show which version is live.',
  },
  BEDS_REQUEST_DEADLINE_EXCEEDED: {
    message:
      'The deadline passed before the request was done. It is safe to send again: no write began, or the operation is idempotent.',
    status: 'timeout',
    retryable: true,
    action: 'Allow more time with meta.deadlineMs, or ask for less.',
  },
  BEDS_REQUEST_INDETERMINATE: {
    message: 'The write began, here or in an earlier delivery, and may have been carried out.',
    status: 'indeterminate',
    action: 'Read the record before you repeat the write. Operations declared idempotent may be repeated at once.',
  },
  BEDS_REQUEST_POISON: {
    message: 'The request twice ended the thread or process that ran it. It is not run again.',
    status: 'fault',
    verdict: 'reject',
    action:
      "Fix template code that blocks its thread, crashes it or takes all its memory. The host's log names version and hash.",
  },
  BEDS_REQUEST_CALL_DEPTH: {
    message: 'Calls between domains are nested too deeply.',
    status: 'fault',
    action: 'Look for two templates that call each other through `peers`.',
  },
  BEDS_REQUEST_READ_ONLY: {
    message: 'A read called an operation of another domain that writes.',
    status: 'fault',
    action: 'Declare the calling operation with `mutation`: a `query` may be run more than once.',
  },
  BEDS_REQUEST_UNDECLARED: {
    message: 'The template uses an object or domain that its definition does not declare.',
    status: 'fault',
    action: 'Declare the object under `objects` or the domain under `peers` of the template.',
  },
  BEDS_REQUEST_BAD_RESULT: {
    message: 'The result of the template is not valid.',
    status: 'fault',
    action: 'Return plain JSON: an object from create, update and delete; a page with rows from fetch.',
  },
  BEDS_REQUEST_RESULT_TOO_LARGE: {
    message: 'The result is larger than the host may send.',
    status: 'invalid',
    action:
      'Ask for fewer rows with query.limit and follow the cursor, or for less in one message. limits.maxReplyBytes bounds one reply; the replies to an array go in one message of at most 15 MiB, unless its type is beds.batch.',
  },
  BEDS_REQUEST_PROCESS_FORBIDDEN: {
    message: 'The template tried to change or end the process, which all domains share.',
    status: 'fault',
    action: 'Throw an error to end a request. Only the host may end the process.',
  },
  BEDS_REQUEST_IMPORT_FORBIDDEN: {
    message: 'The template loaded a module that templates may not use.',
    status: 'fault',
    action: 'Use ctx instead. sdk/README.md lists the allowed modules.',
  },
  BEDS_REQUEST_TEMPLATE_FAULT: {
    message: 'The template failed.',
    status: 'fault',
    action: "The host's log has the cause under the request's id, with the line of the template.",
  },
});
