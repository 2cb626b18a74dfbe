import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { type Hops, leastHops, startTracedHost } from './support/hop-trace.js';
import { startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/**
 * How far the code of one request lies apart, for whoever reads it. Counted are all files of the host, and every function that is
 * entered there from the message until its acknowledgement. Requests before it have warmed everything up that is done once.
 */
const BOUNDS = { fetch: { files: 20, hops: 45 }, create: { files: 22, hops: 60 } } as const;
const ROUNDS = 5;

describe('the way of one request through a broker thread', () => {
  it('crosses few files', async (t) => {
    const host = await startTestHost(t, { services, config: { threads: { default: { count: 1 } } }, isStarted: false });
    await writeBundle(host.pluginsDirectory, notesBundle());
    const traced = await startTracedHost(t, host);
    const notes = (await host.connectClient()).domain('notes');
    const requests = {
      fetch: () => notes.fetch({ where: { text: 'one' } }),
      create: () => notes.create({ text: 'one' }),
    };
    for (const request of Object.values(requests)) for (let n = 0; n < 3; n += 1) await request();
    for (const [name, request] of Object.entries(requests)) {
      const ways: Hops[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const threads = [...(await traced.during(request)).values()];
        ways.push(...threads.filter(({ files }) => files.includes('request/request-path.js')));
      }
      const { files, hops, calls, way } = leastHops(ways);
      if (process.env['BEDS_HOPS_WAY'] !== undefined) t.diagnostic(way.join('\n'));
      t.diagnostic(`${name}: ${String(files.length)} files, ${String(hops)} hops, ${String(calls)} calls`);
      const most = BOUNDS[name as keyof typeof BOUNDS];
      assert.ok(files.length <= most.files && hops <= most.hops, `${name} takes this way:\n${way.join('\n')}`);
    }
  });
});
