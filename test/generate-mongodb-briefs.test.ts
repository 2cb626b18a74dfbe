import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { JsonObject } from '@beds/sdk';
import { MongoClient } from 'mongodb';
import { type Caller, type CheckedSpecification, LEDGER, type Outcome, playExample, SEATS } from '#sdk/spec';
import { BRIEFS, callersOf, playChecks, readChecks } from './support/brief-checks.js';
import type { DomainStage } from './support/domain-stage.js';
import { filesOf, generatedStage, specificationOf } from './support/generated-domain.js';
import { sharedServices, wholeFile } from './support/services.js';
import { TransactingMongodb } from './support/transacting-mongodb.js';

const services = await sharedServices(['rabbitmq', 'mongodb']);
const { mongodb } = services;
assert.ok(mongodb);
/** n.b. the server in place of MongoDB has no transactions: they are played before it, one after the other. */
const transacting = await TransactingMongodb.start(wholeFile, mongodb.url);
const withTransactions = { ...services, mongodb: { ...mongodb, url: transacting.url } };

/** The server in place of MongoDB may lose an entry of an index where two write one document at once, and no MongoDB says this. */
const LOST_INDEX = /Unknown error: (No document with key|Found no position for) /;
const MOST_ATTEMPTS = 3;

const briefs = readdirSync(BRIEFS)
  .filter((name) => /^\d\d-[a-z-]+\.json$/.test(name))
  .map((name) => name.replace(/\.json$/, ''));

