import type { Json, ValueType } from '@beds/sdk';

/** A checked value as the driver sends it: text for all that JavaScript's numbers would blur. */
export function toDriver(value: Json, type: ValueType): string | number | boolean | null {
  if (value === null) return null;
  if (type === 'json') return JSON.stringify(value);
  // MySQL takes no ISO 8601 zone; the session's time zone is UTC.
  if (type === 'datetime') return (value as string).replace('T', ' ').replace('Z', '');
  return value as string | number | boolean;
}
