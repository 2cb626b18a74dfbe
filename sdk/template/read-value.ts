import type { Json } from './json.js';
import {
  isLive,
  LIVE_SCHEMA,
  type LiveDescription,
  type SchemaIssue,
  takesNull,
  type ValueDescription,
} from './values.js';

/** What is wrong with a value: `at` is the way into it (`[3].name`, empty for the value itself). */
export interface ProblemAt {
  readonly at: string;
  readonly problem: string;
}

/**
 * A value in the one form that templates see and databases are given, or what is wrong with it (never the value itself): the
 * first problem, and all of a value that has parts.
 */
export type ReadValue =
  { readonly value: Json } | { readonly problem: string; readonly problems?: readonly ProblemAt[] };

/** `fill`: what is absent inside of the value comes as null, as in results; it stays absent in arguments. */
type Reader = (value: Json, description: ValueDescription, fill: boolean) => ReadValue;

const DECIMAL = /^-?\d{1,65}(?:\.\d{1,65})?$/;
const WHOLE = /^-?(?:0|[1-9]\d{0,63})$/;
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;
// RFC 3339: an instant has an offset; without one it would mean another time on every machine.
const INSTANT =
  /^\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const DAY_OF_MONTH = '(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)';

/**
 * Texts that are read as they are. n.b. some others are as well, 29 February for one: to read them finds out.
 */
export const IN_ONE_FORM = {
  bigint: /^(?:0|-?[1-9]\d{0,63})$/,
  decimal: DECIMAL,
  date: new RegExp(`^\\d{4}-${DAY_OF_MONTH}$`),
  datetime: new RegExp(`^\\d{4}-${DAY_OF_MONTH}T(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z$`),
} as const;
const MAX_JSON_DEPTH = 64;

const wrong = (problem: string): ReadValue => ({ problem });

function withinRange(value: number, description: ValueDescription): ReadValue | undefined {
  if (description.min !== undefined && value < description.min) return wrong(`must be at least ${description.min}`);
  if (description.max !== undefined && value > description.max) return wrong(`must be at most ${description.max}`);
  return undefined;
}

/** n.b. databases keep half a surrogate pair as another character, or not at all. */
const UNICODE = 'must be well-formed Unicode';

function readString(value: Json): ReadValue {
  if (typeof value !== 'string') return wrong('must be a string');
  return value.isWellFormed() ? { value } : wrong(UNICODE);
}

function readInteger(value: Json, description: ValueDescription): ReadValue {
  if (!Number.isSafeInteger(value)) {
    return wrong(
      typeof value === 'number' && Number.isInteger(value)
        ? 'must be a whole number within ±(2^53-1)'
        : 'must be a whole number',
    );
  }
  return withinRange(value as number, description) ?? { value };
}

function readBigint(value: Json): ReadValue {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return { value: String(value) };
  return typeof value === 'string' && WHOLE.test(value)
    ? { value: BigInt(value).toString() }
    : wrong('must be a whole number, as a decimal string');
}

function readNumber(value: Json, description: ValueDescription): ReadValue {
  if (typeof value !== 'number' || !Number.isFinite(value)) return wrong('must be a finite number');
  return withinRange(value, description) ?? { value };
}

function readDecimal(value: Json, description: ValueDescription): ReadValue {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !DECIMAL.test(text)) return wrong('must be a decimal number, as a string');
  return withinRange(Number(text), description) ?? withinExactly(text, description) ?? { value: text };
}

/** n.b. of numbers that are the same number in JavaScript, the digits tell which is larger. */
function withinExactly(text: string, { min, max }: ValueDescription): ReadValue | undefined {
  const number = Number(text);
  if (number === min && compareDigits(text, digitsOf(min)) < 0n) return wrong(`must be at least ${min}`);
  if (number === max && compareDigits(text, digitsOf(max)) > 0n) return wrong(`must be at most ${max}`);
  return undefined;
}

/** A number as it is written, without an exponent. */
function digitsOf(number: number): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(number)) ?? [];
  const point = whole.length + Number(exponent);
  const digits = (whole + fraction).padStart(whole.length + fraction.length + Math.max(0, 1 - point), '0');
  const at = Math.max(1, point);
  return `${sign}${digits.slice(0, at).padEnd(at, '0')}.${digits.slice(at)}`;
}

function compareDigits(a: string, b: string): bigint {
  const decimals = Math.max(...[a, b].map((text) => text.split('.')[1]?.length ?? 0));
  const [first = 0n, second = 0n] = [a, b].map((text) => {
    const [whole = '', fraction = ''] = text.split('.');
    return BigInt(whole + fraction.padEnd(decimals, '0'));
  });
  return first - second;
}

function readDate(value: Json): ReadValue {
  const match = typeof value === 'string' ? DAY.exec(value) : null;
  if (match === null) return wrong('must be a day, YYYY-MM-DD');
  const day = new Date(`${match[0]}T00:00:00Z`);
  // Date accepts 30 February as 1 March: comparing the text tells.
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(match[0])
    ? { value: match[0] }
    : wrong('must be a day that exists');
}