describe('what is generated for MongoDB', { timeout: 900_000 }, () => {
  const examples = [
    ['seats', SEATS, 'with transactions', withTransactions],
    ['seats', SEATS, 'without transactions', services],
    ['ledger', LEDGER, 'with transactions', withTransactions],
  ] as const;
  for (const [name, text, how, servers] of examples) {
    it(`comes to what the examples of ${name} say, ${how}`, async (t) => {
      const specification = specificationOf(text);
      const { examples: all = [] } = specification.source;
      const callers = all.flatMap(({ given, call }) => [...given, call]).flatMap(({ user }) => user ?? []);
      const stage = await generatedStage(t, { services: servers, specification, callers, kind: 'mongodb' });
      for (const example of all) {
        await stage.empty();
        assert.deepEqual(await playExample(specification, example, stage), [], example.description);
        assert.deepEqual(await unfitting(specification, stage), [], example.description);
      }
    });
  }

  for (const brief of briefs) {
    it(`keeps all checks of the brief ${brief}, one at a time and two at once`, async (t) => {
      const specification = specificationOf(readFileSync(join(BRIEFS, `${brief}.json`), 'utf8'));
      const checks = readChecks(brief);
      const callers = callersOf(checks);
      for (let attempt = 1; ; attempt += 1) {
        const stage = await generatedStage(t, { services: withTransactions, specification, callers, kind: 'mongodb' });
        try {
          assert.deepEqual(await playChecks({ specification, stage, checks }), []);
          assert.deepEqual(await unfitting(specification, stage), []);
          return;
        } catch (error) {
          if (attempt === MOST_ATTEMPTS || !LOST_INDEX.test(String(error))) throw error;
          t.diagnostic(`played again on an empty database: ${String(error)}`);
        }
      }
    });
  }

  describe('what the briefs do not ask for', () => {
    const [ann, ben, nobody]: readonly Caller[] = [
      { id: 'ann', tenant: 'north' },
      { id: 'ben', tenant: 'south' },
      { id: 'cleo' },
    ];
    type Ask = (operation: string, given: JsonObject, user?: Caller) => Promise<Outcome>;
    const staged = async (t: TestContext): Promise<{ readonly stage: DomainStage; readonly ask: Ask }> => {
      const specification = specificationOf(CLUB);
      const callers = [ann, ben, nobody].flatMap((user) => user ?? []);
      const stage = await generatedStage(t, { services: withTransactions, specification, callers, kind: 'mongodb' });
      t.after(async () => {
        assert.deepEqual(await unfitting(specification, stage), []);
      });
      const ask: Ask = (operation, given, user = ann) =>
        stage.call({ operation, arguments: given, ...(user === undefined ? {} : { user }) });
      return { stage, ask };
    };
    const key = (outcome: Outcome): number => {
      assert.ok(outcome.ok, JSON.stringify(outcome));
      return Number((outcome.answer as JsonObject)['id']);
    };
    const error = (outcome: Outcome): string =>
      outcome.ok ? `answers ${JSON.stringify(outcome.answer)}` : outcome.error;
    const rows = (outcome: Outcome): readonly JsonObject[] => {
      assert.ok(outcome.ok, JSON.stringify(outcome));
      const { answer } = outcome;
      return (Array.isArray(answer) ? answer : (answer as JsonObject)['rows']) as readonly JsonObject[];
    };

    it('per_tenant: organisations see and change their own, and have names of their own', async (t) => {
      const { ask } = await staged(t);
      const mine = key(await ask('create', { title: 'One', place: 1 }));
      assert.equal(error(await ask('create', { title: 'One', place: 2 })), 'conflict');
      const theirs = key(await ask('create', { title: 'One', place: 3 }, ben));
      assert.equal(error(await ask('create', { title: 'Two', place: 4 }, nobody)), 'forbidden');
      assert.deepEqual(
        rows(await ask('list', {})).map(({ id }) => id),
        [mine],
      );
      assert.deepEqual(
        rows(await ask('list', {}, ben)).map(({ id }) => id),
        [theirs],
      );
      assert.equal(error(await ask('update', { id: theirs, title: 'Mine' })), 'not_found');
      assert.equal(error(await ask('delete', { id: theirs })), 'not_found');
      assert.equal(rows(await ask('list', {}, ben))[0]?.['title'], 'One');
    });

    it('soft_delete: what is deleted is not found any more, and its title is free again', async (t) => {
      const { ask } = await staged(t);
      const first = key(await ask('create', { title: 'One', place: 1 }));
      assert.ok((await ask('delete', { id: first })).ok);
      assert.deepEqual(rows(await ask('list', {})), []);
      assert.equal(error(await ask('update', { id: first, title: 'Two' })), 'not_found');
      assert.equal(error(await ask('delete', { id: first })), 'not_found');
      const second = key(await ask('create', { title: 'One', place: 1 }));
      assert.notEqual(second, first);
      assert.deepEqual(
        rows(await ask('list', {})).map(({ id }) => id),
        [second],
      );
    });

    it('expires with delete: what has ended is not there, its code is free again, and a sweep takes it away', async (t) => {
      const { ask, stage } = await staged(t);
      const soon = (): string => new Date(Date.now() + 600_000).toISOString();
      key(await ask('pass_create', { code: 'ab1', ends: soon() }));
      assert.equal(error(await ask('pass_create', { code: 'AB1', ends: soon() })), 'conflict');
      assert.deepEqual(
        rows(await ask('pass_list', {})).map(({ code }) => code),
        ['AB1'],
      );
      await stage.pass(660_000);
      assert.deepEqual(rows(await ask('pass_list', {})), []);
      const again = key(await ask('pass_create', { code: 'ab1', ends: soon() }));
      assert.deepEqual(
        rows(await ask('pass_list', { code: 'ab1' })).map(({ id }) => id),
        [again],
      );
      await stage.pass(660_000);
      assert.ok((await ask('sweep_pass', { most: 10 })).ok);
      const [collection] = await stored(stage, ['club_pass']);
      assert.deepEqual(collection?.documents, []);
    });

    it('an argument called limit is an argument, and bounds no page', async (t) => {
      const { ask } = await staged(t);
      for (const [title, place] of [
        ['One', 1],
        ['Two', 2],
        ['Three', 3],
      ] as const)
        await ask('create', { title, place });
      const found = await ask('below', { limit: 3 });
      assert.deepEqual(
        rows(found).map(({ title }) => title),
        ['One', 'Two'],
      );
      assert.equal(error(await ask('below', {})), 'invalid');
    });

    it('what is missing is said beside the name of the field, in the words of MySQL', async (t) => {
      const { ask } = await staged(t);
      const made = key(await ask('create', { title: 'One', place: 1 }));
      const outcome = await ask('update', { id: made, title: null });
      assert.ok(!outcome.ok);
      assert.equal(outcome.error, 'invalid');
      assert.match(outcome.message, /(?:^|: )Is missing\.$/);
    });
  });
});

const CLUB = JSON.stringify({
  ...{ beds: 1, domain: 'club', description: 'Notes and passes of clubs.', store: 'main', zone: 'UTC' },
  records: [
    {
      ...{ name: 'note', description: 'A note', key: 'auto', per_tenant: true, soft_delete: true },
      fields: [
        { name: 'title', description: 'Its title', type: 'text', max_length: 40 },
        { name: 'place', description: 'Where it hangs', type: 'integer', min: '1' },
        { name: 'remark', description: 'More', type: 'text', optional: true },
      ],
      unique: [{ fields: ['title'], message: 'There is such a note.' }],
      operations: ['create', 'update', 'delete'],
    },
    {
      ...{ name: 'pass', description: 'A pass', key: 'auto' },
      fields: [
        { name: 'code', description: 'Its code', type: 'text', max_length: 10, letter_case: 'upper' },
        { name: 'ends', description: 'When it ends', type: 'timestamp' },
      ],
      unique: [{ fields: ['code'], message: 'There is such a pass.' }],
      expires: { when: 'true', at: 'ends', delete: true },
      operations: ['create', 'delete'],
    },
  ],
  queries: [
    {
      ...{ name: 'below', description: 'Notes that hang below a place' },
      args: [{ name: 'limit', description: 'The first place that is too high', type: 'integer' }],
      ...{ from: 'note', where: ['place < :limit'], columns: ['id', 'title'], order_by: ['place'] },
    },
  ],
  ...{ examples: [], assumptions: [], questions: [] },
});

