import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import { type AuditRecord, BEGINNING, ChainCheck, hashOf, type Place } from './chain.js';
import template from './template.js';

const ENTRY = {
  ...{ id: 'r1', order_id: 'o1', step: 'asked', at: 1_000, node: 'admin-1', user_id: 'u1', user_name: 'Ann' },
  ...{ source: 'ann@laptop', op: 'rollback', target: 'cities', outcome: 'ok', words: '' },
};

/** So many records, each linked to the one before. */
function chain(count: number): AuditRecord[] {
  const records: AuditRecord[] = [];
  let last = BEGINNING;
  for (let seq = 1; seq <= count; seq += 1) {
    const linked = { ...ENTRY, seq, id: `r${seq}`, previous: last.hash };
    const hash = hashOf(linked);
    records.push({ ...linked, hash });
    last = { seq, hash };
  }
  return records;
}

function problemsOf(records: readonly AuditRecord[], noted?: Place): readonly string[] {
  const check = new ChainCheck();
  for (const record of records) check.add(record);
  check.end(noted ?? check.last);
  return check.breaks.map(({ words }) => words);
}

describe('the chain of the audit', () => {
  it('is whole where nothing was touched', () => {
    assert.deepEqual(problemsOf(chain(5)), []);
    assert.deepEqual(problemsOf([]), []);
  });

  it('shows every field that was changed', () => {
    const [first] = chain(1);
    assert.ok(first !== undefined);
    for (const name of Object.keys(ENTRY) as (keyof typeof ENTRY)[]) {
      const other: object = name === 'at' ? { at: first.at + 1 } : { [name]: `${first[name]}x` };
      assert.deepEqual(problemsOf([{ ...first, ...other }]), ['Record 1 was changed.'], name);
    }
  });

  it('shows a record that was changed with its hash, removed, inserted or moved', () => {
    const records = chain(5);
    const [, , third] = records;
    assert.ok(third !== undefined);
    const changed = { ...third, words: 'nothing to see' };
    const rehashed = { ...changed, hash: hashOf(changed) };
    assert.deepEqual(problemsOf(records.with(2, rehashed)), [
      'Record 4 does not follow from record 3: one of them was changed or inserted.',
    ]);
    assert.match(problemsOf(records.toSpliced(2, 1))[0] ?? '', /^Record 3 is missing/);
    assert.match(problemsOf(records.toSpliced(1, 3))[0] ?? '', /^Records 2 to 4 are missing/);
    assert.match(problemsOf(records.toSpliced(2, 0, third))[0] ?? '', /^There are two records 3/);
    const last = { seq: 5, hash: records[4]?.hash ?? '' };
    assert.match(problemsOf(records.slice(0, 4), last)[0] ?? '', /^The last record is 4; the store knows of 5/);
  });
});

describe('audit', () => {
  it('is written by hosts alone', async () => {
    const audit = testDomain(template, { user: { id: 'u1', roles: ['operator', 'dba'], session: 's' } });
    await assert.rejects(audit.append(ENTRY), { code: 'BEDS_REQUEST_FORBIDDEN' });
  });
});
