import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { generateMongodb } from '#sdk/generate';
import { checkSpecification, LEDGER, SEATS, type Specification } from '#sdk/spec';
import { nativeOf, parseEntry } from '../host/stores/mongodb/catalogue.js';
import { filesOf, specificationOf } from './support/generated-domain.js';

const GOLDEN = 'test/fixtures/generated/mongodb';

type Entry = Readonly<Record<string, unknown>> & { readonly _id: string; readonly body: unknown };

function entriesOf(text: string): readonly Entry[] {
  const files = Object.entries(filesOf(specificationOf(text), 'mongodb'));
  return files.filter(([name]) => /^db\/[278]/.test(name)).map(([, content]) => JSON.parse(content) as Entry);
}

/** What is wrong with the operations of a domain, on such a server. */
function problemsOf(
  text: string,
  server: { readonly transactions: boolean; readonly rules?: unknown },
): readonly string[] {
  const entries = entriesOf(text);
  const rules = new Map(
    entries.filter(({ kind }) => kind === 'rules').map(({ _id, body }) => [_id, server.rules ?? body]),
  );
  const known = { views: new Set<string>(), may: () => true, transactions: server.transactions, rules };
  return entries
    .filter(({ kind }) => kind !== 'rules')
    .flatMap((entry) => nativeOf(parseEntry(entry, known)).problems.map((problem) => `${entry._id}: ${problem}`));
}

function refusedOf(change: (specification: Specification) => unknown): readonly string[] {
  const { checked, problems } = checkSpecification(change(JSON.parse(SEATS) as Specification));
  assert.ok(checked, JSON.stringify(problems));
  return (generateMongodb(checked).refused ?? []).map(({ path, construct }) => `${path}: ${construct}`);
}

describe('the generator for MongoDB', () => {
  for (const [name, text] of Object.entries({ seats: SEATS, ledger: LEDGER })) {
    it(`makes of ${name} what is kept in ${GOLDEN}/${name}, byte for byte`, () => {
      const files = filesOf(specificationOf(text), 'mongodb');
      const folder = join(GOLDEN, name);
      if (process.env['BEDS_WRITE_GOLDEN'] === '1') {
        rmSync(folder, { recursive: true, force: true });
        for (const [file, content] of Object.entries(files)) {
          mkdirSync(dirname(join(folder, file)), { recursive: true });
          writeFileSync(join(folder, file), content);
        }
      }
      const kept = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
      assert.deepEqual(kept.toSorted(), Object.keys(files).toSorted());
      for (const file of kept) assert.equal(files[file], readFileSync(join(folder, file), 'utf8'), file);
    });
  }

  it('makes entries that the catalogue takes, with transactions all of them, without those of one document', () => {
    assert.deepEqual(problemsOf(SEATS, { transactions: true }), []);
    assert.deepEqual(problemsOf(SEATS, { transactions: false }), []);
    assert.deepEqual(problemsOf(LEDGER, { transactions: true }), []);
    const refused = problemsOf(LEDGER, { transactions: false });
    assert.deepEqual(
      refused.map((problem) => problem.split(':')[0]),
      ['ledger_create', 'ledger_post', 'ledger_reverse'],
    );
    assert.match(refused[1] ?? '', /post takes the next number of entry from a counter.*it needs a replica set$/);
  });

  it('is refused by the catalogue where its rules are none', () => {
    assert.match(problemsOf(SEATS, { transactions: true, rules: { beds: 1 } })[0] ?? '', /the rules have problems/);
    assert.match(problemsOf(SEATS, { transactions: true, rules: JSON.parse(LEDGER) })[0] ?? '', /have no operation/);
  });

  it('names what it does not make', () => {
    const refused = refusedOf((specification) => {
      const [event, ...others] = specification.records;
      return { ...specification, records: [{ ...event, soft_delete: true }, ...others] };
    });
    assert.deepEqual(refused, [
      'records.event.soft_delete: soft_delete of a record that is named by its own fields: its name would stay taken',
    ]);
  });
});
