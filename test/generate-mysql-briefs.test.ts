import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { JsonObject } from '@beds/sdk';
import { LEDGER, playExample, SEATS, simulate } from '#sdk/spec';
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
        records: ['thing', 'tool'].map((name) => ({
          ...{ name, description: `A ${name}`, key: ['code'], fields, operations: all },
        })),
        ...{ examples: [], assumptions: [], questions: [] },
      }),
    );
    const stage = await generatedStage(t, { services, specification });
    const memory = simulate(specification);
    const made = { code: 'ab1', title: 'One', remark: 'new' };
    const calls: readonly (readonly [string, JsonObject])[] = [
      ...[...all, 'tool_create', 'tool_update', 'tool_delete'].flatMap(
        (operation): (readonly [string, JsonObject])[] => {
          const fetch: readonly [string, JsonObject] = ['tool_fetch', { code: 'Ab1' }];
          if (operation.endsWith('create')) return [[operation, made], fetch];
          if (operation.endsWith('delete')) return [[operation, { code: 'aB1' }], fetch];
          const update = (values: JsonObject): readonly [string, JsonObject] => [operation, { code: 'aB1', ...values }];
          return [update({ title: null }), update({ title: 'Two', remark: null }), fetch];
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
      if (mine.error === 'invalid') assert.match(theirs.message, /(?:^|: )Is missing\.$/, shown);
    }
  });
});
