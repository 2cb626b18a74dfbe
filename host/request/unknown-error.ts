import { placeOf, type UnknownName, unknownText } from '@beds/sdk';
import { nearest } from '../config/nearest.js';
import { requestErrors } from '../errors/request.js';

function meant(name: string, known: readonly string[]): string {
  const found = nearest(name, known);
  return found === undefined ? '' : ` (did you mean ${found}?)`;
}

/** Refuses names that nobody knows, all of them at once; `field` is the first one. */
export function unknownError(
  code: 'BEDS_REQUEST_MALFORMED' | 'BEDS_REQUEST_INVALID',
  unknown: readonly UnknownName[],
): Error {
  const [first] = unknown;
  const field = first === undefined ? '' : placeOf(first);
  return requestErrors.make(code, unknownText(unknown, meant), field === '' ? {} : { field });
}
