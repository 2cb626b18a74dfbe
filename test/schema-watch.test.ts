import assert from 'node:assert/strict';
import { beforeEach, describe, it, type TestContext } from 'node:test';
import type { ObjectManifest } from '@beds/sdk';
import type { NamedObject, StoreAdapter } from '../host/stores/contract.js';
import { storeErrors } from '../host/errors/store.js';
import type { GenerationSource } from '../host/template/contract.js';
import { JoinedCatalogue, preflight } from '../host/deploy/admit/preflight.js';
import { type SchemaCondition, SchemaWatch } from '../host/deploy/watch/schema-watch.js';
import { eventually } from './support/eventually.js';
import { mongodbStore } from './support/mongodb-store.js';
import { mysqlStore } from './support/mysql-store.js';

const sql = await mysqlStore();
const documents = await mongodbStore();

const NEVER_MS = 3_600_000;
const DOMAINS = 50;
/** Two statements about 250 objects take some 20 ms on an idle machine. */
const ROUND_MS = 1_000;
const string = { type: 'string' } as const;
const integer = { type: 'integer' } as const;

/** A watch over versions that were admitted by the preflight itself, with what it told. */
class Place {
  readonly live: GenerationSource[] = [];
  readonly told: string[] = [];
  readonly conditions: SchemaCondition[] = [];
  readonly adapters: ReadonlyMap<string, StoreAdapter>;
  readonly watch: SchemaWatch;
  #nextId = 1;

  constructor(t: TestContext, adapters: readonly StoreAdapter[], intervalMs = NEVER_MS) {
    this.adapters = new Map(adapters.map((adapter) => [adapter.store, adapter]));
    this.watch = new SchemaWatch({
      intervalMs,
      live: () => [...this.live],
      stores: this.adapters,
      onChange: (domain, hash, condition) => {
        const findings = condition.state === 'sound' ? [] : condition.findings;
        this.told.push(
          `${domain} ${hash} ${condition.state}`,
          ...findings.map(({ code, message }) => `${code.replace('BEDS_', '')} ${message}`),
        );
        this.conditions.push(condition);
      },
    });
    t.after(() => this.watch.close());
  }

  async admit(
    domain: string,
    objects: Readonly<Record<string, ObjectManifest>>,
    store = 'test',
  ): Promise<GenerationSource> {
    const manifest = { domain, version: '1.0.0', store, objects } as unknown as GenerationSource['manifest'];
    const result = await preflight(manifest, this.adapters);
    assert.deepEqual(result.findings, []);
    const id = this.#nextId++;
    const source = { id, hash: `h${id}`, manifest, code: '', sourceMap: '', objects: result.objects };
    this.live.push(source);
    return source;
  }

  /** One round; what it told. */
  async round(): Promise<readonly string[]> {
    this.told.length = 0;
    await this.watch.check();
    return [...this.told];
  }
}

const NOTES: Readonly<Record<string, ObjectManifest>> = {
  fetch: { kind: 'view', name: 'note_list', columns: { id: integer, text: string, mark: string } },
  create: { kind: 'procedure', name: 'note_create', args: { text: string, mark: string } },
};
const VIEW = 'CREATE OR REPLACE SQL SECURITY DEFINER VIEW note_list AS SELECT id, text, mark FROM note';

function createRoutine(parameters: string): string {
  return `DROP PROCEDURE IF EXISTS note_create;
    CREATE PROCEDURE note_create(${parameters}) SQL SECURITY DEFINER BEGIN SELECT 1; END;
    GRANT EXECUTE ON PROCEDURE note_create TO ${sql.account};`;
}

async function openedAdapter(t: TestContext, poolSize = 2): Promise<StoreAdapter> {
  const adapter = sql.adapter({ poolSize });
  await adapter.open();
  t.after(() => adapter.close(1_000));
  return adapter;
}

