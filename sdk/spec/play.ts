import type { Json, JsonObject } from '../template/json.js';
import { operationsOf } from './check-examples.js';
import type { AnsweredRecord, CheckedSpecification, ErrorClass, Type } from './checked.js';
import { local, momentOf, monthsLater } from './functions.js';
import type { CallSpec, ExampleSpec, NamedValue, Value } from './language.js';

/** Plays examples: says calls as they go over the wire, lets time pass, and judges what comes back. Whoever answers is a stage. */

export interface Caller {
  readonly id: string;
  readonly tenant?: string;
  readonly roles?: readonly string[];
}

export interface PlayedCall {
  readonly operation: string;
  readonly arguments: JsonObject;
  readonly user?: Caller;
}

/** `fault`: no rule has refused the call, it has failed. */
export type Outcome =
  | { readonly ok: true; readonly answer: Json }
  | { readonly ok: false; readonly error: ErrorClass | 'fault'; readonly message: string };

/** Where calls are played: a host with a database, or a model of the domain in memory. */
export interface Stage {
  readonly now: () => Date;
  readonly call: (call: PlayedCall) => Promise<Outcome>;
  /** Moves what is stored into the past. */
  readonly pass: (ms: number) => Promise<void>;
}

/** The class `@tenant` of a user is a role of this form: users have roles, and hosts need not know of tenants. */
export const TENANT_ROLE = 'tenant:';

/* Calls on the wire */

/** How a client says a call: the core operations of the first record, and operations by their names. */
export type WireCall =
  | { readonly kind: 'create'; readonly payload: JsonObject }
  | { readonly kind: 'fetch' | 'delete'; readonly key: string | number }
  | { readonly kind: 'list'; readonly where: JsonObject }
  | { readonly kind: 'update'; readonly key: string | number; readonly payload: JsonObject }
  | { readonly kind: 'call'; readonly operation: string; readonly input: JsonObject };

export function wireCall({ records }: CheckedSpecification, { operation, arguments: input }: PlayedCall): WireCall {
  const [main] = records;
  const kind = main?.operations.find(({ name }) => name === operation)?.kind;
  const { [main?.key[0] ?? '']: key, ...payload } = input;
  const named = typeof key === 'number' || typeof key === 'string' ? key : '';
  if (kind === 'create') return { kind, payload: input };
  if (kind === 'list') return { kind, where: input };
  if (kind === 'update') return { kind, key: named, payload };
  if (kind === 'fetch' || kind === 'delete') return { kind, key: named };
  return { kind: 'call', operation, input };
}

/* Values */

export interface Moment {
  readonly now: Date;
  readonly zone: string;
}

const RELATIVE = /^~(now|today|tomorrow|month-start|year-start)(?:([+-]\d+)(min|mo|m|h|d))?(?: (\d\d:\d\d))?$/;
const DAY_MS = 86_400_000;

/** `~now+2h`, `~tomorrow 12:00`: a moment, a day or a time of day, at the time of the call. Other texts stay as they are. */
export function timeOf(text: string, kind: Type['kind'] | undefined, { now, zone }: Moment): string {
  const [, base, amount = '0', unit = 'd', clock] = RELATIVE.exec(text) ?? [];
  if (base === undefined) return text;
  const today = local(now, zone).date;
  const days = Number(amount) * (unit === 'd' ? 1 : 0) + (base === 'tomorrow' ? 1 : 0);
  const ms = Number(amount) * ({ min: 60_000, m: 60_000, h: 3_600_000 }[unit] ?? 0);
  if (base === 'now' && clock === undefined) {
    const moment = new Date(monthsLater(now, unit === 'mo' ? Number(amount) : 0).getTime() + days * DAY_MS + ms);
    if (kind === 'date') return local(moment, zone).date;
    return kind === 'time' ? local(moment, zone).time.slice(0, 5) : moment.toISOString();
  }
  const first = { 'month-start': `${today.slice(0, 7)}-01`, 'year-start': `${today.slice(0, 4)}-01-01` }[base] ?? today;
  const start = monthsLater(new Date(`${first}T00:00:00Z`), unit === 'mo' ? Number(amount) : 0);
  const day = new Date(start.getTime() + days * DAY_MS).toISOString().slice(0, 10);
  if (kind === 'date' || (kind !== 'timestamp' && kind !== 'time' && clock === undefined && ms === 0)) return day;
  const moment = new Date(momentOf(day, clock ?? '00:00', zone).getTime() + ms);
  return kind === 'time' ? local(moment, zone).time.slice(0, 5) : moment.toISOString();
}

interface Known extends Moment {
  /** Keys of what calls have made, by the name that they have in the example. */
  readonly made: ReadonlyMap<string, Json>;
}

