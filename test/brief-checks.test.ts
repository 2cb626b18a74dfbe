import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CheckedSpecification, checkSpecification, playExample, SEATS, simulate } from '#sdk/spec';
import { BRIEFS, callersOf, playChecks, readChecks } from './support/brief-checks.js';
import { startDomainStage } from './support/domain-stage.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);

function specificationOf(brief: string): CheckedSpecification {
  const { checked } = checkSpecification(JSON.parse(readFileSync(join(BRIEFS, `${brief}.json`), 'utf8')));
  assert.ok(checked);
  return checked;
}

describe('a domain in memory', () => {
  const briefs = readdirSync(BRIEFS).filter((name) => name.endsWith('.binding.json'));

  it('is made of each of the twelve briefs', () => {
    assert.equal(briefs.length, 12);
  });

  for (const brief of briefs.map((name) => name.replace('.binding.json', ''))) {
    it(`keeps what brief ${brief} asks for`, async () => {
      const specification = specificationOf(brief);
      assert.deepEqual(
        await playChecks({ specification, stage: simulate(specification), checks: readChecks(brief) }),
        [],
      );
    });
  }
});

describe('the checks of a brief', { timeout: 180_000 }, () => {
  it('hold for a schema and a template that were written by hand, and say what does not', async (t) => {
    const brief = '04-parking';
    const [specification, checks] = [specificationOf(brief), readChecks(brief)];
    const stage = await startDomainStage(t, {
      ...{ services, specification, kind: 'mysql', folder: 'test/fixtures/plugins' },
      callers: callersOf(checks),
    });
    assert.deepEqual(await playChecks({ specification, stage, checks }), []);

    // A schema that counts wrongly lets in who must not be, one after the other and at once.
    const [rows] = (await stage.dba?.query('SHOW CREATE PROCEDURE enter')) as unknown as [Record<string, string>[]];
    const [made = ''] = rows.map((row) => row['Create Procedure']);
    assert.match(made, />= v_public/);
    const [accounts] = (await stage.dba?.query(
      `SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) AS account FROM mysql.procs_priv WHERE Db = DATABASE() AND Routine_name = 'enter'`,
    )) as unknown as [{ readonly account: string }[]];
    await stage.dba?.query('DROP PROCEDURE enter');
    await stage.dba?.query(made.replace('>= v_public', '> v_public + 1'));
    for (const { account } of accounts) await stage.dba?.query(`GRANT EXECUTE ON PROCEDURE enter TO ${account}`);
    await stage.empty();
    const failures = await playChecks({ specification, stage, checks });
    assert.match(failures.join('\n'), /^p04\.2 \(full; the same plate twice\), step 1: succeeds/m);
    assert.match(failures.join('\n'), /^p04\.5 \(two cars, one place\), step 1: round \d+: \{"ok":2\} where/m);
  });
});

describe('the examples of a specification', { timeout: 180_000 }, () => {
  it('are played on a host with MongoDB, time and all, and say what came out otherwise', async (t) => {
    const { checked: specification } = checkSpecification(JSON.parse(SEATS));
    assert.ok(specification);
    const stage = await startDomainStage(t, {
      services,
      specification,
      kind: 'mongodb',
      folder: 'test/fixtures/plugins',
    });
    const { examples = [] } = specification.source;
    assert.equal(examples.length, 2);
    for (const example of examples) {
      await stage.empty();
      assert.deepEqual(await playExample(specification, example, stage), []);
      await stage.empty();
      const { pass: _, ...turned } = { ...example, expect: { outcome: 'ok' } as const };
      const wrong = await playExample(specification, turned, stage);
      // Without the time that passes what is held can be sold.
      if (example.pass === undefined) assert.match(wrong.join(), /hold is refused \(conflict: /);
      else assert.deepEqual(wrong, []);
    }
  });
});