describe('the watch over the objects of live versions, on MariaDB or MySQL', () => {
  beforeEach(async () => {
    await sql.dba
      .query(`DROP TABLE IF EXISTS note; CREATE TABLE note (id INT PRIMARY KEY, text VARCHAR(200), mark VARCHAR(64), more INT);
      ${VIEW}; GRANT SELECT ON note_list TO ${sql.account}; ${createRoutine('IN text VARCHAR(200), IN mark VARCHAR(64)')}`);
  });

  it('tells each change once, and when it is healed', async (t) => {
    const place = new Place(t, [await openedAdapter(t)]);
    await place.admit('notes', NOTES);
    assert.deepEqual(await place.round(), []);

    await sql.dba.query(VIEW.replace('id, text, mark', 'id, text'));
    const gone = ['notes h1 degraded', 'PREFLIGHT_COLUMN_MISSING view note_list: column mark is gone'];
    assert.deepEqual(await place.round(), gone);
    assert.deepEqual(await place.round(), []);

    await sql.dba.query('DROP PROCEDURE note_create');
    const alsoGone = 'PREFLIGHT_OBJECT_MISSING routine note_create is gone, or EXECUTE on it was revoked';
    assert.deepEqual(await place.round(), [...gone, alsoGone]);

    await sql.dba.query(`${VIEW}; ${createRoutine('IN text VARCHAR(200), IN mark VARCHAR(64)')}`);
    assert.deepEqual(await place.round(), ['notes h1 sound']);
    assert.deepEqual(await place.round(), []);
  });

  it('gives fresh objects for what still fits; with them the version is sound', async (t) => {
    const place = new Place(t, [await openedAdapter(t)]);
    const source = await place.admit('notes', NOTES);
    await sql.dba.query(createRoutine('IN mark VARCHAR(64), IN text VARCHAR(50)'));
    assert.deepEqual(await place.round(), [
      'notes h1 changed',
      'SCHEMA_CHANGED routine note_create: parameter text is varchar(50), was varchar(200)',
      'SCHEMA_CHANGED routine note_create: parameters are (mark, text), were (text, mark)',
    ]);
    const [condition] = place.conditions;
    assert.ok(condition?.state === 'changed');
    const { create } = condition.objects;
    assert.ok(create?.kind === 'procedure');
    assert.deepEqual(
      create.args.map(({ name, nativeType }) => `${name} ${nativeType}`),
      ['mark varchar(64)', 'text varchar(50)'],
    );
    place.live[0] = { ...source, id: 99, objects: condition.objects };
    assert.deepEqual(await place.round(), ['notes h1 sound']);
  });

  it('sees grants that are revoked and views that no longer work', async (t) => {
    const place = new Place(t, [await openedAdapter(t)]);
    await place.admit('notes', NOTES);
    await sql.dba.query(
      `REVOKE EXECUTE ON PROCEDURE note_create FROM ${sql.account}; ALTER TABLE note DROP COLUMN mark`,
    );
    assert.deepEqual(await place.round(), [
      'notes h1 degraded',
      'PREFLIGHT_OBJECT_MISSING view note_list is gone or no longer valid, or SELECT on it was revoked',
      'PREFLIGHT_OBJECT_MISSING routine note_create is gone, or EXECUTE on it was revoked',
    ]);
    await sql.dba.query(`GRANT EXECUTE ON PROCEDURE note_create TO ${sql.account};
      ALTER TABLE note ADD COLUMN mark VARCHAR(64) AFTER text; REVOKE SELECT ON note_list FROM ${sql.account}`);
    const lines = await place.round();
    assert.deepEqual(lines.slice(0, 1), ['notes h1 degraded']);
    assert.equal(lines.length, 2);
    await sql.dba.query(`GRANT SELECT ON note_list TO ${sql.account}`);
    assert.deepEqual(await place.round(), ['notes h1 sound']);
  });

  it('says nothing of what the template does not use, nor of a body', async (t) => {
    const place = new Place(t, [await openedAdapter(t)]);
    await place.admit('notes', NOTES);
    await sql.dba.query(`${VIEW.replace('id, text, mark', 'more, mark, text, id')};
      DROP PROCEDURE note_create; CREATE PROCEDURE note_create(IN text VARCHAR(200), IN mark VARCHAR(64)) BEGIN SELECT 2; END;
      GRANT EXECUTE ON PROCEDURE note_create TO ${sql.account}`);
    assert.deepEqual(await place.round(), []);
  });

  it(`compares ${DOMAINS} domains in one round with one question`, async (t) => {
    const adapter = await openedAdapter(t);
    const place = new Place(t, [counted(adapter)]);
    const kinds = ['create', 'update', 'delete', 'slow'];
    for (let index = 0; index < DOMAINS; index += 1) {
      const routines = kinds.map(
        (kind) => `CREATE PROCEDURE w${index}_${kind}(IN id INT, IN text VARCHAR(200))
        BEGIN SELECT id, text; END; GRANT EXECUTE ON PROCEDURE w${index}_${kind} TO ${sql.account};`,
      );
      await sql.dba.query(`CREATE OR REPLACE VIEW w${index}_list AS SELECT id, text, mark, more FROM note;
        GRANT SELECT ON w${index}_list TO ${sql.account}; ${routines.join('')}`);
    }
    for (let index = 0; index < DOMAINS; index += 1) {
      const routines = kinds.map((kind): [string, ObjectManifest] => [
        kind,
        { kind: 'procedure', name: `w${index}_${kind}`, args: { id: integer, text: string } },
      ]);
      const fetch = { kind: 'view', name: `w${index}_list`, columns: { id: integer, text: string } } as const;
      await place.admit(`domain${index}`, { fetch, ...Object.fromEntries(routines) });
    }
    asked = 0;
    const times: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const startedAt = performance.now();
      assert.deepEqual(await place.round(), []);
      times.push(performance.now() - startedAt);
    }
    assert.equal(asked, 5);
    const best = Math.min(...times);
    assert.ok(best < ROUND_MS, `${best} ms`);
    t.diagnostic(`a round over ${DOMAINS} domains with 250 objects: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);

    // One connection of two is at work in a round; a preflight has the other.
    const rounds = Array.from({ length: 20 }, () => place.watch.check());
    assert.ok(rounds.every((round) => round === rounds[0]));
    await adapter.describe(['w1_list']);
    await Promise.all(rounds);
    await sql.dba.query('DROP PROCEDURE w7_slow');
    assert.deepEqual(await place.round(), [
      'domain7 h8 degraded',
      'PREFLIGHT_OBJECT_MISSING routine w7_slow is gone, or EXECUTE on it was revoked',
    ]);
  });
});

describe('the watch over the objects of live versions, on MongoDB', () => {
  const VIEW_ENTRY = {
    _id: 'task_list',
    kind: 'view',
    on: 'task',
    columns: { id: { type: 'string', as: 'objectId', from: '_id' }, text: 'string', mark: 'string' },
    body: { pipeline: [] },
  };
  const TASKS: Readonly<Record<string, ObjectManifest>> = {
    fetch: { kind: 'view', name: 'task_list', columns: { id: string, text: string } },
  };

  it('tells each change once, beside those of another store', async (t) => {
    await documents.deliver(VIEW_ENTRY);
    await sql.dba.query(`CREATE OR REPLACE VIEW pair_list AS SELECT id, text FROM note;
      GRANT SELECT ON pair_list TO ${sql.account}`);
    const mongodb = named('documents', documents.adapter);
    const place = new Place(t, [mongodb, await openedAdapter(t)]);
    await place.admit('tasks', TASKS, 'documents');
    await place.admit('pairs', { fetch: { kind: 'view', name: 'pair_list', columns: { id: integer } } });
    assert.deepEqual(await place.round(), []);

    await documents.deliver({ ...VIEW_ENTRY, columns: { id: VIEW_ENTRY.columns.id, text: 'string' } });
    assert.deepEqual(await place.round(), [], 'the template does not name the column mark');
    await documents.deliver({ ...VIEW_ENTRY, body: { pipeline: [{ $match: { text: 'x' } }] } });
    assert.deepEqual(await place.round(), [
      'tasks h1 changed',
      'SCHEMA_CHANGED view task_list: its body was rewritten',
    ]);

    const catalogue = documents.dba.db().collection<{ readonly _id: string }>('beds_objects');
    await catalogue.deleteOne({ _id: 'task_list' });
    await sql.dba.query('DROP VIEW pair_list');
    const told = await place.round();
    assert.deepEqual([...told].sort(), [
      'PREFLIGHT_OBJECT_MISSING view pair_list is gone or no longer valid, or SELECT on it was revoked',
      'PREFLIGHT_OBJECT_MISSING view task_list is gone from the catalogue, or the catalogue may no longer be read',
      'pairs h2 degraded',
      'tasks h1 degraded',
    ]);
    await documents.deliver({ ...VIEW_ENTRY, kind: 'nonsense' });
    const [state, ...wrong] = await place.round();
    assert.equal(state, 'tasks h1 degraded');
    assert.equal(
      wrong[0],
      'PREFLIGHT_NOT_SUPPORTED view task_list: its catalogue entry is wrong at kind: must be one of view, procedure, function',
    );
    assert.ok(wrong.every((line) => line.startsWith('PREFLIGHT_NOT_SUPPORTED view task_list: ')));
    await documents.deliver(VIEW_ENTRY);
    assert.deepEqual(await place.round(), ['tasks h1 sound']);
  });
});

describe('a round of the watch', () => {
  const LIST: NamedObject = {
    kind: 'view',
    name: 'list',
    columns: [{ name: 'id', type: 'integer', nativeType: 'int(11)' }],
    native: {},
  };
  const USE: Readonly<Record<string, ObjectManifest>> = {
    fetch: { kind: 'view', name: 'list', columns: { id: integer } },
  };

  it('finds nothing while a store is unavailable, and keeps its findings', async (t) => {
    const store = new FakeStore([LIST]);
    const place = new Place(t, [store.adapter]);
    await place.admit('notes', USE);
    store.answer = () => Promise.reject(storeErrors.make('BEDS_STORE_UNAVAILABLE'));
    assert.deepEqual(await place.round(), []);
    store.answer = () => Promise.resolve(new Map());
    assert.equal((await place.round())[0], 'notes h1 degraded');
    store.answer = () => Promise.reject(storeErrors.make('BEDS_STORE_TIMEOUT'));
    assert.deepEqual(await place.round(), []);
    store.answer = () => Promise.resolve(new Map([['list', LIST]]));
    assert.deepEqual(await place.round(), ['notes h1 sound']);
  });

  it('does not judge a version that took over during the check of the store', async (t) => {
    const store = new FakeStore([LIST]);
    const place = new Place(t, [store.adapter]);
    const source = await place.admit('notes', USE);
    store.answer = () => {
      place.live[0] = { ...source, id: 2, hash: 'h2' };
      return Promise.resolve(new Map());
    };
    assert.deepEqual(await place.round(), []);
    assert.equal((await place.round())[0], 'notes h2 degraded');
  });

  it('tells a new version of a degraded domain anew, and nothing of a domain that is gone', async (t) => {
    const store = new FakeStore([LIST]);
    const place = new Place(t, [store.adapter]);
    const source = await place.admit('notes', USE);
    store.answer = () => Promise.resolve(new Map());
    assert.equal((await place.round())[0], 'notes h1 degraded');
    place.live[0] = { ...source, id: 2, hash: 'h2' };
    assert.equal((await place.round())[0], 'notes h2 degraded');
    place.live.length = 0;
    assert.deepEqual(await place.round(), []);
    place.live.push(source);
    assert.equal((await place.round())[0], 'notes h1 degraded');
  });

  it('follows the one before by the interval, and never runs beside it', async (t) => {
    const store = new FakeStore([LIST]);
    const place = new Place(t, [store.adapter], 5);
    await place.admit('notes', USE);
    let running = 0;
    let rounds = 0;
    store.answer = async () => {
      running += 1;
      assert.equal(running, 1);
      await new Promise((resolve) => setTimeout(resolve, 15));
      running -= 1;
      rounds += 1;
      return new Map([['list', LIST]]);
    };
    place.watch.start();
    await eventually('five rounds', () => rounds >= 5);
    place.watch.close();
    await eventually('none runs', () => running === 0);
    const before = rounds;
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(rounds, before);
  });

  it('has no effect any more when the watch was closed meanwhile', async (t) => {
    const store = new FakeStore([LIST]);
    const place = new Place(t, [store.adapter], 1);
    await place.admit('notes', USE);
    store.answer = () => {
      place.watch.close();
      place.watch.close();
      return Promise.resolve(new Map());
    };
    assert.deepEqual(await place.round(), []);
    place.watch.start();
    assert.deepEqual(await place.round(), []);
    assert.equal(store.asked, 2);
  });
});

/** Says what it is told to say; `check` is the one of MySQL. */
class FakeStore {
  asked = 0;
  answer: () => Promise<ReadonlyMap<string, NamedObject>>;
  readonly adapter: StoreAdapter;

  constructor(objects: readonly NamedObject[]) {
    this.answer = () => Promise.resolve(new Map(objects.map((object) => [object.name, object])));
    const describeObjects: StoreAdapter['describe'] = () => {
      this.asked += 1;
      return this.answer();
    };
    this.adapter = overridden(sql.adapter(), { describe: describeObjects });
  }
}

describe('a catalogue that many ask at once', () => {
  it('is read once for those who ask meanwhile', async (t) => {
    asked = 0;
    const catalogue = new JoinedCatalogue(counted(await openedAdapter(t)));
    const answers = await Promise.all(Array.from({ length: 50 }, () => catalogue.describe(['note_list'])));
    assert.ok(answers.every((objects) => objects.has('note_list')));
    assert.equal(asked, 1);
    assert.ok((await catalogue.describe(['note_list'])).has('note_list'));
    assert.equal(asked, 2);
  });

  it('tells nobody of what is wrong with an object that he did not ask for', async (t) => {
    const adapter = await openedAdapter(t);
    const fault = storeErrors.make('BEDS_STORE_FAULT');
    const poisoned = overridden(adapter, {
      describe: async (names) => (names.includes('poison') ? Promise.reject(fault) : adapter.describe(names)),
    });
    const catalogue = new JoinedCatalogue(poisoned);
    const [good, bad, other] = await Promise.allSettled(
      ['note_list', 'poison', 'note_create'].map((name) => catalogue.describe([name])),
    );
    assert.ok(good?.status === 'fulfilled' && good.value.has('note_list'));
    assert.ok(other?.status === 'fulfilled' && other.value.has('note_create'));
    assert.ok(bad?.status === 'rejected' && bad.reason === fault);
  });

  it('is read also for more names than one statement holds', async (t) => {
    const names = Array.from({ length: 40_000 }, (_, n) => `none_${String(n)}`);
    const found = await (await openedAdapter(t)).describe(['note_list', ...names, 'note_create']);
    assert.deepEqual([...found.keys()].sort(), ['note_create', 'note_list']);
  });
});

let asked = 0;

function counted(adapter: StoreAdapter): StoreAdapter {
  return overridden(adapter, {
    describe: (names) => {
      asked += 1;
      return adapter.describe(names);
    },
  });
}

function named(store: string, adapter: StoreAdapter): StoreAdapter {
  return overridden(adapter, { store, describe: (names) => adapter.describe(names) });
}

/** n.b. adapters are classes with private fields: their methods must be called on themselves. */
function overridden(adapter: StoreAdapter, changes: Partial<Pick<StoreAdapter, 'store' | 'describe'>>): StoreAdapter {
  const check: StoreAdapter['check'] = (use, found) => adapter.check(use, found);
  return { ...adapter, store: adapter.store, unindexed: adapter.unindexed, check, ...changes };
}
