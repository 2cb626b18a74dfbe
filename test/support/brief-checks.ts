import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Json, JsonObject } from '@beds/sdk';
import {
  type Caller,
  type CheckedSpecification,
  foundIn,
  isLike,
  lengthOf,
  madeKey,
  memberOf,
  type Outcome,
  type PlayedCall,
  rowsOf,
  type Stage,
  timeOf,
} from '#sdk/spec';

/**
 * The checks of a brief, played on a domain that was made from it. A checks file speaks of roles; its binding, made from the
 * domain without looking at what must come out, says which operation and which argument each of them is.
 */

export const BRIEFS = 'test/fixtures/briefs';

/** A stage whose data can be put back to what they were. */
export interface RacingStage extends Stage {
  readonly keep: () => Promise<void>;
  readonly putBack: () => Promise<void>;
  /** The call past the template, as the runtime account; undefined where the operation is no single object. */
  readonly direct?: (call: PlayedCall) => Promise<Outcome | undefined>;
}

type By = string | { readonly user: string; readonly role?: string; readonly [role: string]: string | undefined };

interface Said {
  readonly do: string;
  readonly of: string;
  readonly with: JsonObject;
  readonly by?: By;
  readonly then?: Json;
  readonly as?: string;
  /** An empty answer will do too. */
  readonly accept?: string;
}

interface Race {
  readonly together: readonly Said[];
  readonly then: Readonly<Record<string, number>>;
}

type CheckStep = Said | Race | { readonly pass: string };

interface Check {
  readonly id: string;
  readonly kind: 'works' | 'reads' | 'forbidden' | 'race' | 'change' | 'asks';
  readonly says?: string;
  readonly level?: 'database';
  readonly repeat?: number;
  readonly steps?: readonly CheckStep[];
}

interface ChecksFile {
  readonly given: readonly Said[];
  readonly checks: readonly Check[];
}

/** An operation of the domain, and what roles are called in it. A role that is not named here is an argument of its own name. */
interface BoundCall {
  readonly operation: string;
  readonly args?: Readonly<Record<string, string>>;
  /** Arguments that the check does not name; "@last" is the key of what the call before has made. */
  readonly fixed?: JsonObject;
  /** Lists of pairs, {"image": "…"}, that are objects in the domain: the columns of the word and of the value. */
  readonly pairs?: Readonly<Record<string, readonly [string, string]>>;
  /** Roles that the domain has no argument for. */
  readonly without?: readonly string[];
  readonly by?: By;
  /** Name of what it makes, where a later call needs more than "@last". */
  readonly as?: string;
}

interface Bound extends Partial<BoundCall> {
  /** One call of a check may be several of the domain. */
  readonly calls?: readonly BoundCall[];
  /** The role that says how often. */
  readonly times?: string;
  /** What the fields of the answer are called; "" is a value without a name. */
  readonly answer?: Readonly<Record<string, string>>;
  /** The column with the key of a row. Default id. */
  readonly key?: string;
}

/** What a word such as "2nd" stands for: the key of what a call makes, or a column of a row that it answers. */
interface Word extends BoundCall {
  readonly by?: By;
  readonly row?: number;
  readonly column?: string;
  readonly order?: string;
}

interface Binding {
  /** Roles of users that a check names by their name only. */
  readonly users?: Readonly<Record<string, readonly string[]>>;
  /** The member of `by` that is the tenant. */
  readonly tenant?: string;
  readonly calls: Readonly<Record<string, Bound>>;
  readonly words?: Readonly<Record<string, Word>>;
}

export interface BriefChecks {
  readonly checks: ChecksFile;
  readonly binding: Binding;
}

export function readChecks(brief: string): BriefChecks {
  const read = (name: string): unknown => JSON.parse(readFileSync(join(BRIEFS, `${brief}.${name}.json`), 'utf8'));
  return { checks: read('checks') as ChecksFile, binding: read('binding') as Binding };
}

