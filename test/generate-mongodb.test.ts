import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { changeMongodb, generateMongodb } from '#sdk/generate';
import { checkSpecification, LEDGER, SEATS, type Specification } from '#sdk/spec';
import { nativeOf, parseEntry } from '../host/stores/mongodb/catalogue.js';
import { assertKept, filesOf, specificationOf } from './support/generated-domain.js';

const GOLDEN = 'test/fixtures/generated/mongodb';

type Entry = Readonly<Record<string, unknown>> & { readonly _id: string; readonly body: unknown };

function entriesOf(text: string): readonly Entry[] {
  const files = Object.entries(filesOf(specificationOf(text), 'mongodb'));
  return files.filter(([name]) => /^db\/[278]/.test(name)).map(([, content]) => JSON.parse(content) as Entry);
}

/** What is wrong with the operations of a domain, on such a server. */
function problemsOf(
  text: string,
  server: { readonly transactions: boolean; readonly rules?: unknown },
): readonly string[] {
  const entries = entriesOf(text);
  const rules = new Map(
    entries.filter(({ kind }) => kind === 'rules').map(({ _id, body }) => [_id, { body: server.rules ?? body }]),
  );
  const known = { views: new Set<string>(), may: () => true, transactions: server.transactions, rules };
  return entries
    .filter(({ kind }) => kind !== 'rules')
    .flatMap((entry) => nativeOf(parseEntry(entry, known)).problems.map((problem) => `${entry._id}: ${problem}`));
}

function refusedOf(change: (specification: Specification) => unknown): readonly string[] {
  const { checked, problems } = checkSpecification(change(JSON.parse(SEATS) as Specification));
  assert.ok(checked, JSON.stringify(problems));
  return (generateMongodb(checked).refused ?? []).map(({ path, construct }) => `${path}: ${construct}`);
}

describe('a change of letter_case on MongoDB', () => {
  it('names what is there in other letters, which holds the contract, and is refused for what names a record', () => {
    const withCase = (letters: object): ReturnType<typeof specificationOf> => {
      const document = JSON.parse(SEATS) as Specification;
      const cased = (name: string, field: string) =>
        document.records
          .find((record) => record.name === name)
          ?.fields.map((one) => (one.name === field ? { ...one, letter_case: undefined, ...letters } : one));
      const records = document.records.map((record) => ({
        ...record,
        fields: cased(record.name, record.name === 'event' ? 'code' : 'category') ?? [],
      }));
      return specificationOf(JSON.stringify({ ...document, records, examples: [] }));
    };
    const change = changeMongodb(withCase({}), withCase({ letter_case: 'upper' }), { now: new Date() });
    assert.deepEqual(change.refused, [
      { path: 'records.event.fields.code', construct: 'another letter_case for a field of the key: leave it as it is' },
    ]);
    assert.deepEqual(change.hurdles, [
      {
        ...{ record: 'place', field: 'category', unfit: { $regex: '[a-z]' } },
        words: 'place have a category that is not in upper case',
      },
    ]);
    assert.match(change.notices.join('\n'), /callers do not find by place\.category what is not in upper case yet/);
    assert.deepEqual(changeMongodb(withCase({ letter_case: 'upper' }), withCase({}), { now: new Date() }).hurdles, []);
  });
});

