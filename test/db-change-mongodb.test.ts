import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { JsonObject } from '@beds/sdk';
import { type Db, type Document, MongoClient } from 'mongodb';
import type { ChangePlan } from '#sdk/cli';
import type { Specification } from '#sdk/spec';
import { configSchema, type StoreConfig } from '../host/config/schema.js';
import {
  applyObjects,
  type ApplyOptions,
  contractObjects,
  planObjects,
  statusObjects,
  undoObjects,
} from '../host/dba/index.js';
import type { NamedObject, StoreAdapter } from '../host/stores/contract.js';
import { createMongodbAdapter } from '../host/stores/mongodb/adapter.js';
import { type Draft, fieldsOf, lostProcess, MANY, nextOf, SONGS, writeDomain } from './support/changing-domain.js';
import { lastFirst, sharedServices, temporaryDirectory, wholeFile } from './support/services.js';
import { TransactingMongodb } from './support/transacting-mongodb.js';

const { mongodb } = await sharedServices(['mongodb']);
assert.ok(mongodb);
/** n.b. the server in place of MongoDB has no transactions, and keeps no validators: transactions are played before it. */
const transacting = await TransactingMongodb.start(wholeFile, mongodb.url);
let folders = 0;

interface Place {
  readonly options: ApplyOptions;
  readonly db: Db;
  readonly write: (specification: Specification) => void;
  /** An operation, as a host carries it out: that looks at the catalogue now, or that has looked with `known`. */
  readonly call: (name: string, args: JsonObject, known?: Known) => Promise<readonly JsonObject[]>;
  readonly look: (...names: readonly string[]) => Promise<Known>;
  readonly view: (name: string) => Promise<readonly JsonObject[]>;
}

type Known = ReadonlyMap<string, NamedObject>;

async function place(t: TestContext): Promise<Place> {
  folders += 1;
  const folder = join('dist', `changing-mongodb-${String(process.pid)}-${String(folders)}`);
  mkdirSync(folder, { recursive: true });
  const database = `t${randomBytes(5).toString('hex')}`;
  const adminUrl = transacting.url.replace('/?', `/${database}?`);
  const client = new MongoClient(mongodb?.url ?? '');
  const config = configSchema.parse({ stores: { main: { kind: 'mongodb', url: adminUrl } } });
  const adapter: StoreAdapter = createMongodbAdapter({ store: 'main', config: config.stores['main'] as StoreConfig });
  lastFirst(t, async () => {
    rmSync(folder, { recursive: true, force: true });
    await adapter.close(1_000);
    await client.db(database).dropDatabase();
    await client.close();
  });
  await adapter.open();
  const look = (...names: readonly string[]): Promise<Known> => adapter.describe(names);
  return {
    ...{ db: client.db(database), look },
    options: { stores: { main: { kind: 'mongodb', adminUrl } }, folder, directory: temporaryDirectory(t) },
    write: (specification) => {
      writeDomain(folder, specification, 'mongodb');
    },
    call: async (name, args, known) => {
      const object = (known ?? (await look(name))).get(name);
      assert.ok(object, `there is no ${name}`);
      return (await adapter.call(object, args, { timeoutMs: 20_000, mode: 'write' })).rows;
    },
    view: async (name) => {
      const view = (await look(name)).get(name);
      assert.ok(view?.kind === 'view', `there is no view ${name}`);
      return (await adapter.view(view, { key: 'id', limit: 1_000 }, { timeoutMs: 20_000, mode: 'read' })).rows;
    },
  };
}

/** The first revision, with documents in it. */
async function started(t: TestContext, specification: Specification = SONGS): Promise<Place> {
  const made = await place(t);
  made.write(specification);
  await applyObjects(made.options);
  if (specification.domain !== 'songs') return made;
  await made.call('songs_artist_create', { name: 'Ann', web: 'a.example' });
  await made.call('songs_artist_create', { name: 'Bo' });
  for (const [title, artist, label] of [
    ['One', 1, 'Red'],
    ['Two', 1, null],
    ['Three', 2, 'Blue'],
  ] as const)
    await made.call('songs_create', { title, artist, seconds: 100, ...(label === null ? {} : { label }) });
  return made;
}

