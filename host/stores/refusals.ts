import type { BedsError } from '@beds/sdk';
import { storeErrors } from '../errors/store.js';

/** What a database may say of a request, and the code that the caller gets for it. */
const CLASSES = {
  invalid: 'BEDS_STORE_REFUSED',
  conflict: 'BEDS_STORE_CONFLICT',
  forbidden: 'BEDS_STORE_FORBIDDEN',
  'not-found': 'BEDS_STORE_NOT_FOUND',
} as const;

const MARKED = /^\[(invalid|conflict|forbidden|not-found)(?: ([A-Za-z_][\w.]{0,99}))?\] *(.*)$/s;
const MAX_CHARACTERS = 256;

/**
 * The error of a text that the DBA wrote for callers: `[conflict] The seat is taken.`, `[invalid seats] One to eight seats.`
 * The class in brackets says its status, the word after it the field that is at fault. Undefined: the text names no class.
 */
export function refusalOf(text: string, about: { readonly cause?: unknown } = {}): BedsError | undefined {
  const [, name, field, words = ''] = MARKED.exec(text) ?? [];
  if (name === undefined) return undefined;
  return storeErrors.make(
    CLASSES[name as keyof typeof CLASSES],
    cleanRefusal(words),
    field === undefined ? about : { ...about, field },
  );
}

/** A text of the database, fit for callers; undefined where nothing is left of it. */
export function cleanRefusal(text: string): string | undefined {
  const clean = text.replace(/\p{C}/gu, ' ').slice(0, MAX_CHARACTERS).trim();
  return clean === '' ? undefined : clean;
}
