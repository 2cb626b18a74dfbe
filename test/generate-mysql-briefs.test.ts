import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Json, JsonObject } from '@beds/sdk';
import { LEDGER, type Outcome, playExample, SEATS, simulate, type Stage } from '#sdk/spec';
import { BRIEFS, callersOf, playChecks, readChecks } from './support/brief-checks.js';
import { generatedStage, specificationOf } from './support/generated-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const briefs = readdirSync(BRIEFS)
  .filter((name) => /^\d\d-[a-z-]+\.json$/.test(name))
  .map((name) => name.replace(/\.json$/, ''));

describe('what is generated for MySQL and MariaDB', { timeout: 900_000 }, () => {
  for (const [name, text] of Object.entries({ seats: SEATS, ledger: LEDGER })) {
    it(`comes to what the examples of ${name} say`, async (t) => {
      const specification = specificationOf(text);
      const { examples = [] } = specification.source;
      const callers = examples.flatMap(({ given, call }) => [...given, call]).flatMap(({ user }) => user ?? []);
      const stage = await generatedStage(t, { services, specification, callers });
      for (const example of examples) {
        await stage.empty();
        assert.deepEqual(await playExample(specification, example, stage), [], example.description);
      }
    });
  }

  for (const brief of briefs) {
    it(`keeps all checks of the brief ${brief}, one at a time and two at once`, async (t) => {
      const specification = specificationOf(readFileSync(join(BRIEFS, `${brief}.json`), 'utf8'));
      const checks = readChecks(brief);
      const stage = await generatedStage(t, { services, specification, callers: callersOf(checks) });
      assert.deepEqual(await playChecks({ specification, stage, checks }), []);
    });
  }

  it('finds a record by its key however it is written, and clears nothing that must have a value', async (t) => {
    const fields = [
      { name: 'code', description: 'Its code', type: 'text', max_length: 10, letter_case: 'upper' },
      { name: 'title', description: 'Its title', type: 'text', max_length: 40 },
      { name: 'remark', description: 'More', type: 'text', optional: true },
    ];
    const all = ['create', 'update', 'delete'];
    const specification = specificationOf(
      JSON.stringify({
        ...{ beds: 1, domain: 'codes', description: 'Records with codes.', store: 'main', zone: 'UTC' },
        // n.b. nothing of a tool may be absent: no update of one clears anything.
        records: [
          { ...{ name: 'thing', description: 'A thing', key: ['code'], fields, operations: all } },
          { ...{ name: 'tool', description: 'A tool', key: ['code'], fields: fields.slice(0, 2), operations: all } },
        ],
        ...{ examples: [], assumptions: [], questions: [] },
      }),
    );
    const stage = await generatedStage(t, { services, specification });
    const memory = simulate(specification);
    const made = { code: 'ab1', title: 'One' };
    const calls: readonly (readonly [string, JsonObject])[] = [
      ...[...all, 'tool_create', 'tool_update', 'tool_delete'].flatMap(
        (operation): (readonly [string, JsonObject])[] => {
          const fetch: readonly [string, JsonObject] = ['tool_fetch', { code: 'Ab1' }];
          if (operation.endsWith('create')) return [[operation, made], fetch];
          if (operation.endsWith('delete')) return [[operation, { code: 'aB1' }], fetch];
          const update = (values: JsonObject): readonly [string, JsonObject] => [operation, { code: 'aB1', ...values }];
          const remark = operation === 'update' ? { remark: null } : {};
          return [update({ title: null }), update({ title: 'Two', ...remark }), fetch];
        },
      ),
    ];
    for (const [operation, given] of calls) {
      const call = { operation, arguments: given };
      const [mine, theirs] = [await memory.call(call), await stage.call(call)];
      const shown = `${operation} ${JSON.stringify(given)}: ${JSON.stringify(theirs)}`;
      // n.b. a host answers a fetch of what is not there with nothing.
      const isThere =
        theirs.ok && theirs.answer !== null && !(Array.isArray(theirs.answer) && theirs.answer.length === 0);
      assert.equal(isThere, mine.ok, shown);
      if (mine.ok || theirs.ok) continue;
      assert.equal(theirs.error, mine.error, shown);
      if (mine.error === 'invalid')
        assert.match(theirs.message, /(?:(?:^|: )Is missing\.|title must not be null\.)$/, shown);
    }
  });

  it('tells of what is there already with the values of the record, also where an update or an action meets it', async (t) => {
    const fields = [
      { name: 'code', description: 'Its code', type: 'text', max_length: 40, letter_case: 'upper' },
      { name: 'room', description: 'Where', type: 'integer' },
      { name: 'closed', description: 'Whether it is closed', type: 'boolean', default: 'false' },
    ];
    const message = "In room {room} there is {code} already; it's taken.";
    const specification = specificationOf(
      JSON.stringify({
        ...{ beds: 1, domain: 'shelves', description: 'Shelves.', store: 'main', zone: 'UTC' },
        records: ['shelf', 'rack'].map((name) => ({
          ...{ name, description: `A ${name}`, key: 'auto', fields, operations: ['create', 'update'] },
          ...{ soft_delete: name === 'rack' },
          unique: [{ fields: ['room', 'code'], message, ...(name === 'rack' ? { when: 'not closed' } : {}) }],
        })),
        actions: [
          {
            ...{ name: 'add_both', description: 'Adds one of each' },
            args: [{ name: 'code', description: 'Its code', type: 'text' }],
            steps: ['rack', 'shelf'].map((record) => ({ op: 'insert', record, set: ['code = :code', 'room = 7'] })),
          },
        ],
        ...{ examples: [], assumptions: [], questions: [] },
      }),
    );
    const stage = await generatedStage(t, { services, specification });
    const memory = simulate(specification);
    const calls: readonly (readonly [string, JsonObject])[] = [
      ...['', 'rack_'].flatMap((prefix): (readonly [string, JsonObject])[] => [
        [`${prefix}create`, { code: "a'1", room: 7 }],
        [`${prefix}create`, { code: "A'1", room: 7 }],
        [`${prefix}create`, { code: 'b', room: 7 }],
        [`${prefix}update`, { id: 0, code: "a'1" }],
      ]),
      ['add_both', { code: 'b' }],
      ['add_both', { code: 'c' }],
      ['add_both', { code: 'c' }],
    ];
    const refused: string[] = [];
    // n.b. a database gives no number again that a refused record had.
    const last = new Map<Stage, Json>();
    const outcome = async (on: Stage, operation: string, given: JsonObject): Promise<Outcome> => {
      const id = 'id' in given ? { id: last.get(on) ?? null } : {};
      const came = await on.call({ operation, arguments: { ...given, ...id } });
      if (came.ok) last.set(on, (came.answer as JsonObject | null)?.['id'] ?? null);
      return came;
    };
    for (const [operation, given] of calls) {
      const [mine, theirs] = [await outcome(memory, operation, given), await outcome(stage, operation, given)];
      const shown = `${operation} ${JSON.stringify(given)}: ${JSON.stringify(theirs)}`;
      assert.equal(theirs.ok, mine.ok, shown);
      if (mine.ok || theirs.ok) continue;
      assert.equal(theirs.error, 'conflict', shown);
      refused.push(theirs.message);
    }
    const said = (code: string): string =>
      `BEDS_STORE_CONFLICT: ${message.replace('{room}', '7').replace('{code}', code)}`;
    assert.deepEqual(refused, [said("A'1"), said("A'1"), said("A'1"), said("A'1"), said('B'), said('C')]);
  });

  it('takes the moment of the call for one that is not before it, and asks that of new records only', async (t) => {
    const specification = specificationOf(
      JSON.stringify({
        ...{ beds: 1, domain: 'joins', description: 'Members.', store: 'main', zone: 'UTC' },
        records: [
          {
            ...{ name: 'member', description: 'A member', key: 'auto', operations: ['create', 'update'] },
            fields: [
              { name: 'name', description: 'Name', type: 'text' },
              {
                ...{ name: 'joined_at', description: 'Since when', type: 'timestamp', default: '@now', min: '@now' },
                write_once: true,
              },
            ],
          },
        ],
        ...{ examples: [], assumptions: [], questions: [] },
      }),
    );
    const stage = await generatedStage(t, { services, specification });
    for (let count = 0; count < 60; count += 1) {
      const made = await stage.call({ operation: 'create', arguments: { name: 'ann' } });
      assert.ok(made.ok, JSON.stringify(made));
      const { id = null } = made.answer as JsonObject;
      const changed = await stage.call({ operation: 'update', arguments: { id, name: 'bea' } });
      assert.ok(changed.ok, JSON.stringify(changed));
    }
    const early = new Date(Date.now() - 60_000).toISOString();
    const refused = await stage.call({ operation: 'create', arguments: { name: 'carl', joined_at: early } });
    assert.ok(!refused.ok && refused.error === 'invalid', JSON.stringify(refused));
  });
});
