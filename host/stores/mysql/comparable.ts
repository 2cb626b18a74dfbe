import { isIPv4, isIPv6 } from 'node:net';
import type { Scalar } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { NamedValue } from '../contract.js';

interface Form {
  readonly what: string;
  fits(text: string): boolean;
}

const TIME = /^-?(?:[0-7]?\d{1,2}|8[0-2]\d|83[0-8]):[0-5]?\d(?::[0-5]?\d(?:\.\d{1,6})?)?$/;
const UUID = /^[\da-f]{8}(-?)[\da-f]{4}\1[\da-f]{4}\1[\da-f]{4}\1[\da-f]{12}$/i;

/** Types of text that have a form: what has another one, a server takes for the value of some row, or for no value. */
const FORMS: Readonly<Partial<Record<string, Form>>> = {
  time: { what: 'a time, hh:mm:ss, of at most 838 hours and 6 decimals', fits: (text) => TIME.test(text) },
  uuid: { what: 'a UUID', fits: (text) => UUID.test(text) },
  inet4: { what: 'an IPv4 address', fits: isIPv4 },
  inet6: { what: 'an IPv6 address', fits: (text) => isIPv6(text) && !text.includes('%') },
};
const known = new WeakMap<NamedValue, Form | undefined>();

function formOf(column: NamedValue): Form | undefined {
  if (!known.has(column)) known.set(column, FORMS[column.nativeType.replace(/\(.*/s, '').toLowerCase()]);
  return known.get(column);
}

/** Of an instant with six decimals, as many as a server keeps. */
const MOST_INSTANT_CHARACTERS = '2026-01-02T03:04:05.123456Z'.length;
/** No column of years holds one between 0 and 1901, and MariaDB takes those of two digits for others. */
const NO_YEAR = 100;

/** A value as it can be compared with a column. Throws BEDS_STORE_QUERY_INVALID where the server would compare with another. */
export function comparable(column: NamedValue, value: Scalar): Scalar {
  switch (column.type) {
    case 'datetime':
      if (String(value).length > MOST_INSTANT_CHARACTERS) throw refuse(column, 'an instant of at most 6 decimals');
      return value;
    case 'integer':
      return Number(value) > 0 && Number(value) < NO_YEAR && /^year/i.test(column.nativeType) ? NO_YEAR : value;
    case 'string': {
      const form = formOf(column);
      if (form !== undefined && !form.fits(String(value))) throw refuse(column, form.what);
      return value;
    }
    default:
      return value;
  }
}

const MOST_DIGITS = 65;
const MOST_DECIMALS = 30;

/**
 * Decimals to compare a number with: those of the column or, where the value has more, as many as leave room for its whole digits.
 * Throws BEDS_STORE_QUERY_INVALID where it does not fit.
 */
export function scaleFor(column: NamedValue, value: string): number {
  const own = Number(/^decimal\(\d+,(\d+)\)/i.exec(column.nativeType)?.[1] ?? 0);
  const [whole = '', padded = ''] = value.replace(/^[+-]?0*/, '').split('.');
  const decimals = padded.replace(/0+$/, '');
  const room = MOST_DIGITS - whole.length;
  if (decimals.length <= own && own <= room) return own;
  const scale = Math.min(Math.max(own, MOST_DECIMALS), room);
  if (decimals.length <= scale) return scale;
  throw refuse(column, `a number of at most ${String(scale)} decimals`);
}

function refuse({ name }: NamedValue, what: string): Error {
  const field = `where.${name}`;
  return storeErrors.make('BEDS_STORE_QUERY_INVALID', `Query: ${field} must be compared with ${what}.`, { field });
}
