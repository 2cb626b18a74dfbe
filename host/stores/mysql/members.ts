import type { Scalar } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { NamedValue } from '../contract.js';

/** The texts of an ENUM or a SET, in the order that its DBA wrote them. */
export interface Members {
  readonly kind: 'enum' | 'set';
  readonly texts: readonly string[];
}

const known = new WeakMap<NamedValue, Members | undefined>();

/** undefined: a column of another type. */
export function membersOf(column: NamedValue): Members | undefined {
  if (!known.has(column)) known.set(column, readMembers(column.nativeType));
  return known.get(column);
}

const WRITTEN: Readonly<Record<string, string>> = { "''": "'", '\\n': '\n', '\\r': '\r', '\\0': '\0', '\\\\': '\\' };

/** The catalogue writes `enum('a','it''s')`, and backslashes and ends of lines as a literal has them. */
function readMembers(nativeType: string): Members | undefined {
  const match = /^(enum|set)\((.*)\)/is.exec(nativeType);
  if (match === null) return undefined;
  const texts = [...(match[2] ?? '').matchAll(/'((?:[^']|'')*)'/g)].map(([, text = '']) =>
    text.replace(/''|\\[nr0\\]/g, (written) => WRITTEN[written] ?? written),
  );
  return { kind: match[1]?.toLowerCase() === 'set' ? 'set' : 'enum', texts };
}

/**
 * What the server orders a value by: the number of an ENUM's member, from 1, or a bit for each of a SET; of the empty text, 0.
 * Throws BEDS_STORE_QUERY_INVALID for what is no member.
 */
export function numberOf(column: NamedValue, { kind, texts }: Members, value: Scalar): string {
  if (value === '' && (kind === 'set' || !texts.includes(''))) return '0';
  const parts = kind === 'set' ? String(value).split(',') : [String(value)];
  const places = parts.map((part) => texts.indexOf(part));
  if (places.includes(-1)) {
    const field = `where.${column.name}`;
    throw storeErrors.make('BEDS_STORE_QUERY_INVALID', `Query: ${field} is compared with what is none of its values.`, {
      field,
    });
  }
  if (kind === 'enum') return String((places[0] ?? 0) + 1);
  return places.reduce((bits, place) => bits | (1n << BigInt(place)), 0n).toString();
}
