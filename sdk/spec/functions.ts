import { createHash } from 'node:crypto';
import type { Formula, Type } from './checked.js';
import { Exact } from './exact.js';

/**
 * The functions of formulas: what each takes and gives, and one example. The type checker, the reference page and the prompt
 * are made of this table; a test runs every example. `run` is what the databases must come to.
 */

export interface Span {
  readonly months: number;
  readonly ms: number;
}
/** A value while a formula is computed. Dates and times of day are texts; a moment is a Date. */
export type Computed =
  | null
  | boolean
  | string
  | number
  | Exact
  | Date
  | Span
  | { readonly lat: number; readonly lon: number }
  | readonly Computed[];

/** What a function accepts at one place. */
export type Parameter =
  | 'text'
  | 'literal'
  | 'integer'
  | 'number'
  | 'boolean'
  | 'date'
  | 'time'
  | 'timestamp'
  | 'moment'
  | 'point'
  | 'json'
  | 'list'
  | 'same'
  | 'any';

export interface FunctionInfo {
  readonly name: string;
  /** As the reference shows it: `round(number, digits)`. */
  readonly signature: string;
  readonly parameters: readonly Parameter[];
  /** How many of the last parameters may be left out. */
  readonly optional: number;
  /** The last parameter may be given again. */
  readonly repeats: boolean;
  readonly result: (args: readonly Formula[]) => Type;
  readonly about: string;
  readonly example: { readonly formula: string; readonly gives: string };
  /** Null where it has no null argument but no value either. Not called with a null argument, but for `nulls`. */
  readonly run: (args: readonly Computed[], zone: string) => Computed;
  /** It takes null as an argument. */
  readonly nulls: boolean;
}

const TEXT: Type = { kind: 'text' };
const INTEGER: Type = { kind: 'integer' };
const FLOAT: Type = { kind: 'float' };
const BOOLEAN: Type = { kind: 'boolean' };
const DATE: Type = { kind: 'date' };
const TIME: Type = { kind: 'time' };
const TIMESTAMP: Type = { kind: 'timestamp' };

const MOST_ITEMS = 10_000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

interface Row {
  readonly signature: string;
  readonly takes: readonly Parameter[];
  readonly optional?: number;
  readonly repeats?: boolean;
  readonly gives: Type | ((args: readonly Formula[]) => Type);
  readonly about: string;
  readonly example: readonly [string, string];
  readonly nulls?: boolean;
  readonly run: (args: readonly Computed[], zone: string) => Computed;
}

const exact = (value: Computed | undefined): Exact =>
  value instanceof Exact ? value : Exact.of(printed(value ?? null));
const whole = (value: number): Exact => Exact.of(Math.trunc(value));
const int = (value: Computed | undefined): number => exact(value).toNumber();
const text = (value: Computed | undefined): string => printed(value ?? null);

/** A value as an answer shows it. */
export function printed(value: Computed): string {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `[${value.map((item) => printed(item as Computed)).join(', ')}]`;
  if (value instanceof Exact) return value.toString();
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

/** Less, equal, greater. Both are of one type and not null. */
export function compareComputed(left: Computed, right: Computed): number {
  if (left instanceof Date && right instanceof Date) return left.getTime() - right.getTime();
  if (typeof left === 'number' || typeof right === 'number') return Number(left) - Number(right);
  if (left instanceof Exact && right instanceof Exact) return left.compare(right);
  if (typeof left === 'boolean') return Number(left) - Number(right);
  const [a, b] = [printed(left), printed(right)];
  return a < b ? -1 : Number(a > b);
}

/** By zone: making one takes as long as formatting a hundred moments. */
const clocks = new Map<string, Intl.DateTimeFormat>();

/** Date and time of day of a moment in a zone: `2026-01-31`, `18:30:05`. */
export function local(moment: Date, zone: string): { readonly date: string; readonly time: string } {
  let clock = clocks.get(zone);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
    clocks.set(zone, clock);
  }
  // n.b. a format throws where a moment is none.
  const shown = Number.isNaN(moment.getTime()) ? String(moment) : clock.format(moment);
  const [date = '', time = ''] = shown.split(' ');
  return { date, time };
}

