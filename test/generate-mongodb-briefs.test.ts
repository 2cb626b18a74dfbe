import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LEDGER, playExample, SEATS } from '#sdk/spec';
import { BRIEFS, callersOf, playChecks, readChecks } from './support/brief-checks.js';
import { generatedStage, specificationOf } from './support/generated-domain.js';
import { sharedServices, wholeFile } from './support/services.js';
import { TransactingMongodb } from './support/transacting-mongodb.js';

const services = await sharedServices(['rabbitmq', 'mongodb']);
const { mongodb } = services;
assert.ok(mongodb);
/** n.b. the server in place of MongoDB has no transactions: they are played before it, one after the other. */
const transacting = await TransactingMongodb.start(wholeFile, mongodb.url);
const withTransactions = { ...services, mongodb: { ...mongodb, url: transacting.url } };

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
      }
    });
  }

  for (const brief of briefs) {
    it(`keeps all checks of the brief ${brief}, one at a time and two at once`, async (t) => {
      const specification = specificationOf(readFileSync(join(BRIEFS, `${brief}.json`), 'utf8'));
      const checks = readChecks(brief);
      const callers = callersOf(checks);
      const stage = await generatedStage(t, { services: withTransactions, specification, callers, kind: 'mongodb' });
      assert.deepEqual(await playChecks({ specification, stage, checks }), []);
    });
  }
});