/** A value of an example as it goes over the wire. */
export function wireValue(value: Value, type: Type | undefined, known: Known): Json {
  if (Array.isArray(value)) {
    const items = value as readonly Value[];
    if (type?.kind === 'objects') return items.map((item) => wireItem(item, type, known));
    return items.map((item) => wireValue(item, type?.kind === 'list' ? type.of : undefined, known));
  }
  if (typeof value === 'object' && value !== null) return wireItem(value, undefined, known);
  if (typeof value !== 'string') return value;
  if (value.startsWith('@') && known.made.has(value.slice(1))) return known.made.get(value.slice(1)) ?? null;
  if (value.startsWith('~')) return timeOf(value, type?.kind, known);
  return type?.kind === 'json' ? jsonOf(value) : value;
}

function wireItem(item: Value, type: (Type & { readonly kind: 'objects' }) | undefined, known: Known): Json {
  const fields = typeof item === 'object' && item !== null && 'fields' in item ? item.fields : [];
  const entries = fields.map(({ name, value }: NamedValue) => {
    const column = type?.columns.find((one) => one.name === name);
    return [name, wireValue(value, column?.type, known)] as const;
  });
  return Object.fromEntries(entries);
}

function jsonOf(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/* Examples */

/** Plays an example on a stage that holds nothing but the rows that are there from the start. Gives what came out wrong. */
export async function playExample(
  specification: CheckedSpecification,
  example: ExampleSpec,
  stage: Stage,
): Promise<readonly string[]> {
  const prepared = await played(specification, example, stage);
  if ('refused' in prepared) return [prepared.refused];
  const { made, call } = prepared;
  const outcome = await stage.call(call);
  return judge({ example, outcome, known: { made, now: stage.now(), zone: specification.source.zone } });
}

/** Plays what is given in an example, and says its call; undefined where that does not come about. */
export async function prepareExample(
  specification: CheckedSpecification,
  example: ExampleSpec,
  stage: Stage,
): Promise<PlayedCall | undefined> {
  const prepared = await played(specification, example, stage);
  return 'refused' in prepared ? undefined : prepared.call;
}

type Prepared = { readonly made: ReadonlyMap<string, Json>; readonly call: PlayedCall } | { readonly refused: string };

async function played(specification: CheckedSpecification, example: ExampleSpec, stage: Stage): Promise<Prepared> {
  const made = new Map<string, Json>();
  for (const [place, call] of example.given.entries()) {
    const asked = playedCall(specification, call, { stage, made });
    const outcome = await stage.call(asked);
    if (!outcome.ok)
      return {
        refused: `given[${String(place)}], ${call.operation}, is refused (${outcome.error}: ${outcome.message}).`,
      };
    if (call.as !== undefined) made.set(call.as, madeKey(specification, asked, outcome.answer));
  }
  if (example.pass !== undefined) await stage.pass(lengthOf(example.pass));
  return { made, call: playedCall(specification, example.call, { stage, made }) };
}

/** `16min`, `3h`, `2d` in milliseconds. */
export function lengthOf(span: string): number {
  const [, amount = '0', unit = 'd'] = /^(\d+)(min|m|h|d)$/.exec(span) ?? [];
  return Number(amount) * ({ min: 60_000, m: 60_000, h: 3_600_000 }[unit] ?? DAY_MS);
}

function playedCall(
  specification: CheckedSpecification,
  call: CallSpec,
  { stage, made }: { readonly stage: Stage; readonly made: ReadonlyMap<string, Json> },
): PlayedCall {
  const known: Known = { made, now: stage.now(), zone: specification.source.zone };
  const types = operationsOf(specification).get(call.operation) ?? [];
  const entries = call.arguments.map(({ name, value }) => {
    const type = types.find((argument) => argument.name === name)?.type;
    return [name, wireValue(value, type, known)] as const;
  });
  const { user } = call;
  return {
    operation: call.operation,
    arguments: Object.fromEntries(entries),
    ...(user === undefined
      ? {}
      : {
          user: {
            id: user.id,
            ...(user.tenant === undefined ? {} : { tenant: user.tenant }),
            ...(user.roles === undefined ? {} : { roles: user.roles }),
          },
        }),
  };
}

/** The key of what a call has made: of the record of a create, or of the first one that an action has added. */
export function madeKey(
  { records, actions }: CheckedSpecification,
  { operation, arguments: given }: PlayedCall,
  answer: Json,
): Json {
  const record = records.find(({ operations }) => operations.some(({ name }) => name === operation));
  if (record !== undefined) return keyIn(answer, record.key) ?? keyIn(given, record.key) ?? null;
  const answers = actions.find(({ name }) => name === operation)?.answers ?? [];
  const first: AnsweredRecord | undefined = answers.find(({ inserted }) => inserted) ?? answers[0];
  const key = records.find(({ name }) => name === first?.record)?.key ?? [];
  return first === undefined ? null : (keyIn(memberOf(answer, first.name) ?? null, key) ?? null);
}

/** The last part of a key: what names a part inside of its whole. */
function keyIn(row: Json, key: readonly string[]): Json | undefined {
  return memberOf(row, key.at(-1) ?? 'id');
}

export function memberOf(value: Json, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? (value as JsonObject)[name] : undefined;
}

/* Judging */

/** Rows of an answer: a list, or a page. */
export function rowsOf(answer: Json): readonly Json[] {
  if (Array.isArray(answer)) return answer as readonly Json[];
  const rows = memberOf(answer, 'rows');
  return Array.isArray(rows) ? (rows as readonly Json[]) : [];
}

interface Judged {
  readonly example: ExampleSpec;
  readonly outcome: Outcome;
  readonly known: Known;
}

function judge({ example, outcome, known }: Judged): readonly string[] {
  const { expect, call } = example;
  if (expect.outcome === 'error') {
    if (outcome.ok) return [`${call.operation} succeeds, and ${expect.error} is expected.`];
    if (outcome.error === expect.error) return [];
    return [
      `${call.operation} is refused as ${outcome.error} ("${outcome.message}"), and ${expect.error} is expected.`,
    ];
  }
  if (!outcome.ok) return [`${call.operation} is refused (${outcome.error}: ${outcome.message}).`];
  const { answer } = outcome;
  if (expect.outcome === 'ok') return differences(answer, expect.values ?? [], known);
  const rows = rowsOf(answer);
  const wrong =
    expect.count === undefined || rows.length === expect.count
      ? []
      : [`${call.operation} answers ${String(rows.length)} rows, and ${String(expect.count)} are expected.`];
  const each = (expect.rows ?? []).flatMap(({ values }, index) => {
    const row = rows[index];
    if (row === undefined) return [`row ${String(index + 1)} is missing.`];
    return differences(row, values, known).map((why) => `row ${String(index + 1)}: ${why}`);
  });
  return [...wrong, ...each];
}

function differences(answer: Json, values: readonly NamedValue[], known: Known): readonly string[] {
  return values.flatMap(({ name, value }) => {
    const found = foundIn(answer, name);
    const isSame = ['timestamp', 'date', 'json'].some((kind) =>
      isLike(found, wireValue(value, { kind } as Type, known)),
    );
    return isSame ? [] : [`${name} is ${JSON.stringify(found ?? null)}, and ${JSON.stringify(value)} is expected.`];
  });
}

/** A value by its name: of the answer itself, or of the first record in it that has one. */
export function foundIn(answer: Json, name: string): Json | undefined {
  const own = memberOf(answer, name);
  if (own !== undefined || typeof answer !== 'object' || answer === null || Array.isArray(answer)) return own;
  const members: readonly Json[] = Object.values(answer);
  return members.map((member) => memberOf(member, name)).find((value) => value !== undefined);
}

const MOMENT = /^\d{4}-\d\d-\d\dT/;
const NUMBER = /^-?\d+(?:\.\d+)?$/;
/** A call takes its time: two moments this far apart were meant to be one. */
const SAME_MOMENT_MS = 60_000;

/** Whether a value of an answer is what is expected: decimals by their value, moments within a minute, objects as far as they are expected. */
export function isLike(found: Json | undefined, expected: Json): boolean {
  if (expected === null || found === undefined || found === null) return (found ?? null) === expected;
  if (typeof expected === 'object') return isLikeAll(found, expected);
  if (typeof found === 'object') return false;
  if (typeof found === 'boolean' || typeof expected === 'boolean') return found === expected;
  const [a, b] = [String(found), String(expected)];
  if (NUMBER.test(a) && NUMBER.test(b)) return plainNumber(a) === plainNumber(b);
  if (MOMENT.test(a) && MOMENT.test(b)) return Math.abs(Date.parse(a) - Date.parse(b)) < SAME_MOMENT_MS;
  if (/^\d\d:\d\d:00$/.test(a)) return a.slice(0, 5) === b.slice(0, 5);
  return a === b;
}

function isLikeAll(found: Json, expected: readonly Json[] | JsonObject): boolean {
  if (Array.isArray(expected)) {
    const [list, items] = [found as readonly Json[], expected as readonly Json[]];
    return Array.isArray(found) && list.length === items.length && items.every((item, at) => isLike(list[at], item));
  }
  return Object.entries(expected as JsonObject).every(([name, value]) => isLike(memberOf(found, name), value));
}

/** Without zeros that say nothing: "010.50" and "10.5" are one number. */
function plainNumber(text: string): string {
  const [, sign = '', whole = '0', fraction = ''] = /^(-?)0*(\d+?)(?:\.(\d*?)0*)?$/.exec(text) ?? [];
  const digits = fraction === '' ? whole : `${whole}.${fraction}`;
  return digits === '0' ? digits : sign + digits;
}
