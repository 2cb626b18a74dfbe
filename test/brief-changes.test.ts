import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { type CheckedSpecification, checkSpecification, simulate, type Specification } from '#sdk/spec';
import { BRIEF_CHANGES } from './support/brief-changes.js';
import { BRIEFS, callersOf, keptOf, onceOf, playChecks, type PlayOptions, readChecks } from './support/brief-checks.js';
import { nextOf, writeDomain } from './support/changing-domain.js';
import { startDomainStage } from './support/domain-stage.js';
import { lastFirst, sharedServices } from './support/services.js';
import { teachTimeZone } from '../host/dba/time-zones.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const { mariadb } = services;
assert.ok(mariadb);

function checkedOf(specification: Specification): CheckedSpecification {
  const { checked, problems } = checkSpecification(specification);
  assert.ok(checked, JSON.stringify(problems, undefined, 1));
  return checked;
}

const ALL = ['works', 'reads', 'forbidden', 'race', 'change'] as const;

describe('the change that a brief asks for', { timeout: 900_000 }, () => {
  for (const [brief, { change, calls }] of Object.entries(BRIEF_CHANGES)) {
    const before = JSON.parse(readFileSync(join(BRIEFS, `${brief}.json`), 'utf8')) as Specification;
    const next = nextOf(before, change);
    const checks = readChecks(brief);

    it(`of ${brief} does what it says in memory, and what was there goes on`, async () => {
      const specification = checkedOf(next);
      const stage = simulate(specification);
      assert.deepEqual(
        await playChecks({ specification, stage, checks, kinds: ALL, become: () => ({ specification, calls }) }),
        [],
      );
    });

    it(`of ${brief} reaches a database with rows, whose callers of the version before go on`, async (t) => {
      const folder = join('dist', `brief-${brief}-${String(process.pid)}`);
      lastFirst(t, () => {
        rmSync(folder, { recursive: true, force: true });
      });
      const dba = await mysql.createConnection(mariadb.url);
      await teachTimeZone(dba, before.zone);
      await dba.end();
      const specification = writeDomain(folder, before);
      const stage = await startDomainStage(t, {
        services,
        specification,
        folder,
        kind: 'mysql',
        callers: callersOf(checks),
        mayBreak: true,
      });
      const keeps = async (who: string): Promise<void> => {
        await stage.empty();
        stage.speak(specification);
        assert.deepEqual(await playChecks({ specification, stage, checks: keptOf(checks), kinds: ALL }), [], who);
      };
      const become: PlayOptions['become'] = () => {
        const after = checkedOf(next);
        stage.speak(after);
        return { specification: after, calls };
      };
      const wrong = await playChecks({
        ...{ specification, stage, checks, kinds: ALL, become },
        afterGiven: async () => {
          const after = writeDomain(folder, next);
          await stage.expand();
          await stage.keep();
          await keeps('the version before, beside which the database was expanded');
          await stage.putBack();
          await stage.deploy(after);
        },
      });
      assert.deepEqual(wrong, []);
      await keeps('a caller of the version before, answered by the new one');
      await stage.contract();
      await keeps('a caller of the version before, behind the contract');
      await stage.empty();
      const contracted = await playChecks({
        ...{ specification, stage, checks: onceOf(checks), kinds: ALL, become },
      });
      assert.deepEqual(contracted, [], 'behind the contract');
    });
  }

  it('is asked for by each of the twelve', () => {
    const briefs = readdirSync(BRIEFS).filter((name) => name.endsWith('.checks.json'));
    assert.deepEqual(
      Object.keys(BRIEF_CHANGES).toSorted(),
      briefs.map((name) => name.replace('.checks.json', '')),
    );
  });
});