/** The moment that a clock in the zone shows so. A time that summer time leaves out counts as the one an hour later. */
export function momentOf(date: string, time: string, zone: string): Date {
  const wanted = Date.parse(`${date}T${time.padEnd(8, ':00').slice(0, 8)}Z`);
  let guess = wanted;
  for (let round = 0; round < 2; round += 1) {
    const shown = local(new Date(guess), zone);
    guess += wanted - Date.parse(`${shown.date}T${shown.time}Z`);
  }
  return new Date(guess);
}

const utc = (date: Computed | undefined): Date => new Date(`${text(date).slice(0, 10)}T00:00:00Z`);
const dayText = (date: Date): string => date.toISOString().slice(0, 10);
const dateIn = (value: Computed | undefined, zone: string): string =>
  value instanceof Date ? local(value, zone).date : text(value);
const pad = (value: number): string => String(value).padStart(2, '0');
const milliseconds = (value: Computed | undefined): number => (value instanceof Date ? value : utc(value)).getTime();
const between = (args: readonly Computed[], unit: number): Exact =>
  whole((milliseconds(args[1]) - milliseconds(args[0])) / unit);

/** A day or moment, so many months later: the day of the month is kept, or is the last one of a shorter month. */
export function monthsLater(date: Date, months: number): Date {
  const moved = new Date(date);
  moved.setUTCDate(1);
  moved.setUTCMonth(moved.getUTCMonth() + months);
  const last = new Date(Date.UTC(moved.getUTCFullYear(), moved.getUTCMonth() + 1, 0)).getUTCDate();
  moved.setUTCDate(Math.min(date.getUTCDate(), last));
  return moved;
}

function truncated(date: string, unit: string): string {
  const day = utc(date);
  if (unit === 'week') return dayText(new Date(day.getTime() - ((day.getUTCDay() + 6) % 7) * DAY_MS));
  if (unit === 'month') return `${date.slice(0, 7)}-01`;
  if (unit === 'quarter') return `${date.slice(0, 4)}-${pad(Math.floor(day.getUTCMonth() / 3) * 3 + 1)}-01`;
  if (unit === 'halfyear') return `${date.slice(0, 4)}-${day.getUTCMonth() < 6 ? '01' : '07'}-01`;
  return `${date.slice(0, 4)}-01-01`;
}

function monthsBetween(from: string, to: string): number {
  const [a, b] = [utc(from), utc(to)];
  const months = (b.getUTCFullYear() - a.getUTCFullYear()) * 12 + b.getUTCMonth() - a.getUTCMonth();
  return months - Number(months > 0 && monthsLater(a, months) > b) + Number(months < 0 && monthsLater(a, months) < b);
}

function workdays(from: string, to: string): number {
  const [start, end] = [utc(from).getTime(), utc(to).getTime()];
  let count = 0;
  for (let day = start; day < end; day += DAY_MS) count += Number(![0, 6].includes(new Date(day).getUTCDay()));
  return count;
}

function kilometres(a: Computed | undefined, b: Computed | undefined): number {
  const [from, to] = [a, b] as readonly { readonly lat: number; readonly lon: number }[];
  const radians = (degrees: number): number => (degrees * Math.PI) / 180;
  const [lat1, lat2] = [radians(from?.lat ?? 0), radians(to?.lat ?? 0)];
  const half = (angle: number): number => Math.sin(angle / 2) ** 2;
  const chord = half(lat2 - lat1) + Math.cos(lat1) * Math.cos(lat2) * half(radians((to?.lon ?? 0) - (from?.lon ?? 0)));
  return 6371 * 2 * Math.asin(Math.sqrt(chord));
}

function slug(value: string): string {
  const plain = value.normalize('NFKD').replaceAll(/\p{M}/gu, '').replaceAll('ß', 'ss').toLowerCase();
  return plain
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 80);
}

function jsonAt(value: Computed | undefined, path: string): unknown {
  let found: unknown = JSON.parse(text(value));
  for (const key of path.split('.')) found = (found as Readonly<Record<string, unknown>> | null | undefined)?.[key];
  return found ?? null;
}

