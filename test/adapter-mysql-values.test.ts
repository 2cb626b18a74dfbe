import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Json, JsonObject, ObjectManifest, ValueDescription } from '@beds/sdk';
import { isBedsError } from '@beds/sdk';
import { compileReturns } from '#sdk/template';
import { narrowObject } from '../host/stores/check-use.js';
import type { AdapterScope, NamedObject } from '../host/stores/contract.js';
import { mysqlStore } from './support/mysql-store.js';
import { type TypeCase, typeCases } from './support/mysql-types.js';
import { checkTypes, type TypeRow } from './support/types-document.js';

const SECTION = {
  title: 'MySQL and MariaDB',
  heads: ['type', 'in the template', 'travels as', 'bounds', 'filters, orders and pages'],
  servers: ['MariaDB 10.11', 'MariaDB 11.8', 'MySQL 9.7'],
} as const;
const CARRIED = 'carried';

const store = await mysqlStore();
const read = { mode: 'read', timeoutMs: 20_000 } as const;
const write = { mode: 'write', timeoutMs: 20_000 } as const;
await store.dba.query(`GRANT EXECUTE ON ${store.database}.* TO ${store.account}`);
const adapter = store.adapter();
after(() => adapter.close(1_000));
await adapter.open();

const [versions] = await store.dba.query('SELECT VERSION() AS version');
const version = String((versions as { version: string }[])[0]?.version);
const isMariaDb = /mariadb/i.test(version);
const server = SECTION.servers.find((each) => {
  const [kind, number = ''] = each.split(' ');
  return isMariaDb === (kind === 'MariaDB') && version.startsWith(`${number}.`);
});

interface Made {
  readonly view: NamedObject;
  readonly put: NamedObject;
  /** Gives a row's value back, and the value that it is given. */
  readonly get: NamedObject;
  readonly same: NamedObject;
  /** Gives `v` back in OUT `v` and INOUT `w`. */
  readonly out: NamedObject;
  readonly value: ValueDescription;
}

/** A table, a view and routines for a type; why not, where the server does not know it. */
async function make(name: string, { type, as, given }: TypeCase): Promise<Made | undefined> {
  // n.b. MySQL wants the character set of a parameter beside its collation.
  const argument = type.replace(/ NULL$/, '').replace(/ COLLATE (utf8mb4\w*)/, ' CHARACTER SET utf8mb4 COLLATE $1');
  try {
    await store.dba.query(`CREATE TABLE ${name} (id INT PRIMARY KEY, v ${type})`);
    await store.dba.query(`CREATE VIEW ${name}_list AS SELECT id, v FROM ${name};
      GRANT SELECT ON ${store.database}.${name}_list TO ${store.account};
      CREATE PROCEDURE ${name}_put (IN id INT, IN v ${argument}) INSERT INTO ${name} VALUES (id, v);
      CREATE PROCEDURE ${name}_get (IN wanted INT) SELECT ${given?.(isMariaDb) ?? 'v'} AS v FROM ${name} WHERE id = wanted;
      CREATE FUNCTION ${name}_same (v ${argument}) RETURNS ${argument} DETERMINISTIC RETURN v;
      CREATE PROCEDURE ${name}_out (IN a ${argument}, OUT v ${argument}, INOUT w ${argument}) SET v = a`);
  } catch (error) {
    if (/Unknown (?:data type|collation)|syntax|Operator does not exist/i.test((error as Error).message))
      return undefined;
    throw error;
  }
  const value = { type: as } as const;
  const optional = { type: as, optional: true } as const;
  const id = { type: 'integer' } as const;
  const uses: Readonly<Record<string, ObjectManifest>> = {
    view: { kind: 'view', name: `${name}_list`, columns: { id, v: optional } },
    put: { kind: 'procedure', name: `${name}_put`, args: { id, v: optional } },
    get: { kind: 'procedure', name: `${name}_get`, args: { wanted: id } },
    same: { kind: 'function', name: `${name}_same`, args: { v: optional }, returns: optional },
    out: {
      ...{ kind: 'procedure', name: `${name}_out`, args: { a: optional, w: optional } },
      returns: { type: 'object', fields: { v: optional, w: optional } },
    },
  };
  const found = await adapter.describe(Object.values(uses).map((use) => use.name));
  const made = Object.entries(uses).map(([role, use]) => {
    const object = found.get(use.name);
    assert.deepEqual(adapter.check(use, object), []);
    assert.ok(object);
    return [role, narrowObject(use, object)] as const;
  });
  return { ...(Object.fromEntries(made) as Omit<Made, 'value'>), value };
}

