import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Json, JsonObject } from '@beds/sdk';
import { generateMysql } from '#sdk/generate';
import {
  type Caller,
  type CheckedRecord,
  type CheckedSpecification,
  checkSpecification,
  isLike,
  type Outcome,
  type PlayedCall,
  simulate,
  type Type,
} from '#sdk/spec';
import { type CalledProcedures, calledProcedures } from './support/called-procedures.js';
import {
  type Draw,
  drawing,
  type DrawnCall,
  MadeKey,
  randomCall,
  randomDocument,
} from './support/random-specification.js';
import { sharedServices } from './support/services.js';
import { teachTimeZone } from '../host/dba/time-zones.js';
import mysql from 'mysql2/promise';

const services = await sharedServices(['mariadb']);

/** BEDS_RANDOM_SPECIFICATIONS=200 is what a release is tried with. */
const SPECIFICATIONS = Number(process.env['BEDS_RANDOM_SPECIFICATIONS'] ?? 12);
const SEED = Number(process.env['BEDS_TEST_SEED'] ?? 20_261_130);
const CALLS = 40;

interface Side {
  readonly call: (call: {
    readonly operation: string;
    readonly arguments: JsonObject;
    readonly user: Caller;
  }) => Promise<Outcome>;
}

/** Two sides that must agree: the keys that each gives stand for one another. */
class Pair {
  readonly #specification: CheckedSpecification;
  readonly #memory: Side;
  readonly #database: Side;
  readonly #keys = new Map<string, { readonly memory: Json; readonly database: Json }[]>();

  constructor(specification: CheckedSpecification, memory: Side, database: Side) {
    this.#specification = specification;
    this.#memory = memory;
    this.#database = database;
  }

  // eslint-disable-next-line complexity -- two answers are compared member by member
  async play({ operation, user, arguments: drawn }: DrawnCall): Promise<void> {
    const forSide = (side: 'memory' | 'database'): JsonObject =>
      Object.fromEntries(
        Object.entries(drawn).map(([name, value]) => [name, value instanceof MadeKey ? this.#key(value, side) : value]),
      );
    const [a, b] = [
      await this.#memory.call({ operation, user, arguments: forSide('memory') }),
      await this.#database.call({ operation, user, arguments: forSide('database') }),
    ];
    const said = `${operation}(${JSON.stringify(forSide('memory'))}) by ${user.id}`;
    const shown = `${said}\n  in memory ${JSON.stringify(a)}\n  by the database ${JSON.stringify(b)}`;
    assert.ok(b.ok || b.error !== 'fault', shown);
    // n.b. a host looks at a key before it fetches, and says that nothing is there where nothing came.
    const isRead = a.ok || a.error === 'not_found' || this.#standard(operation)?.kind === 'fetch';
    const isMissing = !a.ok && isRead && b.ok && (b.answer as readonly Json[]).length === 0;
    if (isMissing) return;
    assert.equal(b.ok, a.ok, shown);
    if (!a.ok || !b.ok) return;
    const rows = b.answer as readonly JsonObject[];
    if (rows[0]?.['after'] !== undefined)
      await this.#turnPages({ operation, user, arguments: forSide('database') }, rows);
    const kind = this.#standard(operation)?.kind;
    if (kind === 'delete') return;
    const answers = this.#flat(operation, a.answer);
    this.#learn(operation, answers, rows);
    assert.equal(rows.length, answers.length, shown);
    // n.b. random ids come in an order of their own.
    const query = this.#specification.queries.find(({ name }) => name === operation);
    const isOrdered =
      query !== undefined &&
      this.#specification.records.find(({ name }) => name === query.from.record)?.keyKind !== 'uuid';
    const types = this.#typesOf(operation);
    const theirs = rows.map((row) => this.#translated(row, types));
    const mine = answers.map((row) =>
      Object.fromEntries(Object.keys(theirs[0] ?? {}).map((name) => [name, row[name] ?? null])),
    );
    if (!isOrdered)
      for (const list of [mine, theirs]) list.sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));
    for (const [index, row] of mine.entries())
      for (const [name, value] of Object.entries(row))
        if (types.has(name))
          assert.ok(
            isLike(theirs[index]?.[name], value),
            `${shown}\n  ${name} of ${JSON.stringify(theirs[index])} is not as in ${JSON.stringify(row)}`,
          );
  }

  /** Page by page comes what comes at once. */
  async #turnPages(call: PlayedCall & { readonly user: Caller }, all: readonly JsonObject[]): Promise<void> {
    const turned: JsonObject[] = [];
    for (let after: Json = null; turned.length < all.length;) {
      const page = await this.#database.call({ ...call, arguments: { ...call.arguments, after, limit: 2 } });
      assert.ok(page.ok, JSON.stringify(page));
      const rows = page.answer as readonly JsonObject[];
      assert.ok(rows.length > 0 && rows.length <= 2, `${String(turned.length)} of ${String(all.length)} rows`);
      turned.push(...rows);
      after = rows.at(-1)?.['after'] ?? null;
    }
    assert.deepEqual(turned, all);
  }