/** Type of the first argument that has one; a decimal with the most digits of all. */
export function common(args: readonly Formula[]): Type {
  const types = args.map(({ type }) => type).filter(({ kind }) => kind !== 'null');
  const scales = types.map((type) => (type.kind === 'decimal' ? type.scale : 0));
  if (types.some(({ kind }) => kind === 'float')) return FLOAT;
  if (types.some(({ kind }) => kind === 'decimal')) return { kind: 'decimal', scale: Math.max(...scales) };
  return types.find(({ kind }) => kind !== 'text') ?? types[0] ?? { kind: 'null' };
}

function roundedType([value, digits]: readonly Formula[]): Type {
  if (value?.type.kind === 'float' && digits === undefined) return INTEGER;
  const scale = digits?.node === 'literal' ? Number(digits.value) : 0;
  return scale > 0 ? { kind: 'decimal', scale } : INTEGER;
}

const ROWS: Readonly<Record<string, Row>> = {
  // Choice
  if: {
    signature: 'if(condition, then, else)',
    takes: ['boolean', 'same', 'same'],
    gives: (args) => common(args.slice(1)),
    nulls: true,
    about: 'The second where the condition is true, else the third.',
    example: ["if(3 > 2, 'yes', 'no')", 'yes'],
    run: ([condition, yes = null, no = null]) => (condition === true ? yes : no),
  },
  coalesce: {
    signature: 'coalesce(value, …)',
    takes: ['same', 'same'],
    repeats: true,
    gives: common,
    nulls: true,
    about: 'The first value that is not null.',
    example: ['coalesce(null, 5)', '5'],
    run: (args) => args.find((value) => value !== null) ?? null,
  },
  least: {
    signature: 'least(value, …)',
    takes: ['same', 'same'],
    repeats: true,
    gives: common,
    about: 'The smallest value; null where one is null.',
    example: ['least(25.00, 5 * 3)', '15'],
    run: (args) => args.reduce((best, value) => (compareComputed(value, best) < 0 ? value : best)),
  },
  greatest: {
    signature: 'greatest(value, …)',
    takes: ['same', 'same'],
    repeats: true,
    gives: common,
    about: 'The greatest value; null where one is null.',
    example: ['greatest(-4, 0)', '0'],
    run: (args) => args.reduce((best, value) => (compareComputed(value, best) > 0 ? value : best)),
  },
  // Numbers
  round: {
    signature: 'round(number, digits)',
    takes: ['number', 'integer'],
    optional: 1,
    gives: roundedType,
    about:
      'Rounded to so many digits after the point (0 where left out); halves go away from zero. Where a division stands, it stands in here.',
    example: ['round(10 / 4, 0)', '3'],
    run: ([value, digits]) =>
      exact(typeof value === 'number' ? String(value) : value).rounded(digits === undefined ? 0 : int(digits)),
  },
  floor: {
    signature: 'floor(number)',
    takes: ['number'],
    gives: INTEGER,
    about: 'The greatest whole number that is not greater.',
    example: ['floor(7 / 2)', '3'],
    run: ([value]) => exact(value).floor(),
  },
  ceil: {
    signature: 'ceil(number)',
    takes: ['number'],
    gives: INTEGER,
    about: 'The least whole number that is not less: begun hours are ceil(minutes(from, to) / 60).',
    example: ['ceil(61 / 60)', '2'],
    run: ([value]) => exact(value).negated().floor().negated(),
  },
  abs: {
    signature: 'abs(number)',
    takes: ['number'],
    gives: common,
    about: 'Without its sign.',
    example: ['abs(-2.50)', '2.50'],
    run: ([value]) => (exact(value).digits < 0n ? exact(value).negated() : exact(value)),
  },
  pow: {
    signature: 'pow(base, exponent)',
    takes: ['integer', 'integer'],
    gives: INTEGER,
    about: 'A power of whole numbers; null where the exponent is not 0 to 18.',
    example: ['pow(10, 5)', '100000'],
    run: ([base, exponent]) =>
      int(exponent) >= 0 && int(exponent) <= 18 ? new Exact(BigInt(int(base)) ** BigInt(int(exponent)), 0) : null,
  },
  // Texts
  len: {
    signature: 'len(text)',
    takes: ['text'],
    gives: INTEGER,
    about: 'Number of characters.',
    example: ["len('abc')", '3'],
    run: ([value]) => whole(Array.from(text(value)).length),
  },
  lower: {
    signature: 'lower(text)',
    takes: ['text'],
    gives: TEXT,
    about: 'In small letters.',
    example: ["lower('ABC')", 'abc'],
    run: ([value]) => text(value).toLowerCase(),
  },
  upper: {
    signature: 'upper(text)',
    takes: ['text'],
    gives: TEXT,
    about: 'In capital letters.',
    example: ["upper('abc')", 'ABC'],
    run: ([value]) => text(value).toUpperCase(),
  },
  trim: {
    signature: 'trim(text)',
    takes: ['text'],
    gives: TEXT,
    about: 'Without spaces at both ends.',
    example: ["trim(' a ')", 'a'],
    run: ([value]) => text(value).replaceAll(/^ +| +$/g, ''),
  },
  concat: {
    signature: 'concat(value, …)',
    takes: ['any'],
    repeats: true,
    gives: TEXT,
    about: 'One text of several values; null where one is null.',
    example: ["concat('No ', 7)", 'No 7'],
    run: (args) => args.map(text).join(''),
  },
  substring: {
    signature: 'substring(text, from, length)',
    takes: ['text', 'integer', 'integer'],
    gives: TEXT,
    about: 'A part; the first character is number 1.',
    example: ["substring('ABCDE', 2, 3)", 'BCD'],
    run: ([value, from, length]) =>
      int(from) < 1
        ? ''
        : Array.from(text(value))
            .slice(int(from) - 1, Math.max(int(from) - 1 + int(length), 0))
            .join(''),
  },
  digit: {
    signature: 'digit(text, place)',
    takes: ['text', 'integer'],
    gives: INTEGER,
    about: 'The digit at a place as a number, for check digits; null where there is none. The first place is number 1.',
    example: ["digit('AB7', 3)", '7'],
    run: ([value, place]) => {
      const found = int(place) < 1 ? undefined : Array.from(text(value))[int(place) - 1];
      return found !== undefined && /^[0-9]$/.test(found) ? whole(Number(found)) : null;
    },
  },
  contains: {
    signature: 'contains(text, part)',
    takes: ['text', 'text'],
    gives: BOOLEAN,
    about: 'Whether the part occurs in it; letter case does not count.',
    example: ["contains('Zürich', 'RICH')", 'true'],
    run: ([value, part]) => text(value).toLowerCase().includes(text(part).toLowerCase()),
  },
  starts_with: {
    signature: 'starts_with(text, part)',
    takes: ['text', 'text'],
    gives: BOOLEAN,
    about: 'Whether it begins with the part; letter case does not count.',
    example: ["starts_with('Anna', 'an')", 'true'],
    run: ([value, part]) => text(value).toLowerCase().startsWith(text(part).toLowerCase()),
  },
  slug: {
    signature: 'slug(text)',
    takes: ['text'],
    gives: TEXT,
    about: 'For addresses: small letters, digits and hyphens, 80 at most.',
    example: ["slug('Lake is warm!')", 'lake-is-warm'],
    run: ([value]) => slug(text(value)),
  },
  match: {
    signature: 'match(words, text, …)',
    takes: ['text', 'text'],
    repeats: true,
    gives: BOOLEAN,
    nulls: true,
    about: 'Full-text search: whether all the words occur in the fields, as far as these are there.',
    example: ["match('swim lake', 'to swim in the lake')", 'true'],
    run: ([words = null, ...texts]) =>
      words !== null &&
      text(words)
        .toLowerCase()
        .trim()
        .split(/\s+/)
        .every(
          (word) =>
            word !== '' &&
            texts.some((value) =>
              text(value ?? '')
                .toLowerCase()
                .split(/[^\p{L}\p{N}]+/u)
                .includes(word),
            ),
        ),
  },
  sha256: {
    signature: 'sha256(text)',
    takes: ['text'],
    gives: TEXT,
    about:
      'Its hash, 64 small hexadecimal digits. Sorting by sha256(concat(@user, id)) is a random order that stays the same for a user.',
    example: ["substring(sha256('a'), 1, 8)", 'ca978112'],
    run: ([value]) => createHash('sha256').update(text(value)).digest('hex'),
  },
  bucket: {
    signature: 'bucket(text, count)',
    takes: ['text', 'integer'],
    gives: INTEGER,
    about: 'A number from 0 to count - 1 that is always the same for a text.',
    example: ["bucket('a', 1)", '0'],
    run: ([value, count]) =>
      int(count) < 1 ? null : whole(createHash('sha256').update(text(value)).digest().readUIntBE(0, 6) % int(count)),
  },
  random_code: {
    signature: 'random_code(length)',
    takes: ['integer'],
    gives: TEXT,
    about:
      'A code that nobody guesses: 1 to 64 capital letters and digits, without 0, 1, I, O. In let steps, insert and update.',
    example: ['len(random_code(8))', '8'],
    run: ([length]) =>
      Array.from(crypto.getRandomValues(new Uint8Array(Math.min(64, Math.max(1, int(length))))), (byte) =>
        'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'.charAt(byte % 32),
      ).join(''),
  },
  // Dates and times. A moment becomes a day or a time of day in the zone of the specification.
  date: {
    signature: 'date(timestamp)',
    takes: ['timestamp'],
    gives: DATE,
    about: 'The day of a moment, in the zone.',
    example: ["date(timestamp('2026-01-31', '23:30'))", '2026-01-31'],
    run: ([value], zone) => local(value as Date, zone).date,
  },
  time: {
    signature: 'time(timestamp)',
    takes: ['timestamp'],
    gives: TIME,
    about: 'The time of day of a moment, in the zone.',
    example: ["time(timestamp('2026-01-31', '18:30'))", '18:30'],
    run: ([value], zone) => local(value as Date, zone).time.slice(0, 5),
  },
  timestamp: {
    signature: 'timestamp(date, time)',
    takes: ['date', 'time'],
    gives: TIMESTAMP,
    about: 'The moment of a day and a time of day, in the zone.',
    example: ["timestamp('2026-01-31', '18:30')", '2026-01-31T17:30:00.000Z'],
    run: ([day, time], zone) => momentOf(text(day), text(time), zone),
  },
  year: {
    signature: 'year(date)',
    takes: ['moment'],
    gives: INTEGER,
    about: 'The year.',
    example: ["year('2026-03-31')", '2026'],
    run: ([value], zone) => Exact.of(dateIn(value, zone).slice(0, 4)),
  },
  month: {
    signature: 'month(date)',
    takes: ['moment'],
    gives: INTEGER,
    about: 'The month, 1 to 12.',
    example: ["month('2026-03-31')", '3'],
    run: ([value], zone) => Exact.of(dateIn(value, zone).slice(5, 7)),
  },
  day: {
    signature: 'day(date)',
    takes: ['moment'],
    gives: INTEGER,
    about: 'The day of the month.',
    example: ["day('2026-03-31')", '31'],
    run: ([value], zone) => Exact.of(dateIn(value, zone).slice(8, 10)),
  },
  hour: {
    signature: 'hour(timestamp or time)',
    takes: ['any'],
    gives: INTEGER,
    about: 'The hour, 0 to 23, in the zone.',
    example: ["hour(time(timestamp('2026-01-31', '18:30')))", '18'],
    run: ([value], zone) => Exact.of((value instanceof Date ? local(value, zone).time : text(value)).slice(0, 2)),
  },
  minute: {
    signature: 'minute(timestamp or time)',
    takes: ['any'],
    gives: INTEGER,
    about: 'The minute, 0 to 59, in the zone.',
    example: ["minute(time(timestamp('2026-01-31', '18:30')))", '30'],
    run: ([value], zone) => Exact.of((value instanceof Date ? local(value, zone).time : text(value)).slice(3, 5)),
  },
  weekday: {
    signature: 'weekday(date)',
    takes: ['moment'],
    gives: INTEGER,
    about: 'Monday is 1, Sunday 7.',
    example: ["weekday('2026-03-31')", '2'],
    run: ([value], zone) => whole(((utc(dateIn(value, zone)).getUTCDay() + 6) % 7) + 1),
  },
  month_of: {
    signature: 'month_of(date)',
    takes: ['moment'],
    gives: TEXT,
    about: 'Year and month.',
    example: ["month_of('2026-03-31')", '2026-03'],
    run: ([value], zone) => dateIn(value, zone).slice(0, 7),
  },
  trunc: {
    signature: "trunc(date, 'week' | 'month' | 'quarter' | 'halfyear' | 'year')",
    takes: ['moment', 'literal'],
    gives: DATE,
    about: 'The first day of the week (a Monday), month, quarter, half-year or year.',
    example: ["trunc('2026-05-20', 'quarter')", '2026-04-01'],
    run: ([value, unit], zone) => truncated(dateIn(value, zone), text(unit)),
  },
  seconds: {
    signature: 'seconds(from, to)',
    takes: ['moment', 'moment'],
    gives: INTEGER,
    about: 'Whole seconds between two moments or days; negative where the second is earlier.',
    example: ["seconds('2026-01-01', '2026-01-02')", '86400'],
    run: (args) => between(args, 1000),
  },
  minutes: {
    signature: 'minutes(from, to)',
    takes: ['moment', 'moment'],
    gives: INTEGER,
    about: 'Whole minutes between two moments or days; negative where the second is earlier.',
    example: ["minutes('2026-01-01', '2026-01-02')", '1440'],
    run: (args) => between(args, MINUTE_MS),
  },
  hours: {
    signature: 'hours(from, to)',
    takes: ['moment', 'moment'],
    gives: INTEGER,
    about: 'Whole hours between two moments or days; negative where the second is earlier.',
    example: ["hours('2026-01-01', '2026-01-02')", '24'],
    run: (args) => between(args, HOUR_MS),
  },
  days: {
    signature: 'days(from, to)',
    takes: ['moment', 'moment'],
    gives: INTEGER,
    about: 'Days between two days, those of moments in the zone: to minus from.',
    example: ["days('2026-01-31', '2026-03-01')", '29'],
    run: ([from, to], zone) => between([dateIn(from, zone), dateIn(to, zone)], DAY_MS),
  },
  months: {
    signature: 'months(from, to)',
    takes: ['moment', 'moment'],
    gives: INTEGER,
    about: 'Whole months between two days.',
    example: ["months('2026-01-31', '2026-03-30')", '1'],
    run: ([from, to], zone) => whole(monthsBetween(dateIn(from, zone), dateIn(to, zone))),
  },
  workdays: {
    signature: 'workdays(from, to)',
    takes: ['moment', 'moment'],
    gives: INTEGER,
    about: 'Mondays to Fridays from the first day on, without the last.',
    example: ["workdays('2026-01-02', '2026-01-06')", '2'],
    run: ([from, to], zone) => whole(workdays(dateIn(from, zone), dateIn(to, zone))),
  },
  // Places, lists, free data
  km: {
    signature: 'km(point, point)',
    takes: ['point', 'point'],
    gives: FLOAT,
    about:
      'Kilometres between two places, as the crow flies. A filter by it uses an index where it compares with a number.',
    example: ['round(km(null, null), 1)', 'null'],
    run: ([a, b]) => kilometres(a, b),
  },
  has: {
    signature: 'has(list, value)',
    takes: ['list', 'any'],
    gives: BOOLEAN,
    about: 'Whether the list has the value.',
    example: ['has(range(1, 3), 2)', 'true'],
    run: ([list, value = null]) => (list as readonly Computed[]).some((item) => compareComputed(item, value) === 0),
  },
  range: {
    signature: 'range(from, to)',
    takes: ['integer', 'integer'],
    gives: { kind: 'list', of: INTEGER },
    about: 'The whole numbers from the first to the last, both included; null for more than 10,000.',
    example: ['range(2, 4)', '[2, 3, 4]'],
    run: ([from, to]) =>
      int(to) - int(from) >= MOST_ITEMS
        ? null
        : Array.from({ length: Math.max(0, int(to) - int(from) + 1) }, (_, place) => whole(int(from) + place)),
  },
  text: {
    signature: 'text(json, path)',
    takes: ['json', 'literal'],
    gives: TEXT,
    about: 'A text out of free data, or null.',
    example: ["coalesce(text(null, 'at10.value'), 'none')", 'none'],
    run: ([value, path]) => {
      const found = jsonAt(value, text(path));
      return found === null || typeof found === 'string' ? found : JSON.stringify(found);
    },
  },
  number: {
    signature: 'number(json, path)',
    takes: ['json', 'literal'],
    gives: { kind: 'decimal', scale: 10 },
    about: 'A number out of free data, or null.',
    example: ["coalesce(number(null, 'at10'), 0)", '0'],
    run: ([value, path]) => {
      const found = jsonAt(value, text(path));
      const digits = typeof found === 'string' ? found : JSON.stringify(found);
      return /^-?\d+(\.\d+)?$/.test(digits) ? Exact.of(digits) : null;
    },
  },
};