describe('the generator for MongoDB', () => {
  for (const [name, text] of Object.entries({ seats: SEATS, ledger: LEDGER })) {
    it(`makes of ${name} what is kept in ${GOLDEN}/${name}, byte for byte`, () => {
      assertKept(filesOf(specificationOf(text), 'mongodb'), join(GOLDEN, name));
    });
  }

  it('makes entries that the catalogue takes, with transactions all of them, without those of one document', () => {
    assert.deepEqual(problemsOf(SEATS, { transactions: true }), []);
    assert.deepEqual(problemsOf(SEATS, { transactions: false }), []);
    assert.deepEqual(problemsOf(LEDGER, { transactions: true }), []);
    const refused = problemsOf(LEDGER, { transactions: false });
    assert.deepEqual(
      refused.map((problem) => problem.split(':')[0]),
      ['ledger_create', 'ledger_post', 'ledger_reverse'],
    );
    assert.match(refused[1] ?? '', /post takes the next number of entry from a counter.*it needs a replica set$/);
  });

  it('is refused by the catalogue where its rules are none', () => {
    assert.match(problemsOf(SEATS, { transactions: true, rules: { beds: 1 } })[0] ?? '', /the rules have problems/);
    assert.match(problemsOf(SEATS, { transactions: true, rules: JSON.parse(LEDGER) })[0] ?? '', /have no operation/);
  });

  it('gives collections validators: types, what must be there, words, bounds, lengths, masks', () => {
    const record = {
      ...{ name: 'item', description: 'An item', key: 'auto', operations: ['create', 'update'] },
      fields: [
        { name: 'plate', description: 'Plate', type: 'text', mask: 'AA.dd' },
        { name: 'mail', description: 'Mail', type: 'text', letter_case: 'lower', optional: true },
        {
          name: 'price',
          description: 'Price',
          type: 'decimal',
          precision: 5,
          scale: 2,
          min: '0.05',
          multiple_of: '0.05',
        },
        { name: 'change', description: 'Change', type: 'decimal', precision: 5, scale: 2 },
        { name: 'count', description: 'How many', type: 'integer', min: '-3', max: '9' },
        { name: 'grade', description: 'Grade', type: 'enum', values: ['good', 'bad'], optional: true },
        { name: 'day', description: 'Day', type: 'date' },
        { name: 'opens', description: 'Opens', type: 'time' },
        { name: 'marks', description: 'Marks', type: 'text', max_length: 5, max_items: 3 },
      ],
    };
    const part = {
      ...{ name: 'piece', description: 'A piece', key: ['no'], part_of: 'item', operations: ['create'] },
      fields: [{ name: 'no', description: 'Number', type: 'integer' }],
    };
    const document = {
      ...{ beds: 1, domain: 'kept', description: 'Kept.', store: 'main', zone: 'UTC', records: [record, part] },
      ...{ examples: [], assumptions: [], questions: [] },
    };
    const collection = (revision: number): { readonly options: { readonly validator: { $jsonSchema: unknown } } } =>
      JSON.parse(
        filesOf(specificationOf(JSON.stringify({ ...document, revision })), 'mongodb')[
          'db/100-collection-kept_item.json'
        ] ?? '',
      ) as never;
    const { validator } = collection(1).options;
    const decimal = (minimum: string, maximum: string, multipleOf: string): unknown => ({
      bsonType: 'decimal',
      minimum: { $numberDecimal: minimum },
      maximum: { $numberDecimal: maximum },
      multipleOf: { $numberDecimal: multipleOf },
    });
    assert.deepEqual(validator.$jsonSchema, {
      bsonType: 'object',
      required: ['plate', 'price', 'change', 'count', 'day', 'opens', 'marks'],
      properties: {
        _id: { bsonType: ['int', 'long'] },
        plate: { bsonType: 'string', maxLength: 5, pattern: '^[A-Z][A-Z]\\.[0-9][0-9]$' },
        mail: { bsonType: ['string', 'null'], maxLength: 200, pattern: '^[^A-Z]*$' },
        price: decimal('0.05', '999.99', '0.05'),
        change: decimal('-999.99', '999.99', '0.01'),
        count: { bsonType: ['int', 'long'], minimum: -3, maximum: 9 },
        grade: { enum: ['good', 'bad', null] },
        day: { bsonType: 'date' },
        opens: { bsonType: 'string', maxLength: 8, pattern: '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' },
        marks: { bsonType: 'array', maxItems: 3, items: { bsonType: 'string', maxLength: 5 } },
        piece: {
          bsonType: 'array',
          items: { bsonType: 'object', required: ['no'], properties: { no: { bsonType: ['int', 'long'] } } },
        },
      },
    });
    // n.b. the revision before writes beside the next one, and does not know what that requires.
    assert.ok(!JSON.stringify(collection(2)).includes('required'));
  });

  it('names what it does not make', () => {
    const refused = refusedOf((specification) => {
      const [event, ...others] = specification.records;
      return { ...specification, records: [{ ...event, soft_delete: true }, ...others] };
    });
    assert.deepEqual(refused, [
      'records.event.soft_delete: soft_delete of a record that is named by its own fields: its name would stay taken',
    ]);
  });
});
