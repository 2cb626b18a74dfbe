import { BedsError, type ErrorDetails, type ErrorStatus } from '../template/errors.js';

/** The errors that a host answers with where a test would meet the same mistake. The host owns their catalogue. */
const STATUS = {
  BEDS_REQUEST_INVALID: 'invalid',
  BEDS_REQUEST_MALFORMED: 'invalid',
  BEDS_REQUEST_FORBIDDEN: 'forbidden',
  BEDS_REQUEST_SIGN_IN: 'forbidden',
  BEDS_REQUEST_UNDECLARED: 'fault',
  BEDS_REQUEST_UNKNOWN_OPERATION: 'not-found',
  BEDS_REQUEST_BAD_RESULT: 'fault',
  BEDS_REQUEST_TEMPLATE_FAULT: 'fault',
  BEDS_STORE_VALUE_UNFIT: 'fault',
  BEDS_STORE_QUERY_INVALID: 'invalid',
  BEDS_STORE_CURSOR_INVALID: 'invalid',
} as const satisfies Readonly<Record<string, ErrorStatus>>;

/** Makes (does not throw) an error with a code of the host. */
export function hostError(code: keyof typeof STATUS, message: string, details: ErrorDetails = {}): BedsError {
  return new BedsError(code, { message, status: STATUS[code], action: '' }, details);
}