/** What must go on for callers of the version before: all that was given, and the first check that something works, with what it builds on. */
export function keptOf({ checks, binding }: BriefChecks): BriefChecks {
  const first = checks.checks.findIndex(({ kind }) => kind === 'works');
  const kept = checks.checks.slice(0, first + 1).filter(({ kind }) => kind !== 'race');
  return { binding, checks: { ...checks, checks: kept } };
}

/** The same with one round of each race. */
export function onceOf({ checks, binding }: BriefChecks): BriefChecks {
  return { binding, checks: { ...checks, checks: checks.checks.map((check) => ({ ...check, repeat: 1 })) } };
}

/** Everybody who calls in the checks, so that a host can know them. */
export function callersOf({ checks, binding }: BriefChecks): readonly Caller[] {
  const all: Caller[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('by' in value) all.push(callerOf(value.by as By, binding));
    Object.values(value).forEach(look);
  };
  look(checks);
  look(binding);
  return all;
}

function callerOf(by: By, { users = {}, tenant = 'tenant' }: Binding): Caller {
  if (typeof by === 'string') return { id: by, roles: users[by] ?? [] };
  const own = by[tenant];
  const roles = [...(users[by.user] ?? []), ...(by.role === undefined ? [] : [by.role])];
  return { id: by.user, roles, ...(own === undefined ? {} : { tenant: own }) };
}

export interface PlayOptions {
  readonly specification: CheckedSpecification;
  readonly stage: RacingStage;
  readonly checks: BriefChecks;
  readonly kinds?: readonly Check['kind'][];
  /** Behind the calls that are given: where a next revision is put in, callers go on as they were. */
  readonly afterGiven?: () => Promise<void>;
  /** Before what a change asks for: from here on it is this document. */
  readonly become?: () => { readonly specification: CheckedSpecification; readonly calls: Binding['calls'] };
}

/** Plays the checks of these kinds, in order, on one database. Gives what failed, with the id of its check. */
export async function playChecks(options: PlayOptions): Promise<readonly string[]> {
  const { kinds = ['works', 'reads', 'forbidden', 'race'], checks } = options;
  const player = new Player(options);
  const failures: string[] = [];
  for (const said of checks.checks.given) {
    const wrong = await player.say(said);
    if (wrong !== undefined) return [`given ${said.do} ${said.of}: ${wrong}`];
  }
  await options.afterGiven?.();
  for (const check of checks.checks.checks) {
    if (!kinds.includes(check.kind)) continue;
    if (check.kind === 'change' && options.become !== undefined) player.become(options.become());
    for (const [index, step] of (check.steps ?? []).entries()) {
      const wrong = await player.step(step, check);
      if (wrong !== undefined) failures.push(`${check.id} (${check.says ?? ''}), step ${index + 1}: ${wrong}`);
    }
  }
  return failures;
}

interface Prepared {
  readonly call: PlayedCall;
  readonly bound: Bound;
}

class Player {
  readonly #options: PlayOptions;
  readonly #made = new Map<string, Json>();
  readonly #words = new Map<string, Promise<Json>>();

  specification: CheckedSpecification;
  #calls: Binding['calls'];

  constructor(options: PlayOptions) {
    this.#options = options;
    this.specification = options.specification;
    this.#calls = options.checks.binding.calls;
  }

  /** `calls`: what is bound in another way from here on. */
  become({ specification, calls }: ReturnType<NonNullable<PlayOptions['become']>>): void {
    this.specification = specification;
    this.#calls = { ...this.#calls, ...calls };
  }

