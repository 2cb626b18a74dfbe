import type { Json } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';

/** Whole numbers of so many digits may not be exact in JavaScript. */
const BIG = /\d{16}/;

type Reviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown;

/** Where the engine shows the source of a number (Node 22 does, Node 20 does not), a whole one that it cannot hold becomes text. */
const reviveBig: Reviver = (_key, value, context) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
    ? context?.source
    : value;

/** The JSON of a column. Throws BEDS_STORE_VALUE_UNFIT where it is none. */
export function parseJson(text: string, column: string): Json {
  try {
    return (BIG.test(text) ? JSON.parse(text, reviveBig) : JSON.parse(text)) as Json;
  } catch {
    throw storeErrors.make('BEDS_STORE_VALUE_UNFIT', `${column} holds text that is not JSON.`, {
      field: column,
      hint: `Declare ${column} as 'string' in the template, or have the DBA correct the rows.`,
    });
  }
}