  #standard(operation: string): { readonly record: CheckedRecord; readonly kind: string } | undefined {
    for (const record of this.#specification.records) {
      const found = record.operations.find(({ name }) => name === operation);
      if (found !== undefined) return { record, kind: found.kind };
    }
    return undefined;
  }

  #key({ record, place }: MadeKey, side: 'memory' | 'database'): Json {
    const all = this.#keys.get(record) ?? [];
    if (all.length > 0 && place < 4) return all.at(-1 - (place % all.length))?.[side] ?? null;
    return this.#specification.records.find(({ name }) => name === record)?.keyKind === 'uuid'
      ? '00000000-0000-4000-8000-999999999999'
      : 999_999;
  }

  /** Records that are parts of an answer become columns, as a procedure answers them. */
  #flat(operation: string, answer: Json): readonly JsonObject[] {
    const action = this.#specification.actions.find(({ name }) => name === operation);
    if (action === undefined) {
      if (Array.isArray(answer)) return answer as readonly JsonObject[];
      const { rows } = answer as { readonly rows?: readonly JsonObject[] };
      return rows ?? [answer as JsonObject];
    }
    const whole = answer as JsonObject;
    const parts = action.answers.flatMap(({ name }) =>
      Object.entries((whole[name] ?? {}) as JsonObject).map(([field, value]) => [`${name}__${field}`, value] as const),
    );
    const own = action.returns.map(({ name }) => [name, whole[name] ?? null] as const);
    return action.answers.length + action.returns.length === 0 ? [] : [Object.fromEntries([...own, ...parts])];
  }

  #typesOf(operation: string): ReadonlyMap<string, Type> {
    const { queries, actions, records } = this.#specification;
    const fieldsOf = (name: string): readonly (readonly [string, Type])[] =>
      records
        .find((record) => record.name === name)
        ?.fields.map((field) => [
          field.name,
          field.origin === 'key' ? ({ kind: 'reference', record: name } as const) : field.type,
        ]) ?? [];
    const standard = this.#standard(operation);
    if (standard !== undefined) return new Map(fieldsOf(standard.record.name));
    const query = queries.find(({ name }) => name === operation);
    if (query !== undefined)
      return new Map(
        query.columns.map(({ name, value }) => {
          const isKey =
            value.node === 'field' &&
            fieldsOf(value.record).some(([each, type]) => each === value.field && type.kind === 'reference');
          return [
            name,
            isKey && value.node === 'field'
              ? (new Map(fieldsOf(value.record)).get(value.field) ?? value.type)
              : value.type,
          ] as const;
        }),
      );
    const action = actions.find(({ name }) => name === operation);
    return new Map([
      ...(action?.returns ?? []).map(({ name, value }) => [name, value.type] as const),
      ...(action?.answers ?? []).flatMap(({ name, record }) =>
        fieldsOf(record).map(([field, type]) => [`${name}__${field}`, type] as const),
      ),
    ]);
  }

  #learn(operation: string, mine: readonly JsonObject[], theirs: readonly JsonObject[]): void {
    const note = (record: string, column: string): void => {
      const all = this.#keys.get(record) ?? [];
      const pair = { memory: mine[0]?.[column] ?? null, database: theirs[0]?.[column] ?? null };
      if (pair.memory === null || pair.database === null) return;
      if (!all.some(({ memory }) => memory === pair.memory)) this.#keys.set(record, [...all, pair]);
    };
    const standard = this.#standard(operation);
    if (standard?.kind === 'create' && standard.record.keyKind !== 'fields') note(standard.record.name, 'id');
    for (const { name, record } of this.#specification.actions.find((one) => one.name === operation)?.answers ?? [])
      if (this.#specification.records.find((one) => one.name === record)?.keyKind !== 'fields')
        note(record, `${name}__id`);
  }

  /** A row of the database as a host would answer it, with the keys of the memory. */
  #translated(row: JsonObject, types: ReadonlyMap<string, Type>): JsonObject {
    return Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, value === null ? null : this.#value(value, types.get(name))]),
    );
  }

  #value(value: Json, type: Type | undefined): Json {
    switch (type?.kind) {
      case 'boolean':
        return value === 1 || value === true;
      case 'timestamp':
        return typeof value === 'string' ? `${value.replace(' ', 'T')}Z` : value;
      case 'json':
      case 'point':
      case 'list':
        return typeof value === 'string' ? (JSON.parse(value) as Json) : value;
      case 'reference': {
        const known = this.#keys
          .get(type.record)
          ?.find(({ database }) => JSON.stringify(database) === JSON.stringify(value));
        if (known !== undefined) return known.memory;
        const record = this.#specification.records.find(({ name }) => name === type.record);
        const key = record?.fields.find(({ name }) => name === record.key[0]);
        return key?.type.kind === 'reference' ? this.#value(value, key.type) : value;
      }
      default:
        return value;
    }
  }
}

