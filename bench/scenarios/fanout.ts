import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Child } from '../context/child.js';
import { startHostUnderTest } from '../context/host-under-test.js';
import { FANOUT_KEYS, nextKeys } from '../context/records.js';
import { makeMongodbStore, makeMysqlStore } from '../context/stores.js';
import type { BenchContext, Scenario, Row, Sample } from '../contract.js';
import { closedLoop } from '../measure/load.js';
import { interleave, type Pair, toRow } from '../measure/rounds.js';
import type { BareStoreOptions, BareStoreSlice } from '../processes/bare-store.js';

const POOL_SIZE = 16;
const IN_FLIGHT = [1, 10] as const;
const CALLS = FANOUT_KEYS * 2;

interface Sides {
  readonly ask: () => Promise<unknown>;
  readonly bare: Child;
}

/** One request that calls both databases many times at once. */
export const fanoutScenario: Scenario = {
  name: 'fanout',
  description: `one request with ${String(CALLS)} calls over both databases, against the same calls by the bare drivers`,
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  timeLimitMs: 120_000,
  run: async (context) => {
    const { ask, bare } = await prepare(context);
    const rows: Row[] = [];
    for (const inFlight of IN_FLIGHT) {
      context.say(`${CALLS} calls in a request, ${inFlight} in flight`);
      const pair: Pair<Sample> = {
        subject: (durationMs) => closedLoop(ask, { inFlight, durationMs }),
        against: (durationMs) =>
          bare.call<Sample>('run', { operation: 'fanout', inFlight, durationMs } satisfies BareStoreSlice),
      };
      const rounds = await interleave(pair, context);
      const names = { scenario: 'fanout', case: `${CALLS} calls, ${inFlight} in flight` };
      const sides = { subject: 'BEDS, one request', against: 'bare mysql2 and mongodb' };
      const p50 = { unit: 'ms p50', of: (sample: Sample): number => sample.p50Ms };
      const p99 = { unit: 'ms p99', of: (sample: Sample): number => sample.p99Ms };
      rows.push(toRow(rounds, { ...names, ...sides, ...p50, target: { ratioAtMost: 1.2 } }));
      rows.push(toRow(rounds, { ...names, ...sides, ...p99 }));
    }
    return rows;
  },
};

async function prepare(context: BenchContext): Promise<Sides> {
  const main = await makeMysqlStore(context);
  const documents = await makeMongodbStore(context);
  const { client } = await startHostUnderTest(context, {
    domains: ['fanout', 'documents'],
    stores: {
      main: { kind: 'mysql', url: main.runtimeUrl },
      documents: { kind: 'mongodb', url: documents.runtimeUrl },
    },
    poolSize: POOL_SIZE,
  });
  const bare = new Child({ program: 'bare-store', logFile: join(context.folder, 'bare-store.log') });
  context.atEnd(() => bare.stop());
  const urls = { mysqlUrl: main.runtimeUrl, mongodbUrl: documents.runtimeUrl };
  await bare.call('start', { ...urls, poolSize: POOL_SIZE } satisfies BareStoreOptions);
  let counter = 0;
  const domain = client.domain('fanout');
  const ask = (): Promise<unknown> => {
    counter += 1;
    return domain.call('both', { keys: [...nextKeys(counter)] });
  };
  // A fast wrong answer must not win.
  assert.deepEqual(await ask(), { found: CALLS }, 'every record is found');
  return { ask, bare };
}