/** The value as a template gets it of a column of a procedure's first row, or of a function. */
function returned(
  made: Made,
  rows: Awaited<ReturnType<AdapterScope['call']>>,
  column: 'v' | 'w' | undefined,
): Json | undefined {
  const optional = { ...made.value, optional: true };
  const of = compileReturns(
    column === undefined
      ? { kind: 'function', name: 'f', args: {}, returns: optional }
      : { kind: 'procedure', name: 'p', args: {}, returns: { type: 'object', fields: { [column]: optional } } },
  )(rows);
  assert.ok('value' in of, JSON.stringify(of));
  return column === undefined ? (of.value as Json) : (of.value as JsonObject)[column];
}

const alone: AdapterScope = {
  call: (object, args) => adapter.call(object, args, write),
  view: (object, query) => adapter.view(object, query, read),
};

/** Writes a value and asks for it in every way. */
async function checkValue(
  made: Made,
  scope: AdapterScope,
  { id, v }: { readonly id: number; readonly v: Json },
): Promise<void> {
  await scope.call(made.put, { id, v });
  const where = { id };
  assert.deepEqual((await scope.view(made.view, { key: 'id', where })).rows, [{ id, v }], 'of the view');
  assert.deepEqual(returned(made, await scope.call(made.get, { wanted: id }), 'v'), v, 'of a procedure');
  assert.deepEqual(returned(made, await scope.call(made.same, { v }), undefined), v, 'of a function');
  const out = await scope.call(made.out, { a: v, w: v });
  assert.deepEqual(returned(made, out, 'v'), v, 'of an OUT parameter');
  assert.deepEqual(returned(made, out, 'w'), v, 'of an INOUT parameter');
  if (v === null || made.value.type === 'json' || scope !== alone) return;
  for (const test of [v, { eq: v }, { in: [v] }, { in: [v, v] }, { gte: v, lte: v }, { between: [v, v] }]) {
    const { rows } = await scope.view(made.view, { key: 'id', where: { v: test as never }, limit: 100 });
    assert.ok(
      rows.some((row) => row['id'] === id),
      `found by ${JSON.stringify(test).slice(0, 60)}`,
    );
  }
}

/** What divides the rows divides all of them. */
async function checkParts({ view, value }: Made, v: Json): Promise<void> {
  const count = async (where: JsonObject): Promise<number> =>
    (await adapter.view(view, { key: 'id', where: where as never, count: true, limit: 0 }, read)).count ?? 0;
  const [all, empty] = await Promise.all([count({}), count({ v: { isNull: true } })]);
  assert.equal(await count({ v: { isNull: false } }), all - empty);
  if (value.type === 'json') return;
  const [eq, ne, lt, gte, gt, lte] = await Promise.all(
    [{ eq: v }, { ne: v }, { lt: v }, { gte: v }, { gt: v }, { lte: v }].map((test) => count({ v: test })),
  );
  assert.deepEqual(
    [Number(eq) + Number(ne), Number(lt) + Number(gte), Number(gt) + Number(lte)],
    [all, all - empty, all - empty],
  );
}

async function checkRefusal({ put, out }: Made, v: Json): Promise<void> {
  const calls = { v: () => adapter.call(put, { id: 10_000, v }, write), w: () => adapter.call(out, { w: v }, write) };
  for (const [name, call] of Object.entries(calls)) {
    try {
      await call();
    } catch (error) {
      assert.ok(isBedsError(error), String(error));
      assert.deepEqual(
        [error.code, error.field],
        ['BEDS_STORE_INVALID_VALUE', name],
        `${JSON.stringify(v)} is refused by name`,
      );
      continue;
    }
    assert.fail(`${JSON.stringify(v)} was taken`);
  }
}

const rows: TypeRow[] = [];

describe(`a value of MySQL and MariaDB comes back from wherever it was written to, or is refused by name (${version})`, () => {
  for (const [index, each] of typeCases.entries()) {
    const { type, name = type, as, values, refused = [], form, bounds } = each;
    const pages = as === 'json' ? 'null only' : 'yes';
    const note = (outcome: string): unknown => rows.push({ cells: [name, as, form, bounds, pages], outcome });
    it(`${type} as ${as}`, async (t) => {
      const made = await make(`kept_${String(index)}`, each);
      if (made === undefined) {
        note('no such type');
        return t.skip('the server does not know it');
      }
      for (const [at, v] of [...values, null].entries()) {
        const what = JSON.stringify(v).slice(0, 80);
        try {
          await checkValue(made, alone, { id: at, v });
        } catch (error) {
          throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
        }
      }
      await adapter.transaction(async (scope) => {
        for (const [at, v] of values.entries()) await checkValue(made, scope, { id: 1_000 + at, v });
      }, write);
      for (const v of values.slice(0, 4)) await checkParts(made, v);
      for (const v of refused) await checkRefusal(made, v);
      note(CARRIED);
    });
  }

  it('as host/stores/TYPES.md says', () => {
    checkTypes(SECTION, server, rows);
  });
});
