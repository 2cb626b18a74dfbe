import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeBundle } from './support/bundles.js';
import { type Course, type Hops, leastHops, startTracedHost } from './support/hop-trace.js';
import { eventually, startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

/**
 * How far the code of one swap lies apart, for whoever reads it: from the first look at a drop until the version before it is
 * gone. Counted is every function of the host that the supervisor enters, its stores and its looks at the directory included.
 * They may only become fewer.
 */
const BOUNDS = { files: 41, hops: 182 } as const;
const ROUNDS = 3;
/** What a busy machine makes of it in passing, such as a try more, is not in all of these. */
const MOST_ROUNDS = 9;
const LOOKS = 'deploy/sources/plugin-directory.js ';
const FOUND = 'deploy/deploy-controller.js complete';

/** A look at the directory that found nothing, or what asked for one: how many of them there are is up to the machine. */
function isIdleLook({ isOfTimer, way }: Course): boolean {
  return isOfTimer && way[0]?.startsWith(LOOKS) === true && !way.includes(FOUND);
}

describe('the way of a drop through the supervisor', () => {
  it('crosses few files', async (t) => {
    const host = await startTestHost(t, { services, config: { threads: { default: { count: 1 } } } });
    await writeBundle(host.pluginsDirectory, notesBundle({ version: '1.0.0' }));
    await host.active('notes', '1.0.0');
    await host.host.stop();
    const traced = await startTracedHost(t, host);
    const notes = (await host.connectClient()).domain('notes');
    const ways: Hops[] = [];
    const isShort = (): boolean => {
      const { files, hops } = leastHops(ways);
      return files.length <= BOUNDS.files && hops <= BOUNDS.hops;
    };
    for (let round = 1; round <= ROUNDS || (round <= MOST_ROUNDS && !isShort()); round += 1) {
      const version = `1.${String(round)}.0`;
      const threads = await traced.during(async () => {
        await writeBundle(host.pluginsDirectory, notesBundle({ version }));
        await eventually('it serves', async () => (await notes.call('version', {})) === version);
      }, isIdleLook);
      const supervisor = threads.get(0);
      if (supervisor !== undefined) ways.push(supervisor);
    }
    const { files, hops, calls, way } = leastHops(ways);
    if (process.env['BEDS_HOPS_WAY'] !== undefined) t.diagnostic(way.join('\n'));
    t.diagnostic(`swap: ${String(files.length)} files, ${String(hops)} hops, ${String(calls)} calls`);
    assert.ok(isShort(), `it takes this way:\n${way.join('\n')}`);
  });
});
