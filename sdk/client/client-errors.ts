import { BedsError, defineErrors } from '../template/errors.js';
import type { ReplyError } from '../wire/envelope.js';

/** Errors that arise on the caller's side; those of replies keep the code that the host gave them. */
export const clientErrors = defineErrors({
  BEDS_CLIENT_OPTIONS_INVALID: {
    message: 'The options of the client are wrong.',
    status: 'invalid',
    action: 'Correct the named option.',
  },
  BEDS_CLIENT_UNAVAILABLE: {
    message: 'RabbitMQ, or the request exchange in it, cannot be reached; the request was not carried out.',
    status: 'unavailable',
    retryable: true,
    action: 'Check that RabbitMQ and a BEDS host are running and that the URL and its account are right.',
  },
  BEDS_CLIENT_UNROUTABLE: {
    message: 'No host takes this request: RabbitMQ has no queue for it.',
    status: 'not-found',
    action: 'Check the name of the domain; `beds status` lists the domains that are live.',
  },
  BEDS_CLIENT_FORBIDDEN: {
    message: 'RabbitMQ refuses this account the request.',
    status: 'forbidden',
    action: 'Grant the account write permission on the request exchange.',
  },
  BEDS_CLIENT_TIMEOUT: {
    message: 'No reply came before the deadline; whether the request was carried out is not known.',
    status: 'timeout',
    action: 'For a write, read the record to learn what happened; give the call a longer deadlineMs.',
  },
  BEDS_CLIENT_INDETERMINATE: {
    message: 'The connection was lost after the request was sent; whether it was carried out is not known.',
    status: 'indeterminate',
    action:
      'Read the record to learn what happened. A write that its domain declares `.idempotent()` is sent again by itself.',
  },
  BEDS_CLIENT_ABORTED: {
    message: 'The caller aborted the request; it may still be carried out.',
    status: 'timeout',
    action: 'Nothing, if the abort was intended.',
  },
  BEDS_CLIENT_CLOSED: {
    message: 'The client is closed.',
    status: 'unavailable',
    action: 'Make calls before close(), or connect again.',
  },
  BEDS_CLIENT_SESSION_ENDED: {
    message: 'The session has ended. The request was not carried out.',
    status: 'forbidden',
    action: 'Let the user sign in again, and go on with the session that gives.',
  },
  BEDS_CLIENT_REQUEST_INVALID: {
    message: 'The request cannot be written as an envelope.',
    status: 'invalid',
    action: 'Pass JSON values only, and an id that no other request in flight has.',
  },
});

/** The error of a reply, as the host made it. */
export function fromReply(error: ReplyError): BedsError {
  const { code, message, retryable, field, problems, hint, status } = error;
  return new BedsError(
    code,
    { message, status: status ?? 'fault', action: hint ?? '' },
    { retryable, ...(field !== undefined && { field }), ...(problems !== undefined && { problems }) },
  );
}