async function onePlan({ options }: Place): Promise<ChangePlan> {
  const [plan, ...more] = await planObjects(options);
  assert.ok(plan);
  assert.equal(more.length, 0);
  return plan;
}

function documents({ db }: Place, collection: string): Promise<readonly Document[]> {
  return db.collection(collection).find().sort({ _id: 1 }).toArray();
}

const pick =
  (...names: readonly string[]) =>
  (document: Document | JsonObject): Document =>
    Object.fromEntries(names.map((name) => [name, document[name]]));

const allowed = { change: { allowLoss: true, acceptDrift: false } };

describe('a change of a MongoDB', { timeout: 600_000 }, () => {
  it('is planned in words, with what is lost by it, and changes nothing', async (t) => {
    const made = await started(t);
    assert.equal((await onePlan(made)).state, 'current');
    made.write(MANY);
    const before = await documents(made, 'songs_song');
    const plan = await onePlan(made);
    assert.deepEqual([plan.state, plan.from, plan.to, plan.refused, plan.drift], ['change', 1, 2, [], []]);
    assert.deepEqual(plan.losses, [{ rows: 2, words: 'song have a value in songs_song.label, which goes' }]);
    const said = plan.expand.map(({ words }) => words).join('\n');
    for (const part of [
      'make the collection songs_playlist',
      'let songs_song take what either version writes',
      'song.stars its default, 0',
      'give artist.songs what it counts',
      'operations and views beside those of the version before',
    ])
      assert.ok(said.includes(part), `${part} is not in:\n${said}`);
    const later = plan.contract.map(({ words }) => words).join('\n');
    assert.match(later, /song\.name what title has[^]*drop song\.title, song\.label/);
    assert.match(plan.expand.map(({ lock }) => lock).join('\n'), /about 3 documents/);
    assert.match(plan.notices.join('\n'), /do not know 'odd' in song\.mood/);
    assert.ok(plan.retired.includes('songs_create'));
    assert.deepEqual(await documents(made, 'songs_song'), before);
    assert.equal((await statusObjects(made.options))[0]?.phase, 'live');
  });

  it('lets both revisions work, and takes away what is no longer needed', async (t) => {
    const made = await started(t);
    const old = await made.look('songs_create', 'songs_update');
    made.write(MANY);
    await assert.rejects(applyObjects(made.options), {
      code: 'BEDS_DBA_CHANGE_LOSS',
      message: 'songs: 2 song have a value in songs_song.label, which goes.',
    });
    await applyObjects({ ...made.options, ...allowed });
    const meanwhile = await made.look('songs_create_v2', 'songs_update_v2', 'songs_find_v2', 'songs_long_ones_v2');
    await made.call('songs_create', { title: 'Four', artist: 1, seconds: 400, label: 'Green' }, old);
    await made.call('songs_create_v2', { name: 'Five', artist: 2, seconds: 500, mood: 'odd', stars: 4, note: 'fine' });
    await made.call('songs_update', { id: 1, title: 'Uno', clears: [] }, old);
    await made.call('songs_update_v2', { id: 2, name: 'Due', clears: [] });
    const shown = await made.view('songs_song_rows_v2');
    assert.deepEqual(shown.map(pick('name', 'stars')), [
      { name: 'Uno', stars: 0 },
      { name: 'Due', stars: 0 },
      { name: 'Three', stars: 0 },
      { name: 'Four', stars: 0 },
      { name: 'Five', stars: 4 },
    ]);
    assert.ok(shown.every((row) => typeof row['heard_at'] === 'string'));
    const [first, , , fourth] = shown;
    assert.equal(fourth?.['heard_at'], first?.['heard_at']);
    const long = await made.call('songs_long_ones_v2', { least: 300 });
    assert.deepEqual(long.map(pick('name')), [{ name: 'Five' }, { name: 'Four' }]);
    assert.deepEqual((await made.view('songs_song_rows')).map(pick('title', 'label')), [
      { title: 'Uno', label: 'Red' },
      { title: 'Due', label: null },
      { title: 'Three', label: 'Blue' },
      { title: 'Four', label: 'Green' },
      { title: 'Five', label: null },
    ]);
    const [status] = await statusObjects(made.options);
    assert.deepEqual([status?.phase, status?.revision, status?.nextRevision], ['expanded', 1, 2]);
    assert.equal((await onePlan(made)).state, 'expanded');
    await assert.rejects(contractObjects(made.options), { code: 'BEDS_DBA_CHANGE_LOSS' });
    await contractObjects({ ...made.options, ...allowed });
    assert.deepEqual((await documents(made, 'songs_song')).map(pick('title', 'label', 'name', 'stars')), [
      ...['Uno', 'Due', 'Three', 'Four'].map((name) => ({ title: undefined, label: undefined, name, stars: 0 })),
      { title: undefined, label: undefined, name: 'Five', stars: 4 },
    ]);
    const heard = (await documents(made, 'songs_song')).map(({ heard_at: at }) => (at as Date).toISOString());
    assert.deepEqual([heard[0], heard[3]], [heard[1], heard[1]]);
    assert.deepEqual((await documents(made, 'songs_artist')).map(pick('name', 'songs')), [
      { name: 'Ann', songs: 3 },
      { name: 'Bo', songs: 2 },
    ]);
    const plan = await onePlan(made);
    assert.deepEqual([plan.state, plan.drift], ['current', []]);
    // A host that has not looked since writes the older name as well: the next write of another one takes it away.
    await made.call('songs_update_v2', { id: 3, name: 'Tre', clears: [] }, meanwhile);
    assert.deepEqual((await made.view('songs_song_rows_v2')).map(pick('name'))[2], { name: 'Tre' });
    await made.call('songs_update_v2', { id: 3, name: 'Drei', clears: [] });
    await made.call('songs_update_v2', { id: 3, stars: 2, clears: [] }, meanwhile);
    const [, , third] = await documents(made, 'songs_song');
    assert.deepEqual(pick('name', 'stars')(third ?? {}), { name: 'Drei', stars: 2 });
    await made.call('songs_create_v2', { name: 'Six', artist: 2, seconds: 60 });
    assert.equal((await documents(made, 'songs_artist'))[1]?.['songs'], 3);
    // The catalogue is what it is after the document was put in at once.
    const fresh = await place(t);
    fresh.write(MANY);
    await applyObjects(fresh.options);
    assert.deepEqual(await documents(made, 'beds_objects'), await documents(fresh, 'beds_objects'));
  });

  it('is undone, as long as the revision before is there', async (t) => {
    const made = await started(t);
    const before = await documents(made, 'songs_song');
    const catalogue = await documents(made, 'beds_objects');
    made.write(MANY);
    await applyObjects({ ...made.options, ...allowed });
    await made.call('songs_create_v2', { name: 'Five', artist: 2, seconds: 500, stars: 4, note: 'fine' });
    await assert.rejects(undoObjects(made.options), {
      code: 'BEDS_DBA_CHANGE_LOSS',
      message: /1 song have a value in songs_song\.note, which goes/,
    });
    await undoObjects({ ...made.options, ...allowed });
    const bare = ({ _n: _, ...document }: Document): Document => document;
    const [first, second, third, added] = (await documents(made, 'songs_song')).map(bare);
    assert.deepEqual([first, second, third], before.map(bare));
    assert.deepEqual(pick('title', 'name', 'stars', 'note')(added ?? {}), {
      ...{ title: 'Five', name: undefined, stars: undefined, note: undefined },
    });
    assert.deepEqual(await documents(made, 'beds_objects'), catalogue);
    made.write(SONGS);
    const plan = await onePlan(made);
    assert.deepEqual([plan.state, plan.drift], ['current', []]);
    await assert.rejects(undoObjects(made.options), { code: 'BEDS_DBA_CHANGE_STATE' });
  });

  it('is refused where the document does not say what documents get, and where its number is the same', async (t) => {
    const made = await started(t);
    const refusedOf = async (change: (next: Draft) => void): Promise<string> => {
      made.write(nextOf(SONGS, change));
      const plan = await onePlan(made);
      await assert.rejects(applyObjects(made.options), { code: /^BEDS_DBA_CHANGE_/ });
      return plan.refused.join('\n');
    };
    const found = await refusedOf((next) => {
      fieldsOf(next, 'song').push({ name: 'price', description: 'Its price', type: 'integer' });
    });
    assert.match(found, /^records\.song\.fields\.price: a value that must be there, without a default/);
    const kind = await refusedOf((next) => {
      fieldsOf(next, 'song')[2] = { name: 'seconds', description: 'How long it is', type: 'date' };
      next.queries = [];
    });
    assert.match(kind, /another kind of value, integer to date/);
    const same = await refusedOf((next) => {
      delete next.revision;
      fieldsOf(next, 'song').push({ name: 'note', description: 'A word', type: 'text', optional: true });
    });
    assert.match(same, /write "revision": 2 into it/);
  });

  it('holds values that must differ, and those that do not fit, against the contract', async (t) => {
    const made = await started(t);
    const next = nextOf(SONGS, (draft) => {
      const song = fieldsOf(draft, 'song');
      Object.assign(song.find(({ name }) => name === 'seconds') ?? {}, { max: '90' });
      Object.assign(draft.records[0] ?? {}, { unique: [{ fields: ['title'], message: 'There is such a song.' }] });
    });
    await made.call('songs_create', { title: 'One', artist: 2, seconds: 10 });
    made.write(next);
    const plan = await onePlan(made);
    assert.deepEqual(plan.blocks, [
      { rows: 3, words: 'song have a seconds that is above 90' },
      { rows: 1, words: 'values of title are in songs_song more than once' },
    ]);
    await applyObjects(made.options);
    await assert.rejects(contractObjects(made.options), { code: 'BEDS_DBA_CHANGE_BLOCKED' });
    await made.db
      .collection('songs_song')
      .updateMany({}, [{ $set: { seconds: 50 } }])
      .catch(async () => {
        await made.db.collection('songs_song').updateMany({}, { $set: { seconds: 50 } });
      });
    await made.call('songs_delete', { id: 1 });
    await contractObjects(made.options);
    await assert.rejects(
      made.call('songs_create_v2', { title: 'Two', artist: 2, seconds: 10 }),
      /There is such a song/,
    );
    const indexes = await made.db.collection('songs_song').indexes();
    assert.ok(indexes.some(({ unique, key }) => unique === true && Object.keys(key)[0] === 'title'));
  });

  it('keeps parts right in which a field has another name, and what one version alone knows of them', async (t) => {
    const made = await started(t, ORDERS);
    const old = await made.look('orders_add', 'orders_create', 'orders_put');
    await made.call('orders_create', { who: 'Ann' }, old);
    await made.call('orders_add', { order: 1, ware: 'tea', note: 'hot' }, old);
    made.write(NEXT_ORDERS);
    await applyObjects({ ...made.options, ...allowed });
    await made.call('orders_add', { order: 1, ware: 'milk', note: 'cold' }, old);
    await made.call('orders_add_v2', { order: 1, article: 'bread' });
    await made.call('orders_put_v2', { order: 1, article: 'bread', amount: 3 });
    await made.call('orders_put', { order: 1, ware: 'bread' }, old);
    const [meanwhile] = await documents(made, 'orders_order');
    assert.deepEqual((meanwhile?.['line'] as readonly Document[]).map(pick('ware', 'article', 'amount', 'note')), [
      { ware: 'tea', article: undefined, amount: 1, note: 'hot' },
      { ware: 'milk', article: undefined, amount: undefined, note: 'cold' },
      { ware: 'bread', article: 'bread', amount: 3, note: 'seen' },
    ]);
    await contractObjects({ ...made.options, ...allowed });
    const [after] = await documents(made, 'orders_order');
    assert.deepEqual((after?.['line'] as readonly Document[]).map(pick('ware', 'article', 'amount', 'note')), [
      { ware: undefined, article: 'tea', amount: 1, note: undefined },
      { ware: undefined, article: 'milk', amount: 1, note: undefined },
      { ware: undefined, article: 'bread', amount: 3, note: undefined },
    ]);
  });

  it('says what somebody has changed by hand, leaves it alone, and goes on only when told to', async (t) => {
    const made = await started(t);
    await made.db.collection('songs_song').createIndexes([{ key: { seconds: 1 }, name: 'hand' }]);
    await made.db
      .collection('beds_objects')
      .updateOne({ _id: 'songs_create' } as Document, { $set: { notes: 'mine' } });
    made.write(
      nextOf(SONGS, (next) => {
        fieldsOf(next, 'song').push({ name: 'note', description: 'A word about it', type: 'text', optional: true });
      }),
    );
    const drift = ['index of songs_song, hand was added', 'entry songs_create is another'];
    assert.deepEqual((await onePlan(made)).drift, drift);
    assert.deepEqual((await statusObjects(made.options))[0]?.drift, drift);
    await assert.rejects(applyObjects(made.options), { code: 'BEDS_DBA_CHANGE_DRIFT' });
    const accepted = { ...made.options, change: { allowLoss: false, acceptDrift: true } };
    await applyObjects(accepted);
    await contractObjects(accepted);
    const indexes = await made.db.collection('songs_song').indexes();
    assert.ok(indexes.some(({ name }) => name === 'hand'));
  });

  it('goes on where it was, whenever the process that did it is lost', async (t) => {
    const made = await started(t);
    const many = Array.from({ length: 1_200 }, (_, index) => ({
      ...{ _id: 100 + index, title: `Song ${String(index)}`, artist: 1, seconds: 60, mood: 'calm' },
      ...{ added_on: new Date('2026-02-01T00:00:00Z'), _n: 1 },
    }));
    await made.db.collection('songs_song').insertMany(many as unknown as Document[]);
    made.write(MANY);
    const seen: string[] = [];
    for (const work of ['apply', 'contract'] as const) {
      for (;;) {
        const { said, signal } = await lostProcess(work, { ...made.options, ...allowed }, seen);
        if (said === 'end') break;
        assert.equal(signal, 'SIGKILL');
        assert.ok(!seen.includes(said) && said.startsWith(work), said);
        seen.push(said);
        const [status] = await statusObjects(made.options);
        assert.equal(status?.phase, work === 'apply' ? 'expanding' : 'contracting');
      }
    }
    assert.ok(seen.length > 10, seen.join('\n'));
    assert.ok(
      seen.some((one) => one.startsWith('contract rows give')),
      seen.join('\n'),
    );
    const songs = await documents(made, 'songs_song');
    assert.equal(songs.length, 1_203);
    assert.ok(songs.every(({ name, stars, title }) => typeof name === 'string' && stars === 0 && title === undefined));
    assert.deepEqual((await documents(made, 'songs_artist')).map(pick('songs')), [{ songs: 1_202 }, { songs: 1 }]);
    const plan = await onePlan(made);
    assert.deepEqual([plan.state, plan.drift], ['current', []]);
  });

  it('is made by one at a time', async (t) => {
    const made = await started(t);
    made.write(MANY);
    const steps: string[] = [];
    const onProgress: NonNullable<ApplyOptions['onProgress']> = (event) => {
      if (event.type === 'change' && event.event.type === 'done') steps.push(String(event.event.number));
    };
    const outcomes = await Promise.allSettled(
      [1, 2].map(() => applyObjects({ ...made.options, ...allowed, onProgress })),
    );
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        assert.equal((outcome.reason as { readonly code?: string }).code, 'BEDS_DBA_CHANGE_BUSY');
    assert.ok(outcomes.some(({ status }) => status === 'fulfilled'));
    assert.equal(new Set(steps).size, steps.length, 'a step was carried out twice');
    assert.equal((await statusObjects(made.options))[0]?.phase, 'expanded');
  });

  it('replaces nothing of another domain, and nothing that was made from another document', async (t) => {
    const made = await started(t);
    made.write({ ...SONGS, domain: 'song', records: SONGS.records.slice(1), queries: [] });
    await made.db.collection('beds_domain').updateOne({ _id: 'songs' } as Document, {
      $set: { structure: JSON.stringify({ collections: { song_artist: {} }, entries: {} }) },
    });
    await assert.rejects(applyObjects({ ...made.options, domains: ['song'] }), {
      code: 'BEDS_DBA_CHANGE_STATE',
      message: /song would replace song_artist, which belongs to songs/,
    });
    await made.db.collection('beds_domain').deleteMany({});
    made.write({ ...SONGS, description: 'Other songs.' });
    await assert.rejects(applyObjects({ ...made.options, domains: ['songs'] }), {
      code: 'BEDS_DBA_CHANGE_STATE',
      message: /made from another document/,
    });
  });
});

