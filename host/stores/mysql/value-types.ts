import type { ValueType } from '@beds/sdk';
import type { NamedValue } from '../contract.js';

/** The parts of INFORMATION_SCHEMA.COLUMNS and PARAMETERS that describe a type. */
export interface CatalogueType {
  readonly name: string;
  readonly dataType: string;
  /** As written by the DBA: `int(11) unsigned`. */
  readonly fullType: string;
  readonly maxLength: number | string | null;
  readonly collation: string | null;
}

const TYPES: Readonly<Record<string, ValueType>> = {
  tinyint: 'integer',
  smallint: 'integer',
  mediumint: 'integer',
  int: 'integer',
  bigint: 'integer',
  year: 'integer',
  float: 'number',
  double: 'number',
  decimal: 'decimal',
  date: 'date',
  datetime: 'datetime',
  timestamp: 'datetime',
  json: 'json',
  char: 'string',
  varchar: 'string',
  tinytext: 'string',
  text: 'string',
  mediumtext: 'string',
  longtext: 'string',
  enum: 'string',
  set: 'string',
  time: 'string',
  uuid: 'string',
  inet4: 'string',
  inet6: 'string',
};

/** Bits of the whole numbers that are exact in JavaScript. */
const BITS: Readonly<Record<string, number>> = { tinyint: 8, smallint: 16, mediumint: 24, int: 32 };
// TIME has no type of ours; its text form and the lengths of `enum` say nothing of what may be sent.
const BOUNDED = new Set(['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext']);

/** How a type of the database is spoken of above the adapters; undefined where BEDS cannot carry its values. */
export function valueType({ dataType, fullType, collation }: CatalogueType): ValueType | undefined {
  const type = dataType.toLowerCase();
  if (type === 'tinyint' && /^tinyint\(1\)/i.test(fullType)) return 'boolean';
  // MariaDB keeps JSON as LONGTEXT of this collation: https://mariadb.com/kb/en/json-data-type/
  if (type === 'longtext' && collation === 'utf8mb4_bin') return 'json';
  return TYPES[type];
}

/** TINYINT(1) and text of that collation are also what they are called. */
const ALTERNATIVES: Readonly<Partial<Record<string, ValueType>>> = { tinyint: 'integer', longtext: 'string' };

/** The named value; a type that BEDS cannot carry is a string here and reported by `unsupported`. */
export function namedValue(source: CatalogueType): NamedValue {
  const type = valueType(source) ?? 'string';
  const other = ALTERNATIVES[source.dataType.toLowerCase()];
  const { collation } = source;
  return {
    name: source.name,
    type,
    nativeType: source.fullType,
    ...bounds(source, other ?? type),
    ...(other === undefined || other === type ? {} : { alternatives: [other] }),
    ...(collation?.startsWith('utf8mb4_') === true && type === 'string' ? { collation } : {}),
  };
}

function bounds(source: CatalogueType, type: ValueType): { maxLength?: number; min?: number; max?: number } {
  const dataType = source.dataType.toLowerCase();
  const maxLength = Number(source.maxLength);
  if (type === 'string' && BOUNDED.has(dataType) && maxLength > 0) return { maxLength };
  const bits = BITS[dataType];
  if (type !== 'integer' || bits === undefined) return {};
  return /unsigned/i.test(source.fullType)
    ? { min: 0, max: 2 ** bits - 1 }
    : { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 };
}
