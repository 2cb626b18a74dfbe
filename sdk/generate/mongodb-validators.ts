import {
  type CheckedField,
  type CheckedRecord,
  type DocumentLayout,
  type Formula,
  isKeyWhole,
  keyFields,
  type Type,
} from '../spec/index.js';

/**
 * What a collection keeps by itself, whoever writes: types, what must be there, words, bounds, lengths, masks. Rules over several
 * fields and over other records are kept by the operations. Never more than those keep: the host itself is never refused.
 */

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type Schema = Readonly<Record<string, Json>>;

interface Kept {
  readonly layout: DocumentLayout;
  /** A reference has the type of the key that it names. */
  readonly typed: (type: Type) => Type;
  /** Whether a version before this one may still write, which knows less. */
  readonly isFirst: boolean;
}

/** The options of a collection: https://www.mongodb.com/docs/manual/core/schema-validation/ */
export function validatorOf(root: CheckedRecord, parts: readonly CheckedRecord[], kept: Kept): Schema {
  const keys = keyFields(root);
  const stored = kept.layout.storedFields(root);
  const own = objectOf(
    stored.filter(({ name }) => !keys.includes(name)),
    kept,
  );
  const key = stored.filter(({ name }) => keys.includes(name));
  const [first] = key;
  const id = isKeyWhole(root) && first !== undefined ? fieldOf(first, kept) : objectOf(key, kept);
  const lists = parts.map((part): readonly [string, Schema] => {
    const isInside = part.parent === root.name;
    const fields = kept.layout.storedFields(part).filter(({ name }) => !(isInside && name === part.parent));
    return [part.name, { bsonType: 'array', items: objectOf(fields, kept) }];
  });
  const properties = { _id: id, ...(own['properties'] as Schema), ...Object.fromEntries(lists) };
  // n.b. what is there already, and does not fit, can still be mended.
  return { validator: { $jsonSchema: { ...own, properties } }, validationLevel: 'moderate' };
}

function objectOf(fields: readonly CheckedField[], kept: Kept): Schema {
  const required = fields.filter((field) => kept.isFirst && !isLoose(field)).map(({ name }) => name);
  return {
    bsonType: 'object',
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(fields.map((field) => [field.name, fieldOf(field, kept)])),
  };
}

/** Whether the value may be absent. n.b. a total is counted, and never tested. */
function isLoose({ optional, rollup }: CheckedField): boolean {
  return optional || rollup !== undefined;
}

function fieldOf(field: CheckedField, kept: Kept): Schema {
  const bounds = field.rollup === undefined ? field : {};
  const schema = valueOf(field.type, { ...bounds, spec: field.rollup === undefined ? field.spec : undefined }, kept);
  return isLoose(field) ? orNull(schema) : schema;
}

function orNull(schema: Schema): Schema {
  const { bsonType, enum: words } = schema;
  if (Array.isArray(words)) return { ...schema, enum: [...(words as readonly Json[]), null] };
  if (bsonType === undefined) return schema;
  return {
    ...schema,
    bsonType: [...(typeof bsonType === 'string' ? [bsonType] : (bsonType as readonly Json[])), 'null'],
  };
}

interface Bounds {
  readonly spec?: object | undefined;
  readonly min?: Formula;
  readonly max?: Formula;
  readonly multipleOf?: Formula;
}

interface Said {
  readonly max_length?: number;
  readonly mask?: string;
  readonly letter_case?: string;
  readonly precision?: number;
  readonly min_items?: number;
  readonly max_items?: number;
}

function valueOf(given: Type, bounds: Bounds, kept: Kept): Schema {
  const type = kept.typed(given);
  const said = (bounds.spec ?? {}) as Said;
  switch (type.kind) {
    case 'integer':
      return { bsonType: WHOLE, ...numbersOf(bounds, plainNumber) };
    case 'float':
      return { bsonType: NUMBER, ...numbersOf(bounds, plainNumber) };
    case 'decimal':
      return { bsonType: 'decimal', ...(bounds.spec === undefined ? {} : decimalsOf(type.scale, bounds, said)) };
    case 'boolean':
      return { bsonType: 'bool' };
    case 'date':
    case 'timestamp':
      return { bsonType: 'date' };
    case 'time':
      return { bsonType: 'string', maxLength: 8, pattern: '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' };
    case 'enum':
      return { enum: type.values };
    case 'point':
      return {
        ...{ bsonType: 'object', required: ['lat', 'lon'] },
        properties: { lat: degrees(90), lon: degrees(180) },
      };
    case 'json':
      return {};
    case 'list':
    case 'objects': {
      const { min_items: least, max_items: most } = said;
      return {
        bsonType: 'array',
        ...(least === undefined || least === 0 ? {} : { minItems: least }),
        ...(most === undefined ? {} : { maxItems: most }),
        items: type.kind === 'list' ? valueOf(type.of, bounds, kept) : itemOf(type, kept),
      };
    }
    default:
      return { bsonType: 'string', ...(bounds.spec === undefined ? {} : textOf(said)) };
  }
}

