import type { Json } from './json.js';
import { byteLength, findNoJson, IN_ONE_FORM, isBase64 } from './read-value.js';
import { isLive, takesNull, type ValueDescription, type ValueFields } from './values.js';

/**
 * Whether a value fits and has its one form already, so that `readValue` would give back the value itself. Nearly every value
 * is so, and asking costs no objects. Where the answer is no, `readValue` makes the form or says what is wrong.
 */
export type Fits = (value: unknown) => boolean;

const never: Fits = () => false;

/** Prepares the question once. `fill` is that of `readValue`. */
export function compileFits(description: ValueDescription, fill = false): Fits {
  const { type, values = [] } = description;
  switch (type) {
    case 'string':
      return fitsString(description);
    case 'integer':
      return fitsNumber(description, Number.isSafeInteger);
    case 'number':
      return fitsNumber(description, Number.isFinite);
    case 'boolean':
      return (value) => typeof value === 'boolean';
    case 'enum':
      return (value) => typeof value === 'string' && values.includes(value);
    case 'decimal':
    case 'bigint':
    case 'date':
    case 'datetime':
      return isBounded(description) ? never : (value) => typeof value === 'string' && IN_ONE_FORM[type].test(value);
    case 'binary':
      return fitsBinary(description);
    case 'json':
    case 'schema':
      return isLive(description) ? never : (value) => findNoJson(value) === undefined;
    case 'list':
      return fitsList(description, fill);
    case 'object':
      return fitsFields(description.fields ?? {}, fill, (field) => compileFits(field, fill));
  }
}

function fitsString({ maxLength = Infinity }: ValueDescription): Fits {
  return (value) => typeof value === 'string' && value.length <= maxLength && value.isWellFormed();
}

function fitsBinary({ maxLength = Infinity }: ValueDescription): Fits {
  return (value) => typeof value === 'string' && isBase64(value) && byteLength(value) <= maxLength;
}

function fitsNumber({ min = -Infinity, max = Infinity }: ValueDescription, isOne: Fits): Fits {
  return (value) => isOne(value) && (value as number) >= min && (value as number) <= max;
}

function isBounded({ min, max }: ValueDescription): boolean {
  return min !== undefined || max !== undefined;
}

function fitsList({ items = { type: 'json' }, maxItems = Infinity }: ValueDescription, fill: boolean): Fits {
  const fits = compileFits(items, fill);
  const mayBeNull = items.optional === true && takesNull(items, fill) && !isLive(items);
  return (value) => {
    if (!Array.isArray(value) || value.length > maxItems) return false;
    for (const item of value as readonly (Json | undefined)[]) {
      if (item === null ? !mayBeNull : item === undefined || !fits(item)) return false;
    }
    return true;
  };
}

/** The same of an object with these members and no others. */
export function fitsFields(fields: ValueFields, fill: boolean, compile: (description: ValueDescription) => Fits): Fits {
  const descriptions = Object.values(fields);
  const names = Object.keys(fields);
  const members = descriptions.map(compile);
  const mayBeAbsent = descriptions.map((each) => each.optional === true && each.default === undefined && !isLive(each));
  const mayBeNull = descriptions.map((each, at) => mayBeAbsent[at] === true && takesNull(each, fill));
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    let present = 0;
    for (let at = 0; at < names.length; at += 1) {
      const member = (value as Readonly<Record<string, unknown>>)[names[at] as string];
      if (member === undefined || member === null) {
        if (member === undefined && !fill && mayBeAbsent[at] === true) continue;
        if (member === undefined || mayBeNull[at] !== true) return false;
      } else if (members[at]?.(member) !== true) return false;
      present += 1;
    }
    // n.b. it has no more than these; what it only inherits was counted, and is missed here.
    return Object.keys(value).length === present;
  };
}