/* Validators. n.b. the server in place of MongoDB has none: what they say is read here, of what the host has written. */

type Schema = Readonly<Record<string, unknown>>;

async function stored(
  { prefix }: DomainStage,
  names: readonly string[],
): Promise<readonly { readonly name: string; readonly documents: readonly unknown[] }[]> {
  // n.b. numbers as they are stored: a double is no long.
  const client = new MongoClient(mongodb?.url ?? '', { promoteValues: false, promoteLongs: false });
  try {
    return await Promise.all(
      names.map(async (name) => ({ name, documents: await client.db(prefix).collection(name).find().toArray() })),
    );
  } finally {
    await client.close();
  }
}

/** Where what is stored is not as the validators of the collections say. */
async function unfitting(specification: CheckedSpecification, stage: DomainStage): Promise<readonly string[]> {
  const schemas = new Map(
    Object.entries(filesOf(specification, 'mongodb')).flatMap(([file, text]): (readonly [string, Schema])[] => {
      if (!file.startsWith('db/1')) return [];
      const { collection, options } = JSON.parse(text) as {
        readonly collection: string;
        readonly options?: { readonly validator: { readonly $jsonSchema: Schema } };
      };
      return options === undefined ? [] : [[collection, options.validator.$jsonSchema]];
    }),
  );
  const found = await stored(stage, [...schemas.keys()]);
  assert.ok(found.length > 0);
  return found.flatMap(({ name, documents }) =>
    documents.flatMap((document) => misfits(schemas.get(name) ?? {}, document, name)),
  );
}

// eslint-disable-next-line complexity -- keyword by keyword
function misfits(schema: Schema, value: unknown, at: string): readonly string[] {
  const { bsonType, enum: words, required = [], properties = {}, items } = schema;
  const type = bsonTypeOf(value);
  const wrong: string[] = [];
  const say = (what: string): unknown => wrong.push(`${at} (${type} ${JSON.stringify(value)}): ${what}`);
  if (bsonType !== undefined && ![bsonType].flat().includes(type)) say(`is none of ${JSON.stringify(bsonType)}`);
  if (Array.isArray(words) && !words.includes(value)) say('is no word of the enum');
  if (typeof value === 'string') {
    if (Array.from(value).length > Number(schema['maxLength'] ?? Infinity)) say('is too long');
    if (typeof schema['pattern'] === 'string' && !new RegExp(schema['pattern']).test(value)) say('has another form');
  }
  if (['int', 'long', 'double', 'decimal'].includes(type)) {
    const number = Number(String(value));
    if (number < limit(schema['minimum'], -Infinity)) say('is too small');
    if (number > limit(schema['maximum'], Infinity)) say('is too great');
    const steps = number / limit(schema['multipleOf'], number);
    if (number !== 0 && Math.abs(steps - Math.round(steps)) > 1e-9 * Math.abs(steps)) say('is no multiple');
  }
  if (Array.isArray(value)) {
    if (value.length > Number(schema['maxItems'] ?? Infinity)) say('has too many items');
    if (value.length < Number(schema['minItems'] ?? 0)) say('has too few items');
    for (const [index, item] of value.entries())
      wrong.push(...misfits((items ?? {}) as Schema, item, `${at}[${index}]`));
  } else if (type === 'object') {
    const document = value as Readonly<Record<string, unknown>>;
    for (const name of required as readonly string[]) if (document[name] === undefined) say(`has no ${name}`);
    for (const [name, inner] of Object.entries(properties as Readonly<Record<string, Schema>>))
      if (document[name] !== undefined) wrong.push(...misfits(inner, document[name], `${at}.${name}`));
  }
  return wrong;
}

function limit(said: unknown, otherwise: number): number {
  if (said === undefined) return otherwise;
  return Number(typeof said === 'object' && said !== null ? (said as { $numberDecimal: string }).$numberDecimal : said);
}

function bsonTypeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  if (typeof value !== 'object') return typeof value === 'boolean' ? 'bool' : typeof value;
  const known = { Int32: 'int', Long: 'long', Double: 'double', Decimal128: 'decimal' } as Readonly<
    Record<string, string>
  >;
  return known[String((value as { readonly _bsontype?: string })._bsontype)] ?? 'object';
}