  async step(step: CheckStep, check: Check): Promise<string | undefined> {
    this.#words.clear();
    if ('pass' in step) {
      await this.#options.stage.pass(lengthOf(step.pass));
      return undefined;
    }
    if ('together' in step) return this.#race(step, check.repeat ?? 1);
    const wrong = await this.say(step);
    return wrong ?? (check.level === 'database' ? this.#past(step) : undefined);
  }

  async say(said: Said): Promise<string | undefined> {
    const { outcome, call, bound } = await this.#carryOut(said);
    if (said.as !== undefined && outcome.ok) this.#made.set(said.as, madeKey(this.specification, call, outcome.answer));
    return this.#wrong(outcome, said, bound);
  }

  async #carryOut(said: Said): Promise<{ readonly outcome: Outcome } & Prepared> {
    const bound = this.#boundTo(said);
    const times = bound.times === undefined ? 1 : Number(said.with[bound.times]);
    let last: { outcome: Outcome; call: PlayedCall } | undefined;
    for (let time = 0; time < times; time += 1) {
      for (const one of bound.calls ?? [bound as BoundCall]) {
        const call = await this.#prepare(said, one);
        const outcome = await this.#options.stage.call(call);
        last = { outcome, call };
        if (!outcome.ok) return { outcome, call, bound };
        for (const name of ['last', ...(one.as === undefined ? [] : [one.as])])
          this.#made.set(name, madeKey(this.specification, call, outcome.answer));
      }
    }
    assert.ok(last, `${said.do} ${said.of} is no call`);
    return { ...last, bound };
  }

