const ID = { type: 'string', maxLength: 100 };
const NAME = { type: 'string', maxLength: 100 };
const RECORD = { id: { type: 'string', from: '_id' }, name: 'string' };
const BY_ID = { _id: { $arg: 'id' } };

/** The DBA's side of a new domain in MongoDB: the collection, and one catalogue entry for each named object. */
export function mongodbObjects(name: string): Readonly<Record<string, string>> {
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