/* Parts */

const ORDERS = {
  ...{ beds: 1, domain: 'orders', description: 'Orders and their lines.', store: 'main', zone: 'UTC' },
  records: [
    {
      ...{ name: 'order', description: 'An order', key: 'auto', operations: ['create'] },
      fields: [{ name: 'who', description: 'Who orders', type: 'text' }],
    },
    {
      ...{ name: 'line', description: 'A line', part_of: 'order', key: 'auto', operations: [] },
      fields: [
        { name: 'ware', description: 'What it is', type: 'text', max_length: 40 },
        { name: 'note', description: 'More', type: 'text', optional: true },
      ],
    },
  ],
  actions: [
    {
      ...{ name: 'add', description: 'Adds a line' },
      args: [
        { name: 'order', description: 'The order', type: 'reference', references: 'order' },
        { name: 'ware', description: 'What it is', type: 'text', max_length: 40 },
        { name: 'note', description: 'More', type: 'text', optional: true },
      ],
      steps: [{ op: 'insert', record: 'line', set: ['order = :order', 'ware = :ware', 'note = :note'] }],
    },
    {
      ...{ name: 'put', description: 'Notes what was seen' },
      args: [
        { name: 'order', description: 'The order', type: 'reference', references: 'order' },
        { name: 'ware', description: 'What it is', type: 'text', max_length: 40 },
      ],
      steps: [
        {
          op: 'update_where',
          record: 'line',
          where: 'line.order = :order and line.ware = :ware',
          set: ["note = 'seen'"],
        },
      ],
    },
  ],
  ...{ assumptions: [], questions: [] },
} as unknown as Specification;

const NEXT_ORDERS = nextOf(ORDERS, (next) => {
  const line = fieldsOf(next, 'line');
  Object.assign(line[0] ?? {}, { name: 'article', was: 'ware' });
  line.splice(1, 1);
  line.push({ name: 'amount', description: 'How many', type: 'integer', default: '1' });
  const [add, put] = next.actions ?? [];
  const article = { name: 'article', description: 'What it is', type: 'text', max_length: 40 };
  const [order] = (add?.['args'] ?? []) as readonly object[];
  Object.assign(add ?? {}, {
    args: [order, article],
    steps: [{ op: 'insert', record: 'line', set: ['order = :order', 'article = :article'] }],
  });
  Object.assign(put ?? {}, {
    args: [order, article, { name: 'amount', description: 'How many', type: 'integer' }],
    steps: [
      {
        ...{ op: 'update_where', record: 'line', where: 'line.order = :order and line.article = :article' },
        set: ['amount = :amount'],
      },
    ],
  });
});
