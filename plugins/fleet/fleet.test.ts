import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import template from './template.js';

describe('fleet', () => {
  it('is worked with by hosts alone, whatever roles a user has', async () => {
    const fleet = testDomain(template, { user: { id: 'u1', roles: ['operator', 'dba'], session: 's' } });
    const forbidden = { code: 'BEDS_REQUEST_FORBIDDEN' };
    const hash = 'a'.repeat(64);
    await assert.rejects(fleet.state({}), forbidden);
    await assert.rejects(fleet.set({ revision: 0, content: '{}' }), forbidden);
    await assert.rejects(fleet.report({ node: 'n', at: 1, report: '{}' }), forbidden);
    await assert.rejects(fleet.leave({ node: 'n' }), forbidden);
    await assert.rejects(fleet.keep({ hash, part: 0, parts: 1, at: 1, content: '' }), forbidden);
    await assert.rejects(fleet.part({ hash, part: 0 }), forbidden);
    await assert.rejects(fleet.drop({ hash }), forbidden);
  });
});
