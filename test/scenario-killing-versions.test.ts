import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BundleOptions } from './support/bundles.js';
import { eventually } from './support/host.js';
import { codeOf, type Harm, HOG, loseHost, read, TEST_MS } from './support/lives.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const HARMS: Readonly<Record<string, { readonly bundle: BundleOptions; readonly ask?: Harm['ask'] }>> = {
  'while it loads': { bundle: { head: HOG } },
  'in its self-test': { bundle: { body: { selfTest: HOG } } },
  'in setup': { bundle: { body: { setup: HOG } } },
  'in a timer after its request was answered': {
    bundle: { operations: { late: { mode: 'read', run: `setTimeout(() => { ${HOG} }, 700); return 'set';` } } },
    ask: async (client) => assert.equal(await read(client, 'late'), 'set'),
  },
};

describe('a version that ends the whole host without a request', () => {
  for (const [where, { bundle, ask }] of Object.entries(HARMS)) {
    it(`is found when it does so ${where}, and ends no other host`, { timeout: TEST_MS }, async (t) => {
      const { client, next, oom } = await loseHost(t, services, {
        bundle: notesBundle({ version: '1.1.0', ...bundle }),
        ...(ask === undefined ? {} : { ask }),
      });
      const second = next();
      await second.serving;
      if (ask !== undefined) await ask(client);
      await second.logged('it is in quarantine', ({ msg }) => msg === 'notes 1.1.0 quarantined');
      await eventually(
        'the one before serves',
        async () => (await codeOf(read(client, 'version'))) === 'answered "1.0.0"',
      );
      assert.equal(await codeOf(read(client, 'version', 'tasks')), 'answered "1.0.0"');
      assert.ok(!oom.killed.includes(second.pid));
      await second.kill();
      const third = next();
      await third.serving;
      assert.equal(await codeOf(read(client, 'version')), 'answered "1.0.0"');
    });
  }
});
