import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LEDGER, playExample, SEATS } from '#sdk/spec';
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
});