/** The same calls of both, with the clock of the database. */
async function compare(draw: Draw, specification: CheckedSpecification, database: CalledProcedures): Promise<void> {
  const memory = simulate(specification, { now: new Date() });
  const pair = new Pair(
    specification,
    {
      call: async (call) => {
        await memory.pass(Date.now() - memory.now().getTime());
        return memory.call(call);
      },
    },
    database,
  );
  const north: Caller = { id: 'anna', roles: ['boss'], tenant: 'north' };
  const trail: string[] = [];
  for (let count = 0; count < CALLS; count += 1) {
    const call = randomCall(draw, specification);
    trail.push(`${call.operation} ${JSON.stringify(call.arguments)} ${call.user.id}`);
    try {
      await pair.play(call);
      if (count % 4 !== 3) continue;
      for (const { operations } of specification.records) {
        const list = operations.find(({ kind }) => kind === 'list')?.name ?? '';
        await pair.play({ operation: list, user: north, arguments: {} });
      }
    } catch (error) {
      (error as Error).message += `\n${trail.join('\n')}`;
      throw error;
    }
  }
}

describe('what is generated of documents that are drawn by lot', { timeout: 1_500_000 }, () => {
  it('loads into a database and comes to what the domain in memory comes to', async () => {
    const url = services.mariadb?.url ?? '';
    const dba = await mysql.createConnection(url);
    await teachTimeZone(dba, 'Europe/Zurich');
    await dba.end();
    let drawn = 0;
    let failure: Error | undefined;
    const refusals = new Set<string>();
    await fc
      .assert(
        fc.asyncProperty(fc.nat(), async (seed) => {
          const draw = drawing(seed);
          const document = randomDocument(draw);
          const { checked } = checkSpecification(document);
          if (checked === undefined) return;
          const { files, refused } = generateMysql(checked);
          for (const { construct } of refused ?? []) refusals.add(construct);
          if (files === undefined) return;
          drawn += 1;
          const name = `drawn_${randomBytes(4).toString('hex')}`;
          let database: CalledProcedures | undefined;
          try {
            database = await calledProcedures(url, name, { specification: checked, files });
            await compare(draw, checked, database);
          } catch (error) {
            failure ??= new Error(`${String(seed)}: ${(error as Error).message}\n${JSON.stringify(document)}`, {
              cause: error,
            });
            throw error;
          } finally {
            await database?.end();
          }
        }),
        { numRuns: SPECIFICATIONS, seed: SEED, endOnFailure: true },
      )
      .catch((error: unknown) => {
        throw failure ?? error;
      });
    assert.deepEqual([...refusals], []);
    assert.ok(drawn > SPECIFICATIONS / 2, `${drawn} of ${SPECIFICATIONS}`);
  });
});