function readDatetime(value: Json): ReadValue {
  if (typeof value !== 'string' || !INSTANT.test(value)) return wrong('must be an instant, YYYY-MM-DDThh:mm:ssZ');
  const instant = new Date(value);
  if (Number.isNaN(instant.getTime()) || 'problem' in readDate(value.slice(0, 10))) {
    return wrong('must be an instant that exists');
  }
  const seconds = instant.toISOString().slice(0, 19);
  if (!/^\d{4}-/.test(seconds)) return wrong('must lie in the years 0000 to 9999');
  // Databases keep more digits than Date: a cursor that lost them would skip or repeat rows.
  const fraction = (/\.(\d+)/.exec(value)?.[1] ?? '').replace(/0+$/, '').padEnd(3, '0');
  return { value: `${seconds}.${fraction}Z` };
}

/** Bytes have one base64 text: with padding, and nothing in the bits that are left over. */
const BASE64 = /^[A-Za-z0-9+/]*(?:[AQgw]==|[AEIMQUYcgkosw048]=)?$/;

export function isBase64(text: string): boolean {
  return text.length % 4 === 0 && BASE64.test(text);
}

/** How many bytes a base64 text stands for. */
export function byteLength(text: string): number {
  return (text.length / 4) * 3 - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0);
}

function readBinary(value: Json, { maxLength = Infinity }: ValueDescription): ReadValue {
  if (typeof value !== 'string' || !isBase64(value)) return wrong('must be base64, with its padding');
  return byteLength(value) > maxLength ? wrong(`must have at most ${maxLength} bytes`) : { value };
}

/** The first thing in a value that JSON cannot carry as it is. n.b. what is undefined in an object counts as left out. */
export function findNoJson(value: unknown, depth = MAX_JSON_DEPTH): ProblemAt | undefined {
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return value.isWellFormed() ? undefined : at('', UNICODE);
  if (typeof value === 'number')
    return Number.isFinite(value) ? undefined : at('', `must be a finite number, not ${value}`);
  if (typeof value !== 'object') return at('', `must be JSON: ${typeof value} is not${INSTEAD[typeof value] ?? ''}`);
  if (depth === 0) return at('', `must be JSON at most ${MAX_JSON_DEPTH} deep, and hold no cycle`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const found = findNoJson(value[index], depth - 1);
      if (found !== undefined) return at(`[${index}]${found.at}`, found.problem);
    }
    return undefined;
  }
  if (!isPlainObject(value)) return at('', `must be JSON: ${nameOfClass(value)} is not${insteadOf(value)}`);
  for (const name in value) {
    if (!name.isWellFormed()) return at('', UNICODE);
    const member = (value as Readonly<Record<string, unknown>>)[name];
    const found = member === undefined ? undefined : findNoJson(member, depth - 1);
    if (found !== undefined) return at(`.${name}${found.at}`, found.problem);
  }
  return undefined;
}

/** What to give in place of it. */
const INSTEAD: Readonly<Record<string, string>> = { bigint: ', its decimal text is' };

function insteadOf(value: object): string {
  if (value instanceof Date) return ', its toISOString() is';
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer
    ? ', its text in base64 is'
    : ', as an object of a class';
}

function at(path: string, problem: string): ProblemAt {
  return { at: path, problem };
}

/** n.b. templates have a realm of their own: their Object.prototype is another one, with no prototype above it. */
function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return (
    prototype === Object.prototype ||
    prototype === null ||
    (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty'))
  );
}

function nameOfClass(value: object): string {
  const { constructor } = value as { readonly constructor?: { readonly name?: unknown } };
  return typeof constructor?.name === 'string' && constructor.name !== '' ? constructor.name : 'an instance of a class';
}

function readJson(value: Json): ReadValue {
  const found = findNoJson(value);
  return found === undefined ? { value } : { problem: found.problem, problems: [found] };
}

function readEnum(value: Json, { values = [] }: ValueDescription): ReadValue {
  return typeof value === 'string' && values.includes(value) ? { value } : wrong(`must be one of ${values.join(', ')}`);
}

/** Problems of the parts of one value that are said at once. */
const MAX_PROBLEMS = 20;

function readList(value: Json, { items = { type: 'json' }, maxItems }: ValueDescription, fill: boolean): ReadValue {
  if (!Array.isArray(value)) return wrong('must be a list');
  const list = value as readonly Json[];
  if (maxItems !== undefined && list.length > maxItems) return wrong(`must hold at most ${maxItems}`);
  const problems: ProblemAt[] = [];
  let read: Json[] | undefined;
  for (let index = 0; index < list.length && problems.length < MAX_PROBLEMS; index += 1) {
    const given = list[index];
    const item =
      given === null && items.optional === true && takesNull(items, fill)
        ? { value: null }
        : readPart(given, items, fill);
    if (item === undefined) continue;
    if ('problem' in item) addProblems(problems, `[${index}]`, item);
    else if (item.value !== given) (read ??= list.slice())[index] = item.value;
  }
  return refusal(problems) ?? { value: read ?? value };
}

