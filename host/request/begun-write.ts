import { BedsError } from '@beds/sdk';
import { requestErrors } from '../errors/request.js';

/** What the caller of a write is told when the write failed after something of it may have been kept. */
export function afterBegunWrite(failure: BedsError): BedsError {
  const { code, status, message, verdict, field } = failure;
  if (code === 'BEDS_REQUEST_DEADLINE_EXCEEDED') {
    return requestErrors.make(
      'BEDS_REQUEST_INDETERMINATE',
      'The deadline passed after the write had begun; it may have been carried out.',
    );
  }
  if (!failure.retryable) return failure;
  const action = 'A part of the request may have been carried out before it failed: read before you repeat it.';
  return new BedsError(code, { message, status, verdict, action }, { ...(field === undefined ? {} : { field }) });
}