  #boundTo({ do: verb, of: role }: Said): Bound {
    const bound = this.#calls[`${verb} ${role}`];
    assert.ok(bound, `${verb} ${role} is not bound: the operation is missing`);
    return bound;
  }

  async #prepare(said: Said, bound: BoundCall): Promise<PlayedCall> {
    const { args = {}, fixed = {}, without = [], pairs = {} } = bound;
    const types = new Map<string, string>();
    const given: [string, Json][] = [];
    for (const [role, value] of [...Object.entries(said.with).filter(([role]) => !without.includes(role))]) {
      given.push([args[role] ?? role, unpaired(value, pairs[role])]);
    }
    for (const [name, value] of Object.entries(fixed)) given.push([name, value]);
    for (const argument of argumentsOf(this.specification, bound.operation)) types.set(argument.name, argument.kind);
    const strange = given.find(([name]) => types.size > 0 && !types.has(name));
    assert.equal(strange, undefined, `${bound.operation} has no argument of that name: the check is bound wrongly`);
    // n.b. ten days between two times of one call are ten days.
    const now = this.#options.stage.now();
    const resolved: [string, Json][] = [];
    for (const [name, value] of given) resolved.push([name, await this.#value(value, types.get(name), now)]);
    const by = bound.by ?? said.by;
    return {
      operation: bound.operation,
      arguments: Object.fromEntries(resolved),
      ...(by === undefined ? {} : { user: callerOf(by, this.#options.checks.binding) }),
    };
  }

  async #value(value: Json, kind?: string, now = this.#options.stage.now()): Promise<Json> {
    if (Array.isArray(value))
      return Promise.all((value as readonly Json[]).map((item) => this.#value(item, kind, now)));
    if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value as JsonObject).map(
        async ([name, item]) => [name, await this.#value(item, undefined, now)] as const,
      );
      return Object.fromEntries(await Promise.all(entries));
    }
    if (typeof value !== 'string') return value;
    if (value.startsWith('@')) {
      const made = this.#made.get(value.slice(1));
      assert.ok(made !== undefined, `${value} was not made`);
      return made;
    }
    if (value === '~this-year') return Number(this.#time('~year-start', now, 'date').slice(0, 4));
    if (value.startsWith('~')) return this.#time(value, now, kind);
    const word = this.#options.checks.binding.words?.[value];
    if (word === undefined) return value;
    // Two calls at once that say the word mean the same.
    const known = this.#words.get(value) ?? this.#word(word);
    this.#words.set(value, known);
    return known;
  }

  #time(text: string, now: Date, kind: string | undefined): string {
    return timeOf(text, kind as 'date', { now, zone: this.specification.source.zone });
  }

  async #word(word: Word): Promise<Json> {
    const said: Said = { do: '', of: '', with: {}, ...(word.by === undefined ? {} : { by: word.by }) };
    const call = await this.#prepare(said, word);
    const outcome = await this.#options.stage.call(call);
    assert.ok(outcome.ok, JSON.stringify(outcome));
    if (word.column === undefined) return madeKey(this.specification, call, outcome.answer);
    if (!Array.isArray(outcome.answer) && memberOf(outcome.answer, 'rows') === undefined)
      return foundIn(outcome.answer, word.column) ?? assert.fail('the word stands for nothing');
    const { order } = word;
    const rows = rowsOf(outcome.answer);
    const sorted =
      order === undefined
        ? rows
        : rows.toSorted((a, b) => (textOf(memberOf(a, order)) < textOf(memberOf(b, order)) ? -1 : 1));
    const row = sorted[word.row ?? 0];
    return (row === undefined ? undefined : memberOf(row, word.column)) ?? assert.fail('the word stands for nothing');
  }

  /** Both at once from two connections; the data are put back between the rounds, and stay as the last one left them. */
  async #race({ together, then: expected }: Race, rounds: number): Promise<string | undefined> {
    const { stage } = this.#options;
    const prepared = await Promise.all(
      together.map(async (said) => this.#prepare(said, this.#boundTo(said) as BoundCall)),
    );
    await stage.keep();
    for (let round = 1; round <= rounds; round += 1) {
      if (round > 1) await stage.putBack();
      const outcomes = await Promise.all(prepared.map((call) => stage.call(call)));
      const counts: Record<string, number> = {};
      for (const outcome of outcomes) {
        const kind = outcome.ok ? 'ok' : outcome.error === 'fault' ? 'fault' : 'refused';
        counts[kind] = (counts[kind] ?? 0) + 1;
        if (!outcome.ok && outcome.error === 'conflict') counts['conflict'] = (counts['conflict'] ?? 0) + 1;
      }
      const isRight = Object.entries(expected).every(([kind, count]) => counts[kind] === count);
      if (!isRight)
        return `round ${round}: ${JSON.stringify(counts)} where ${JSON.stringify(expected)} is expected (${JSON.stringify(outcomes)})`;
      const winner = outcomes.findIndex(({ ok }) => ok);
      const [outcome, said, call] = [outcomes[winner], together[winner], prepared[winner]];
      const name = said?.as ?? together.find(({ as }) => as !== undefined)?.as;
      if (outcome?.ok === true && call !== undefined && name !== undefined)
        this.#made.set(name, madeKey(this.specification, call, outcome.answer));
    }
    return undefined;
  }

  /** The same past the template: what the database itself must refuse. */
  async #past(said: Said): Promise<string | undefined> {
    const { stage } = this.#options;
    const bound = this.#boundTo(said);
    if (stage.direct === undefined || bound.operation === undefined || !isRefusal(said.then)) return undefined;
    const outcome = await stage.direct(await this.#prepare(said, bound as BoundCall));
    return outcome?.ok === true ? 'the database lets it pass, past the template' : undefined;
  }

  async #wrong(outcome: Outcome, { then = 'ok', accept }: Said, bound: Bound): Promise<string | undefined> {
    if (isRefusal(then)) {
      if (outcome.ok)
        return accept !== undefined && isEmpty(outcome.answer)
          ? undefined
          : `succeeds: ${JSON.stringify(outcome.answer)}`;
      return isClass(outcome.error, then.error) ? undefined : `is refused as ${outcome.error}: ${outcome.message}`;
    }
    if (!outcome.ok) return `is refused as ${outcome.error}: ${outcome.message}`;
    if (then === 'ok') return undefined;
    const expected = then as JsonObject;
    const isRight = await this.#fits(outcome.answer, expected, bound);
    return isRight
      ? undefined
      : `answers ${JSON.stringify(outcome.answer).slice(0, 600)}, and ${JSON.stringify(then)} is expected`;
  }

  async #fits(answer: Json, then: JsonObject, bound: Bound): Promise<boolean> {
    const anyOf = then['any of'];
    if (Array.isArray(anyOf)) {
      for (const one of anyOf as readonly JsonObject[]) if (await this.#fits(answer, one, bound)) return true;
      return false;
    }
    const rows = rowsOf(answer);
    for (const [what, wanted] of Object.entries(then)) {
      if (!(await this.#fitsOne({ answer, rows, bound }, what, wanted))) return false;
    }
    return true;
  }

  async #fitsOne(
    { answer, rows, bound }: { readonly answer: Json; readonly rows: readonly Json[]; readonly bound: Bound },
    what: string,
    wanted: Json,
  ): Promise<boolean> {
    const keyOf = (row: Json): Json => memberOf(row, bound.key ?? 'id') ?? null;
    const matches = async (row: Json | undefined, expected: Json): Promise<boolean> =>
      row !== undefined && this.#matches(row, expected, bound);
    switch (what) {
      case 'value': {
        const single = rows.length === 1 && Array.isArray(answer) ? (rows[0] ?? null) : answer;
        return matches(single, wanted);
      }
      case 'count':
        return rows.length === wanted;
      case 'rows': {
        const all = await Promise.all((wanted as readonly Json[]).map((row, index) => matches(rows[index], row)));
        return all.every(Boolean);
      }
      case 'includes': {
        if (typeof wanted === 'string') {
          const key = await this.#value(wanted);
          return rows.some((row) => isLike(keyOf(row), key));
        }
        return (await Promise.all(rows.map((row) => matches(row, wanted)))).includes(true);
      }
      case 'first':
        return matches(rows[0], wanted);
      case 'last':
        return matches(rows.at(-1), wanted);
      case 'each':
        return (await Promise.all(rows.map((row) => matches(row, wanted)))).every(Boolean);
      case 'keys in order': {
        const keys = await this.#value(wanted);
        return isLike(rows.map(keyOf), keys);
      }
      case 'counts':
        return Object.entries(wanted as Readonly<Record<string, number>>).every(
          ([word, count]) => rows.filter((row) => Object.values(row as JsonObject).includes(word)).length === count,
        );
      case 'sum':
        return Object.entries(wanted as JsonObject).every(([role, sum]) => {
          const name = bound.answer?.[role] ?? role;
          return isLike(
            rows.reduce<number>((total, row) => total + Number(memberOf(row, name)), 0),
            sum,
          );
        });
      case 'distinct and without gaps': {
        const name = bound.answer?.[textOf(wanted)] ?? textOf(wanted);
        const numbers = rows.map((row) => Number(memberOf(row, name))).toSorted((a, b) => a - b);
        return numbers.length > 0 && numbers.every((number, index) => number === (numbers[0] ?? 0) + index);
      }
      default:
        return assert.fail(`no check knows "${what}"`);
    }
  }

  async #matches(row: Json, expected: Json, { answer = {} }: Bound): Promise<boolean> {
    if (typeof expected !== 'object' || expected === null || Array.isArray(expected)) {
      const name = answer[''];
      const value = await this.#value(expected);
      return isLike(name === undefined ? (Object.values(row as JsonObject)[0] ?? null) : foundIn(row, name), value);
    }
    for (const [role, value] of Object.entries(expected as JsonObject)) {
      const found = foundIn(row, answer[role] ?? role);
      const kind = typeof found === 'string' && found.includes('T') ? 'timestamp' : 'date';
      if (!isLike(found, await this.#value(value, kind))) return false;
    }
    return true;
  }
}

function unpaired(value: Json, columns: readonly [string, string] | undefined): Json {
  if (columns === undefined || !Array.isArray(value)) return value;
  const [word, content] = columns;
  return (value as readonly JsonObject[]).flatMap((pair) =>
    Object.entries(pair).map(([key, inner]): JsonObject => ({ [word]: key, [content]: inner })),
  );
}

function isRefusal(then: Json | undefined): then is { readonly error: string | readonly string[] } {
  return typeof then === 'object' && then !== null && 'error' in then;
}

function isClass(found: string, wanted: string | readonly string[]): boolean {
  if (found === 'fault') return false;
  if (wanted === 'refused') return true;
  return [wanted].flat().some((one) => one.replace('-', '_') === found);
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}

function isEmpty(answer: Json): boolean {
  return answer === null || rowsOf(answer).length === 0;
}

function argumentsOf(
  specification: CheckedSpecification,
  operation: string,
): readonly { readonly name: string; readonly kind: string }[] {
  const own = [...specification.queries, ...specification.actions].find(({ name }) => name === operation);
  const fields = specification.records.find(({ operations }) =>
    operations.some(({ name }) => name === operation),
  )?.fields;
  return [...(own?.args ?? []), ...(fields ?? [])].map(({ name, type }) => ({ name, kind: type.kind }));
}
