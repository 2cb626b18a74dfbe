import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Child } from '../bed/child.js';
import { startHostUnderTest } from '../bed/host-under-test.js';
import { makeMongodbStore } from '../bed/mongodb-store.js';
import { makeMysqlStore } from '../bed/mysql-store.js';
import { FANOUT_KEYS, nextKeys } from '../bed/records.js';
import type { Bed, Question, Row, Sample } from '../contract.js';
import { closedLoop } from '../measure/closed-loop.js';
import { interleave, type Pair } from '../measure/interleave.js';
import { toRow } from '../measure/to-row.js';
import type { BareFanoutOptions } from '../processes/bare-fanout.js';

const POOL_SIZE = 16;
const IN_FLIGHT = [1, 10] as const;
const CALLS = FANOUT_KEYS * 2;

interface Sides {
  readonly ask: () => Promise<unknown>;
  readonly bare: Child;
}

/** One request that calls both databases many times at once. */
export const fanoutQuestion: Question = {
  name: 'fanout',
  words: `one request with ${String(CALLS)} calls over both databases, against the same calls by the bare drivers`,
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  longestMs: 120_000,
  run: async (bed) => {
    const { ask, bare } = await prepare(bed);
    const rows: Row[] = [];
    for (const inFlight of IN_FLIGHT) {
      bed.say(`${CALLS} calls in a request, ${inFlight} in flight`);
      const pair: Pair<Sample> = {
        subject: (durationMs) => closedLoop(ask, { inFlight, durationMs }),
        against: (durationMs) => bare.call<Sample>('run', { inFlight, durationMs }),
      };
      const rounds = await interleave(pair, bed);
      const names = { question: 'fanout', case: `${CALLS} calls, ${inFlight} in flight` };
      const sides = { subject: 'BEDS, one request', against: 'bare mysql2 and mongodb' };
      const p50 = { unit: 'ms p50', of: (sample: Sample): number => sample.p50Ms };
      const p99 = { unit: 'ms p99', of: (sample: Sample): number => sample.p99Ms };
      rows.push(toRow(rounds, { ...names, ...sides, ...p50, target: { ratioAtMost: 1.2 } }));
      rows.push(toRow(rounds, { ...names, ...sides, ...p99 }));
    }
    return rows;
  },
};

async function prepare(bed: Bed): Promise<Sides> {
  const main = await makeMysqlStore(bed);
  const documents = await makeMongodbStore(bed);
  const { client } = await startHostUnderTest(bed, {
    domains: ['fanout', 'documents'],
    stores: {
      main: { kind: 'mysql', url: main.runtimeUrl },
      documents: { kind: 'mongodb', url: documents.runtimeUrl },
    },
    poolSize: POOL_SIZE,
  });
  const bare = new Child({ program: 'bare-fanout', logFile: join(bed.folder, 'bare-fanout.log') });
  bed.atEnd(() => bare.stop());
  const options: BareFanoutOptions = {
    mysql: { url: main.runtimeUrl, poolSize: POOL_SIZE },
    mongodb: { url: documents.runtimeUrl, poolSize: POOL_SIZE },
  };
  await bare.call('start', options);
  let counter = 0;
  const domain = client.domain('fanout');
  const ask = (): Promise<unknown> => {
    counter += 1;
    return domain.call('both', { keys: [...nextKeys(counter)] }, { mode: 'read' });
  };
  // A fast wrong answer must not win.
  assert.deepEqual(await ask(), { found: CALLS }, 'every record is found');
  return { ask, bare };
}