const WHOLE = ['int', 'long'];
const NUMBER = ['double', 'int', 'long'];

function itemOf({ columns }: Type & { readonly kind: 'objects' }, kept: Kept): Schema {
  const required = columns.filter(({ optional }) => kept.isFirst && !optional).map(({ name }) => name);
  const properties = columns.map(({ name, type, spec, optional }): readonly [string, Schema] => {
    const schema = valueOf(type, { spec }, kept);
    return [name, optional ? orNull(schema) : schema];
  });
  return {
    bsonType: 'object',
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(properties),
  };
}

function degrees(most: number): Schema {
  return { bsonType: NUMBER, minimum: -most, maximum: most };
}

const DEFAULT_LENGTH = 200;
/** n.b. `$` matches before a line break at the end as well: the length says that there is none. */
const MASK: Readonly<Record<string, string>> = { d: '[0-9]', A: '[A-Z]' };

function textOf({ max_length: most, mask, letter_case: letters }: Said): Schema {
  if (mask !== undefined) {
    const signs = Array.from(mask);
    const form = signs.map((sign) => MASK[sign] ?? sign.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('');
    return { maxLength: signs.length, pattern: `^${form}$` };
  }
  // n.b. of other alphabets servers know other letters.
  const pattern = letters === 'lower' ? '^[^A-Z]*$' : '^[^a-z]*$';
  return { maxLength: most ?? DEFAULT_LENGTH, ...(letters === undefined ? {} : { pattern }) };
}

/** What is written down in the specification; undefined: it is computed. */
function writtenNumber(formula: Formula | undefined): string | undefined {
  if (formula?.node === 'negate') {
    const inner = writtenNumber(formula.of);
    return inner === undefined ? undefined : `-${inner}`;
  }
  if (formula?.node !== 'literal' || !['number', 'string'].includes(typeof formula.value)) return undefined;
  const text = String(formula.value);
  return /^\d+(?:\.\d+)?$/.test(text) ? text : undefined;
}

function plainNumber(text: string): Json {
  return Number(text);
}

/** n.b. as Extended JSON: a tenth is no double. */
function exactNumber(text: string): Json {
  return { $numberDecimal: text };
}

function numbersOf({ min, max, multipleOf }: Bounds, write: (text: string) => Json): Schema {
  const [least, most, step] = [writtenNumber(min), writtenNumber(max), writtenNumber(multipleOf)];
  return {
    ...(least === undefined ? {} : { minimum: write(least) }),
    ...(most === undefined ? {} : { maximum: write(most) }),
    ...(step === undefined ? {} : { multipleOf: write(step) }),
  };
}

/** Digits in all, and after the point, where no bound of the field is narrower. */
function decimalsOf(scale: number, bounds: Bounds, { precision }: Said): Schema {
  const smallest = scale === 0 ? '1' : `0.${'1'.padStart(scale, '0')}`;
  const own = numbersOf(bounds, exactNumber);
  const step = { multipleOf: exactNumber(smallest) };
  if (precision === undefined) return { ...step, ...own };
  const digits = '9'.repeat(precision).padStart(scale + 1, '0');
  const greatest = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  const [least, most] = [writtenNumber(bounds.min), writtenNumber(bounds.max)];
  return {
    ...{ ...step, ...own },
    ...(least === undefined || Number(least) < -Number(greatest) ? { minimum: exactNumber(`-${greatest}`) } : {}),
    ...(most === undefined || Number(most) > Number(greatest) ? { maximum: exactNumber(greatest) } : {}),
  };
}
