import { Decimal128, Double, Long } from 'mongodb';

/**
 * Negative where `a` sorts before `b`, stored values of one column; undefined where only the database can tell, such as of
 * text, which may have a collation. Null sorts before every value.
 */
export function compareStored(a: unknown, b: unknown): number | undefined {
  const isNull = a === undefined || a === null;
  const isOtherNull = b === undefined || b === null;
  if (isNull || isOtherNull) return Number(isOtherNull) - Number(isNull);
  if (a instanceof Date && b instanceof Date) return a.getTime() - b.getTime();
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  return undefined;
}

type StoredNumber = number | Double | Long | Decimal128;

function isNumber(value: unknown): value is StoredNumber {
  return typeof value === 'number' || value instanceof Double || value instanceof Decimal128 || Long.isLong(value);
}

function compareNumbers(a: StoredNumber, b: StoredNumber): number | undefined {
  const difference = Number(a.toString()) - Number(b.toString());
  // n.b. two numbers that are the same double, or both beyond it, may be different.
  return difference < 0 || difference > 0 ? difference : compareExact(exactly(a), exactly(b));
}

/** `digits` times 10 to the power of `exponent`. */
interface Exact {
  readonly digits: bigint;
  readonly exponent: number;
}

function compareExact(a: Exact, b: Exact): number {
  const least = Math.min(a.exponent, b.exponent);
  const scaled = ({ digits, exponent }: Exact): bigint => digits * 10n ** BigInt(exponent - least);
  const difference = scaled(a) - scaled(b);
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

function exactly(value: StoredNumber): Exact {
  if (typeof value === 'number' || value instanceof Double) return exactDouble(Number(value));
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(value.toString()) ?? [];
  return { digits: BigInt(`${sign}${whole}${fraction}`), exponent: Number(exponent) - fraction.length };
}

/** A finite double is a whole number divided by a power of 2, which is one of 5 divided by one of 10. */
function exactDouble(value: number): Exact {
  let whole = value;
  let halvings = 0;
  for (; !Number.isInteger(whole); halvings += 1) whole *= 2;
  return { digits: BigInt(whole) * 5n ** BigInt(halvings), exponent: -halvings };
}