/** Functions that can give null for arguments that are not null. */
export const PARTIAL: readonly string[] = ['text', 'number', 'digit', 'pow', 'range', 'bucket'];

export const FUNCTIONS: ReadonlyMap<string, FunctionInfo> = new Map(
  Object.entries(ROWS).map(([name, row]) => {
    const { takes, gives, example, signature, about, run, optional = 0, repeats = false, nulls = false } = row;
    const result = typeof gives === 'function' ? gives : (): Type => gives;
    const [formula, shown] = example;
    const info = {
      name,
      signature,
      about,
      run,
      optional,
      repeats,
      nulls,
      parameters: takes,
      result,
      example: { formula, gives: shown },
    };
    return [name, info] as const;
  }),
);

/** What is not a function of the table, because it stands for more than its arguments. */
export const SPECIAL_FUNCTIONS: readonly {
  readonly name: string;
  readonly signature: string;
  readonly about: string;
  readonly example: string;
}[] = [
  {
    name: 'given',
    signature: 'given(:argument)',
    about: 'Whether the caller gave an optional argument.',
    example: 'not given(:zone) or zone = :zone',
  },
  {
    name: 'has_role',
    signature: "has_role('role')",
    about: 'Whether the caller has the role.',
    example: "has_role('manager')",
  },
  {
    name: 'position',
    signature: 'position(item)',
    about: 'The place of an item in its loop, from 1.',
    example: 'no = position(l)',
  },
  {
    name: 'count',
    signature: 'count(record where …), count(all record where …), count(:list), count(), count(distinct value)',
    about:
      'How many: stored records, items of a list, rows of a group. With all, in every set: also what row_access hides from the caller.',
    example: 'count(place where event = e.code)',
  },
  {
    name: 'exists',
    signature: 'exists(record where …)',
    about: 'Whether there is one.',
    example: 'exists(booking where session = s.id and member = :member)',
  },
  {
    name: 'sum',
    signature: 'sum(record.field where …), sum(:list.column), sum(value)',
    about: 'The sum; of none it is 0. A formula may stand for the field.',
    example: 'sum(line.price * line.quantity where entry = e.id)',
  },
  {
    name: 'min',
    signature: 'min(record.field where …), min(:list.column), min(value)',
    about: 'The least; of none it is null.',
    example: 'min(bid.amount where auction = a.id)',
  },
  {
    name: 'max',
    signature: 'max(record.field where …), max(:list.column), max(value)',
    about: 'The greatest; of none it is null.',
    example: 'max(reading.day where meter = m.id)',
  },
  {
    name: 'avg',
    signature: 'avg(record.field where …), avg(value)',
    about: 'The average, always inside round; of none it is null.',
    example: 'round(avg(score.value where picture = p.id), 2)',
  },
  {
    name: 'first',
    signature: 'first(record.field where … order by … desc)',
    about: 'A value of the first record in this order, or null.',
    example: 'first(price.amount where product = :product order by valid_from desc)',
  },
  {
    name: 'rank',
    signature: 'rank() over (partition by … order by … desc)',
    about: 'The place in an order; equals share a place. Also row_number().',
    example: 'rank() over (order by points desc)',
  },
  {
    name: 'lag',
    signature: 'lag(value) over (partition by … order by …)',
    about: 'The value of the row before; lead(value) of the one behind.',
    example: 'value - lag(value) over (partition by meter order by day)',
  },
  {
    name: 'over',
    signature: 'sum(value) over (partition by … order by … rows 4 preceding)',
    about:
      'A total up to the row, in a column of a query: count, sum, min, max, avg. With rows only the row and so many before it; without order all.',
    example: 'round(avg(value) over (partition by meter order by day, id rows 4 preceding), 1)',
  },
];
