import type { DomainFiles, NewDomain } from './new-domain.js';

const ID = { type: 'string', maxLength: 100 };
const NAME = { type: 'string', maxLength: 100 };
const RECORD = { id: { type: 'string', from: '_id' }, name: 'string' };
const BY_ID = { _id: { $arg: 'id' } };

/** A new domain in MongoDB, for which nothing is generated yet: it builds, and passes its test, as it is. */
export function mongodbDomain(asked: NewDomain): DomainFiles {
  return {
    'package.json': packageText(asked),
    'template.ts': templateText(asked),
    [`${asked.domain}.test.ts`]: TEST,
    ...objects(asked.domain.replaceAll('-', '_')),
  };
}

/** The DBA's side: the collection, and one catalogue entry for each named object. */
function objects(name: string): DomainFiles {
  const entries = [
    {
      _id: `${name}_list`,
      kind: 'view',
      notes: 'Every record.',
      on: name,
      columns: RECORD,
      body: { pipeline: [] },
    },
    {
      _id: `${name}_create`,
      kind: 'procedure',
      notes: 'Adds a record and gives it back; refused where the id is taken.',
      ...{ on: name, op: 'insertOne', args: { id: ID, name: NAME } },
      body: { document: { _id: { $arg: 'id' }, name: { $arg: 'name' } } },
      returns: RECORD,
    },
    {
      _id: `${name}_update`,
      kind: 'procedure',
      notes: 'Changes what is given and gives the record back; no row where there is none.',
      ...{ on: name, op: 'findOneAndUpdate', args: { id: ID, name: { ...NAME, optional: true } } },
      body: {
        filter: BY_ID,
        update: { $set: { name: { $arg: 'name', absent: 'omit' } } },
        returnDocument: 'after',
      },
      returns: RECORD,
    },
    {
      _id: `${name}_delete`,
      kind: 'procedure',
      notes: 'Removes a record. Affects nothing where there is none.',
      ...{ on: name, op: 'deleteOne', args: { id: ID } },
      body: { filter: BY_ID },
    },
  ];
  const files = entries.map((entry): [string, unknown] => [`db/${entry._id}.json`, entry]);
  const collection: [string, unknown] = [`db/${name}.json`, { collection: name, indexes: [] }];
  return Object.fromEntries([collection, ...files].map(([path, value]) => [path, json(value)]));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function packageText({ domain, store }: NewDomain): string {
  return json({
    ...{ name: `@beds-plugins/${domain}`, version: '1.0.0', private: true, description: `The domain ${domain}.` },
    ...{ type: 'module', dependencies: { '@beds/sdk': '*' }, beds: { store } },
  });
}

function templateText({ domain, store }: NewDomain): string {
  const name = domain.replaceAll('-', '_');
  return `import { defineDomain, procedure, t, view } from '@beds/sdk';

const record = t.row({ id: t.string(), name: t.string() });

/** The DBA's objects are in db/; they are the only way to the data. */
export default defineDomain({
  name: '${domain}',
  version: '1.0.0',
  store: '${store}',
  key: 'id',
  create: procedure('${name}_create', record, record),
  fetch: view('${name}_list', record),
  update: procedure('${name}_update', record.partial(), record),
  delete: procedure('${name}_delete', record.pick('id')),
});
`;
}

const TEST = `import assert from 'node:assert/strict';
import { it } from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import template from './template.js';

const record = { id: 'one', name: 'First' };

it('create gives back the record that the database made', async () => {
  const domain = testDomain(template, { objects: { create: () => record } });
  assert.deepEqual(await domain.create(record), record);
});

it('fetch finds a record by its id', async () => {
  const domain = testDomain(template, { views: { fetch: [record] } });
  assert.deepEqual((await domain.fetch({ where: { id: 'one' } })).rows, [record]);
});

it('update says when there is no such record', async () => {
  const domain = testDomain(template, { objects: { update: () => undefined } });
  await assert.rejects(domain.update('one', { name: 'Second' }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
});
`;