/** An item of a list or a member of an object, which may be absent; undefined where it stays so. */
function readPart(given: Json | undefined, description: ValueDescription, fill: boolean): ReadValue | undefined {
  if (isLive(description)) {
    return readValue(given as Json, description, fill);
  }
  if (given !== undefined && given !== null) return readValue(given, description, fill);
  if (description.default !== undefined) return { value: description.default };
  if (description.optional === true && (given === undefined || takesNull(description, fill)))
    return fill ? { value: null } : undefined;
  return wrong(given === null ? 'must not be null' : 'is required');
}

function readObject(value: Json, { fields = {} }: ValueDescription, fill: boolean): ReadValue {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong('must be an object');
  const given = value as Readonly<Record<string, Json>>;
  const problems: ProblemAt[] = [];
  let read: Record<string, Json> | undefined;
  let present = 0;
  for (const name in fields) {
    const isPresent = Object.hasOwn(given, name);
    if (isPresent) present += 1;
    const member = isPresent ? given[name] : undefined;
    const part = readPart(member, fields[name] as ValueDescription, fill);
    if (part === undefined) continue;
    if ('problem' in part) addProblems(problems, `.${name}`, part);
    else if (part.value !== member) {
      read ??= { ...given };
      read[name] = part.value;
    }
  }
  for (const name of present === Object.keys(given).length ? [] : Object.keys(given)) {
    if (Object.hasOwn(fields, name) || (given[name] as unknown) === undefined) continue;
    problems.push(isIdentifier(name) ? at(`.${name}`, 'is unknown') : at('', 'has a name that is no identifier'));
  }
  return refusal(problems) ?? { value: read ?? value };
}

function addProblems(problems: ProblemAt[], path: string, refused: Extract<ReadValue, { problem: string }>): void {
  for (const each of refused.problems ?? [at('', refused.problem)]) problems.push(at(path + each.at, each.problem));
}

function refusal(problems: readonly ProblemAt[]): Extract<ReadValue, { problem: string }> | undefined {
  const [first] = problems;
  return first === undefined ? undefined : { problem: first.problem, problems: problems.slice(0, MAX_PROBLEMS) };
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

function isIdentifier(name: string): boolean {
  return IDENTIFIER.test(name);
}

/**
 * Without its schema, as in a manifest, only that it is JSON can be said of the value. Code is given what the schema makes of a
 * value, a Date for one; what goes out must be JSON.
 */
function readSchema(value: Json, description: ValueDescription, fill: boolean): ReadValue {
  const schema = (description as LiveDescription)[LIVE_SCHEMA];
  if (schema === undefined) return readJson(value);
  const result = schema['~standard'].validate(value);
  if ('then' in result) return refuseWaiting(result);
  if (result.issues === undefined) {
    return fill && result.value !== undefined ? readJson(result.value as Json) : { value: result.value as Json };
  }
  const problems = result.issues.map(({ message, path }) => at(pathText(path), `is refused: ${message}`));
  return refusal(problems) ?? wrong('is refused');
}

function refuseWaiting(result: PromiseLike<unknown>): ReadValue {
  // n.b. nobody waits for it: that it fails must not end the thread.
  result.then(undefined, () => undefined);
  return wrong('has a schema that validates asynchronously, which is not supported: make that check in the handler');
}

function pathText(path: SchemaIssue['path']): string {
  // n.b. arktype's paths are arrays of a class whose `map` makes another one of a length.
  const keys = Array.from(path ?? [], (part) => (typeof part === 'object' ? part.key : part));
  return keys
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${isIdentifier(String(part)) ? String(part) : '?'}`))
    .join('');
}

const readers: Readonly<Record<ValueDescription['type'], Reader>> = {
  string: readString,
  integer: readInteger,
  bigint: readBigint,
  number: readNumber,
  decimal: readDecimal,
  boolean: (value) => (typeof value === 'boolean' ? { value } : wrong('must be true or false')),
  date: readDate,
  datetime: readDatetime,
  binary: readBinary,
  json: readJson,
  enum: readEnum,
  list: readList,
  object: readObject,
  schema: readSchema,
};

/**
 * Checks one value that is not null against its description. `fill` is for results: what is left out inside comes as null.
 * Decimals and big integers come back as decimal strings, instants in UTC with milliseconds or, where given, more digits.
 */
export function readValue(value: Json, description: ValueDescription, fill = false): ReadValue {
  const { maxLength } = description;
  // Databases count code points, JavaScript UTF-16 units: count only where the difference could matter.
  if (
    maxLength !== undefined &&
    description.type !== 'binary' &&
    typeof value === 'string' &&
    value.length > maxLength
  ) {
    if (Array.from(value).length > maxLength) return wrong(`must have at most ${maxLength} characters`);
  }
  return readers[description.type](value, description, fill);
}
