import { defineErrors, type BedsError } from './errors.js';

/** Errors of templates: what code throws on purpose, and definitions that are wrong. */
export const templateErrors = defineErrors({
  BEDS_TEMPLATE_INVALID: {
    message: 'The template definition is wrong.',
    status: 'fault',
    action: 'Correct every finding named in the message and build again.',
  },
  BEDS_TEMPLATE_INPUT_INVALID: {
    message: 'A value of the request is not what the domain accepts.',
    status: 'invalid',
    action: 'Correct the named field.',
  },
  BEDS_TEMPLATE_NOT_FOUND: {
    message: 'There is no such record.',
    status: 'not-found',
    action: 'Check the key; the record may have been deleted.',
  },
  BEDS_TEMPLATE_NO_ROW: {
    message: 'The procedure that creates a record gave no row, though the template declares one.',
    status: 'fault',
    action: 'Let the procedure select the row that it made, or declare that it returns nothing.',
  },
  BEDS_TEMPLATE_CONFLICT: {
    message: 'The request contradicts the present state of the record.',
    status: 'conflict',
    action: 'Fetch the record again and decide anew.',
  },
  BEDS_TEMPLATE_REFUSED: {
    message: 'The domain refuses this request.',
    status: 'forbidden',
    action: 'See the message; the same request will be refused again.',
  },
  BEDS_TEMPLATE_NOT_SUPPORTED: {
    message: 'The domain does not support this operation.',
    status: 'invalid',
    action: "Use one of the domain's other operations.",
  },
});

/** What an error is about: the field, as a path such as `payload.seats`. */
interface About {
  readonly field: string;
}

/** Thrown by template code where a record is missing. The caller sees `message`. */
export function notFound(message?: string, about?: About): BedsError {
  return templateErrors.make('BEDS_TEMPLATE_NOT_FOUND', message, about);
}

/** Thrown by template code where the state of a record forbids the change. The caller sees `message`. */
export function conflict(message?: string, about?: About): BedsError {
  return templateErrors.make('BEDS_TEMPLATE_CONFLICT', message, about);
}

/** Thrown by template code where a value is wrong. `field` is a path such as `payload.name`; the caller sees both. */
export function invalid(field: string, message: string): BedsError {
  return templateErrors.make('BEDS_TEMPLATE_INPUT_INVALID', `${field} ${message}`, { field });
}

/** Thrown by template code where a rule of the domain forbids the request. The caller sees `message`. */
export function refused(message?: string, about?: About): BedsError {
  return templateErrors.make('BEDS_TEMPLATE_REFUSED', message, about);
}

/** Thrown by template code where an operation is not offered, such as `delete` of a read-only domain. */
export function notSupported(message?: string): BedsError {
  return templateErrors.make('BEDS_TEMPLATE_NOT_SUPPORTED', message);
}
