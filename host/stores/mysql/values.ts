import { isIPv4, isIPv6 } from 'node:net';
import type { Json, JsonObject } from '@beds/sdk';
import { byteLength } from '#sdk/template';
import { storeErrors } from '../../errors/store.js';
import type { NamedValue } from '../contract.js';

/** A value as the driver sends it: text for all that JavaScript's numbers would blur. */
export type DriverValue = string | number | boolean | null;

/** n.b. the driver would send bytes as text of the session's character set. */
export const BYTES = 'FROM_BASE64(?)';

/** n.b. the bits of a text are those of its characters, and MySQL takes no text beyond 2^63 for a number of 64 bits. */
const BITS = 'CAST(CAST(? AS DECIMAL(20,0)) AS UNSIGNED)';

/** The type without its length: of `bigint(20) unsigned` it is `bigint`. */
export function wordOf(nativeType: string): string {
  return /^\w*/.exec(nativeType)?.[0].toLowerCase() ?? '';
}

/** The first number in brackets: the length of a CHAR, the decimals of a second. Absent: 0. */
function lengthOf(nativeType: string): number {
  return Number(/^\w+\((\d+)/.exec(nativeType)?.[1] ?? 0);
}

/** How an argument gets into a statement. */
export interface Binding {
  /** What stands for it there. */
  readonly mark: string;
  /**
   * Throws BEDS_STORE_INVALID_VALUE where the server would keep another value than the one that it was given. Absent: every
   * value of the type is sent as it is, and kept.
   */
  readonly bind?: (value: Exclude<Json, null>) => DriverValue;
}

/** What is wrong with a value that has its type; undefined: nothing. */
type Complaint = (value: Json) => string | undefined;

/** How values of this argument get into a statement. Made once for a routine. */
export function bindingOf(argument: NamedValue): Binding {
  const complaint = COMPLAINTS[wordOf(argument.nativeType)]?.(argument);
  const { mark, write } = writerOf(argument);
  if (complaint === undefined && write === undefined) return { mark };
  const refuse = (problem: string): Error => {
    const { name } = argument;
    return storeErrors.make('BEDS_STORE_INVALID_VALUE', `Argument ${name} ${problem}.`, { field: name });
  };
  return {
    mark,
    bind: (value) => {
      const problem = complaint?.(value);
      if (problem !== undefined) throw refuse(problem);
      const written = write === undefined ? (value as DriverValue) : write(value);
      if (typeof written === 'object' && written !== null) throw refuse(written.problem);
      return written;
    },
  };
}

type Write = (value: Json) => Exclude<DriverValue, null> | { readonly problem: string };

function writerOf({ type, nativeType }: NamedValue): { readonly mark: string; readonly write?: Write } {
  const word = wordOf(nativeType);
  if (word === 'bit')
    return { mark: BITS, write: (value) => textOf(typeof value === 'boolean' ? Number(value) : value) };
  // n.b. the text '0' is the year 2000.
  if (word === 'year') return { mark: '?', write: Number };
  if (word === 'vector') return { mark: BYTES, write: writeVector };
  if (GEOMETRIES.has(word)) return { mark: BYTES, write: (value) => writeGeometry(value, word) };
  if (type === 'binary') return { mark: BYTES };
  if (type === 'json') return { mark: '?', write: (value) => JSON.stringify(value) };
  if (type === 'datetime') return { mark: '?', write: (value) => instantText(value as string) };
  return { mark: '?' };
}

/** Of a value that is a text or a number. */
function textOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** n.b. MySQL takes no ISO 8601 zone; the session's time zone is UTC. */
export function instantText(value: string): string {
  return value.replace('T', ' ').replace('Z', '');
}

/** Bytes of the whole numbers. */
const WIDTHS: Readonly<Record<string, bigint>> = { tinyint: 1n, smallint: 2n, mediumint: 3n, int: 4n, bigint: 8n };

/** n.b. a number was compared with the bounds of its type already; a whole number in a text was not. */
function wholeNumbers({ nativeType, min, max }: NamedValue): Complaint {
  const bits = 8n * (WIDTHS[wordOf(nativeType)] ?? 8n);
  const isUnsigned = /unsigned|zerofill/i.test(nativeType);
  const complaint = between(isUnsigned ? 0n : -(2n ** (bits - 1n)), 2n ** (isUnsigned ? bits : bits - 1n) - 1n);
  const isBounded = min !== undefined && max !== undefined;
  return (value) => (isBounded && typeof value === 'number' ? undefined : complaint(value));
}

/** n.b. a routine keeps the nearest that it can hold where it was made without the strict sql_mode. */
function between(least: bigint, most: bigint): Complaint {
  return (value) => {
    if (typeof value === 'boolean') return undefined;
    const whole = BigInt(value as string | number);
    return whole >= least && whole <= most ? undefined : `must be from ${String(least)} to ${String(most)}`;
  };
}

const isYear = (year: number): boolean => year === 0 || (year >= 1901 && year <= 2155);

function decimals({ nativeType }: NamedValue): Complaint {
  const [, digits = 10, scale = 0] = /^\w+\((\d+)(?:,(\d+))?/.exec(nativeType) ?? [];
  const isUnsigned = /unsigned|zerofill/i.test(nativeType);
  return (value) => {
    const [, sign, whole = '', rest = ''] = /^(-?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(textOf(value)) ?? [];
    if (rest.length > Number(scale)) return `must have at most ${String(scale)} decimals`;
    const room = Number(digits) - Number(scale);
    if (whole.length > room) return `must have at most ${String(room)} digits before the point`;
    return isUnsigned && sign === '-' && whole + rest !== '' ? 'must not be below 0' : undefined;
  };
}

/** What the character sets hold that have less than all of Unicode. Of the others, only the server knows. */
const CHARACTERS: Readonly<Partial<Record<string, RegExp>>> = {
  ascii: /^[\0-\x7f]*$/,
  latin1: /^[\0-\xff€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]*$/,
  utf8mb3: /^[\0-\uffff]*$/u,
  ucs2: /^[\0-\uffff]*$/u,
};

/** The character set of a collation. */
export function setOf(collation: string): string {
  return collation.replace(/_.*/, '');
}

/** Undefined where its set has all characters, or only the server knows which. */
export function charactersOf(collation: string): RegExp | undefined {
  return CHARACTERS[setOf(collation)];
}

/** Sets of one byte a character, by their names in https://encoding.spec.whatwg.org; some of those have more characters. */
const ENCODINGS: Readonly<Partial<Record<string, string>>> = {
  ...{ cp1250: 'windows-1250', cp1251: 'windows-1251', cp1256: 'windows-1256', cp1257: 'windows-1257' },
  ...{ latin2: 'iso-8859-2', latin5: 'windows-1254', latin7: 'iso-8859-13', greek: 'iso-8859-7', hebrew: 'iso-8859-8' },
  ...{ koi8r: 'koi8-r', koi8u: 'koi8-u', cp866: 'ibm866', macroman: 'macintosh', tis620: 'windows-874' },
};
const BYTES_OF_SET = Uint8Array.from({ length: 256 }, (_, byte) => byte);

function charactersIn(set: string): ReadonlySet<string> | undefined {
  const encoding = ENCODINGS[set];
  return encoding === undefined ? undefined : new Set(new TextDecoder(encoding).decode(BYTES_OF_SET));
}

/** n.b. MySQL does not say which argument it is that has another one. */
function characters({ nativeType }: NamedValue): Complaint | undefined {
  const set = /character set (\w+)/.exec(nativeType)?.[1] ?? '';
  const known = CHARACTERS[set];
  const some = known === undefined ? charactersIn(set) : undefined;
  if (known === undefined && some === undefined) return undefined;
  const hasAll = (text: string): boolean =>
    some === undefined ? known?.test(text) === true : Array.from(text).every((character) => some.has(character));
  return (value) => (hasAll(textOf(value)) ? undefined : `has a character that ${set} does not have`);
}

/** n.b. one server rounds them, the other cuts them off. */
function secondDecimals({ nativeType }: NamedValue): Complaint {
  const most = lengthOf(nativeType);
  const sayMost = `must have at most ${String(most)} decimals of a second, as ${nativeType} keeps`;
  return (value) => ((/\.(\d*?)0*Z?$/.exec(value as string)?.[1] ?? '').length > most ? sayMost : undefined);
}

const tooSmall: Complaint = (value) =>
  value !== 0 && Math.fround(Number(value)) === 0 ? 'must not be so small that FLOAT keeps 0' : undefined;

/** Of a FLOAT(7,3), which rounds: one of no such form keeps the nearest double or float. */
function shortened({ nativeType }: NamedValue): Complaint | undefined {
  const [, digits, scale] = /^\w+\((\d+),(\d+)\)/.exec(nativeType) ?? [];
  if (digits === undefined || scale === undefined) return undefined;
  const bound = 10 ** (Number(digits) - Number(scale));
  return (value) => {
    const number = Number(value);
    if (Math.abs(number) >= bound) return `must lie below ±${String(bound)}`;
    return Number(number.toFixed(Number(scale))) === number ? undefined : `must have at most ${scale} decimals`;
  };
}

function form({ what, fits }: Form): Complaint {
  return (value) => (fits(textOf(value)) ? undefined : `must be ${what}`);
}

function all(...complaints: readonly (Complaint | undefined)[]): Complaint {
  return (value) => {
    for (const complaint of complaints) {
      const problem = complaint?.(value);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
}

/**
 * n.b. a server takes a number in a text for the place of a member, and other letters for the member that they are like. It keeps those
 * of a SET once, in the DBA's order.
 */
function members({ nativeType }: NamedValue): Complaint {
  const known = readMembers(nativeType);
  if (known === undefined) return () => undefined;
  if (known.kind === 'enum')
    return (value) => (known.texts.includes(textOf(value)) ? undefined : 'must be one of its members');
  return (value) =>
    inOrder(textOf(value), known) === value ? undefined : 'must be of its members, each once, in their order';
}

/** The text of a SET as the server keeps and shows it; undefined for what is none. */
export function inOrder(text: string, { texts }: Members): string | undefined {
  const parts = text === '' ? [] : text.split(',');
  return parts.every((part) => texts.includes(part)) ? texts.filter((each) => parts.includes(each)).join() : undefined;
}

/** A form that a type of text has. */
export interface Form {
  readonly what: string;
  readonly fits: (text: string) => boolean;
}

const TIME = /^-?(?:[0-7]?\d{1,2}|8[0-2]\d|83[0-8]):[0-5]?\d(?::[0-5]?\d(?:\.\d{1,6})?)?$/;
const UUID = /^[\da-f]{8}(-?)[\da-f]{4}\1[\da-f]{4}\1[\da-f]{4}\1[\da-f]{12}$/i;

/** Types of text that have a form: what has another one, a server takes for the value of some row, or for no value. */
export const FORMS = {
  time: { what: 'a time, hh:mm:ss, of at most 838 hours and 6 decimals', fits: (text) => TIME.test(text) },
  uuid: { what: 'a UUID', fits: (text) => UUID.test(text) },
  inet4: { what: 'an IPv4 address', fits: isIPv4 },
  inet6: { what: 'an IPv6 address', fits: (text) => isIPv6(text) && !text.includes('%') },
} as const satisfies Readonly<Record<string, Form>>;

const TEXTS = ['varchar', 'tinytext', 'text', 'mediumtext', 'longtext'];

const noSpaceAtEnd: Complaint = (value) =>
  textOf(value).endsWith(' ') ? 'must not end with a space, which CHAR does not keep' : undefined;

/** By the word of the type. */
const COMPLAINTS: Readonly<Partial<Record<string, (argument: NamedValue) => Complaint | undefined>>> = {
  ...Object.fromEntries(Object.keys(WIDTHS).map((word) => [word, wholeNumbers])),
  bit: ({ nativeType }) => between(0n, 2n ** BigInt(lengthOf(nativeType)) - 1n),
  year: () => (value) => (isYear(Number(value)) ? undefined : 'must be a year from 1901 to 2155, or 0'),
  decimal: decimals,
  float: (argument) => all(tooSmall, shortened(argument)),
  double: shortened,
  datetime: secondDecimals,
  timestamp: secondDecimals,
  time: (argument) => all(form(FORMS.time), secondDecimals(argument)),
  uuid: () => form(FORMS.uuid),
  inet4: () => form(FORMS.inet4),
  inet6: () => form(FORMS.inet6),
  enum: members,
  set: members,
  ...Object.fromEntries(TEXTS.map((word) => [word, characters])),
  char: (argument) => all(characters(argument), noSpaceAtEnd),
  binary: ({ nativeType }) => {
    const bytes = lengthOf(nativeType);
    return (value) => (byteLength(value as string) === bytes ? undefined : `must have ${String(bytes)} bytes`);
  },
};

/** The texts of an ENUM or a SET, in the order that its DBA wrote them. */
export interface Members {
  readonly kind: 'enum' | 'set';
  readonly texts: readonly string[];
}

const WRITTEN: Readonly<Record<string, string>> = { "''": "'", '\\n': '\n', '\\r': '\r', '\\0': '\0', '\\\\': '\\' };

/** The catalogue writes `enum('a','it''s')`, and backslashes and ends of lines as a literal has them. Undefined for other types. */
export function readMembers(nativeType: string): Members | undefined {
  const match = /^(enum|set)\((.*)\)/is.exec(nativeType);
  if (match === null) return undefined;
  const texts = [...(match[2] ?? '').matchAll(/'((?:[^']|'')*)'/g)].map(([, text = '']) =>
    text.replace(/''|\\[nr0\\]/g, (written) => WRITTEN[written] ?? written),
  );
  return { kind: match[1]?.toLowerCase() === 'set' ? 'set' : 'enum', texts };
}

/** The fewest digits that name a number of 24 bits: a FLOAT is shown as it was given, and not with what its double has more. */
export function shortestFloat(value: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** What a FLOAT is compared with: the number that it keeps of this one, where that is shown so. */
export function comparableFloat(value: number): number {
  const kept = Math.fround(value);
  return Number.isFinite(kept) && shortestFloat(kept) === value ? kept : value;
}

const FLOAT_BYTES = 4;

function writeVector(value: Json): ReturnType<Write> {
  const list = Array.isArray(value) ? (value as readonly Json[]) : [];
  const isVector = list.every((each) => typeof each === 'number' && Number.isFinite(Math.fround(each)));
  if (list.length === 0 || !isVector) return { problem: 'must be a list of numbers that a FLOAT holds' };
  const bytes = Buffer.alloc(list.length * FLOAT_BYTES);
  list.forEach((each, index) => bytes.writeFloatLE(Number(each), index * FLOAT_BYTES));
  return bytes.toString('base64');
}

/** n.b. the driver reads a vector of MySQL; MariaDB says that it is bytes. */
export function readVector(value: readonly number[] | Buffer): readonly number[] {
  if (!Buffer.isBuffer(value)) return value.map(shortestFloat);
  return Array.from({ length: value.length / FLOAT_BYTES }, (_, index) =>
    shortestFloat(value.readFloatLE(index * FLOAT_BYTES)),
  );
}

/** Types of GeoJSON, in the order of their numbers in WKB, from 1. */
const SHAPES: readonly string[] = [
  ...['Point', 'LineString', 'Polygon', 'MultiPoint', 'MultiLineString', 'MultiPolygon', 'GeometryCollection'],
];
const POINT = 1;
const LINE = 2;
const COLLECTION = 7;
/** The number of the shapes that one of several is made of. */
const PARTS: Readonly<Record<number, number>> = { 4: POINT, 5: LINE, 6: 3 };

/** Words of the types whose values are GeoJSON above the adapter. n.b. MySQL has two names for the last. */
export const GEOMETRIES: ReadonlySet<string> = new Set([
  ...SHAPES.map((name) => name.toLowerCase()),
  'geometry',
  'geomcollection',
]);

/** Servers keep the number of a reference system, then WKB. https://dev.mysql.com/doc/refman/9.7/en/gis-data-formats.html */
const SRID_BYTES = 4;
const LITTLE_ENDIAN = 1;

function writeGeometry(value: Json, word: string): ReturnType<Write> {
  const wanted = word === 'geomcollection' ? 'geometrycollection' : word;
  const writer = new ShapeWriter();
  writer.shape(value);
  const isOther =
    wanted !== 'geometry' && textOf((value as JsonObject | null)?.['type'] ?? null).toLowerCase() !== wanted;
  if (isOther || writer.isWrong)
    return { problem: `must be a ${wanted} as GeoJSON, { type, coordinates }, of two dimensions` };
  return Buffer.concat(writer.parts).toString('base64');
}

/** Writes GeoJSON as servers keep it, without a reference system. */
class ShapeWriter {
  readonly parts = [Buffer.alloc(SRID_BYTES)];
  isWrong = false;

  shape(value: Json | undefined): void {
    const { type, coordinates, geometries, ...more } = (value ?? {}) as JsonObject;
    const number = SHAPES.findIndex((name) => name === type) + 1;
    const isCollection = number === COLLECTION;
    // n.b. a member that is not kept would be lost.
    const isOther = Object.keys(more).length > 0 || (isCollection ? coordinates : geometries) !== undefined;
    if (number === 0 || isOther) this.isWrong = true;
    else if (isCollection) this.#head(COLLECTION).#each(geometries, 0, (each) => this.shape(each));
    else this.#head(number).#coordinates(coordinates, number);
  }

  #coordinates(value: Json | undefined, number: number): void {
    const part = PARTS[number];
    if (part !== undefined) this.#each(value, 1, (each) => this.#head(part).#coordinates(each, part));
    else if (number === POINT) this.#position(value);
    else if (number === LINE) this.#each(value, 2, (each) => this.#position(each));
    else this.#each(value, 1, (ring) => this.#ring(ring));
  }

  #ring(ring: Json): void {
    if (!Array.isArray(ring) || JSON.stringify(ring[0]) !== JSON.stringify(ring.at(-1))) this.isWrong = true;
    this.#each(ring, 4, (each) => this.#position(each));
  }

  #each(value: Json | undefined, least: number, write: (each: Json) => void): void {
    if (!Array.isArray(value) || value.length < least) {
      this.isWrong = true;
      return;
    }
    this.#number(value.length);
    (value as readonly Json[]).forEach(write);
  }

  #position(value: Json | undefined): void {
    const [x, y, ...more] = Array.isArray(value) ? (value as readonly Json[]) : [];
    if (typeof x !== 'number' || typeof y !== 'number' || more.length > 0) {
      this.isWrong = true;
      return;
    }
    const bytes = Buffer.alloc(16);
    bytes.writeDoubleLE(x, 0);
    bytes.writeDoubleLE(y, 8);
    this.parts.push(bytes);
  }

  #head(number: number): this {
    this.parts.push(Buffer.from([LITTLE_ENDIAN]));
    this.#number(number);
    return this;
  }

  #number(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.parts.push(bytes);
  }
}

/** The GeoJSON of what a server keeps. n.b. that is longitude before latitude in every reference system, as in GeoJSON. */
export function readGeometry(bytes: Buffer): Json {
  return new WkbReader(bytes.subarray(SRID_BYTES)).shape();
}

class WkbReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  shape(): Json {
    this.#at += 1;
    const number = this.#count();
    const type = SHAPES[number - 1] ?? '';
    if (number === COLLECTION) return { type, geometries: this.#list(() => this.shape()) };
    return { type, coordinates: this.#coordinates(number) };
  }

  #coordinates(number: number): Json {
    if (number === POINT) return [this.#double(), this.#double()];
    if (number === LINE) return this.#list(() => this.#coordinates(POINT));
    if (PARTS[number] === undefined) return this.#list(() => this.#coordinates(LINE));
    return this.#list(() => (this.shape() as JsonObject)['coordinates'] ?? null);
  }

  #list(read: () => Json): readonly Json[] {
    return Array.from({ length: this.#count() }, read);
  }

  #count(): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at - 4);
  }

  #double(): number {
    this.#at += 8;
    return this.#bytes.readDoubleLE(this.#at - 8);
  }
}
