import { compareStores, startStoreContenders, type StoreCase, type StorePair } from '../context/store-contenders.js';
import { MANY_KEYS } from '../context/records.js';
import type { Row, Scenario } from '../contract.js';

function reads(inFlight: number, promised: StorePair['promised'] & object): StoreCase {
  return {
    title: `${String(MANY_KEYS)} reads in a request, mariadb`,
    operation: 'many',
    inFlight,
    pairs: [
      { subject: 'default', against: 'bridge', promised },
      { subject: 'default', against: 'loader' },
      { subject: 'default', against: 'moleculer' },
      { subject: 'default', against: 'bare' },
    ],
  };
}

function readsOfBoth(inFlight: number): StoreCase {
  return {
    title: `${String(MANY_KEYS)} reads in a request, half of them mongodb`,
    operation: 'both',
    inFlight,
    pairs: [
      { subject: 'default', against: 'bridge' },
      { subject: 'default', against: 'bare', promised: { p50: { ratioAtMost: 1.2 } } },
    ],
  };
}

const CASES: readonly StoreCase[] = [
  reads(1, { rate: { ratioAtLeast: 2.5 }, cpu: { ratioAtMost: 0.4 } }),
  reads(10, { rate: { ratioAtLeast: 3 }, cpu: { ratioAtMost: 0.25 } }),
  readsOfBoth(1),
  readsOfBoth(10),
];

/** One request that reads many times at once. */
export const fanoutScenario: Scenario = {
  name: 'fanout',
  description: `one request with ${String(MANY_KEYS)} reads, against the same reads by bridges by hand, Moleculer and the bare drivers`,
  need: ['rabbitmq', 'mariadb', 'mongodb'],
  timeLimitMs: 180_000,
  run: async (context) => {
    const contenders = await startStoreContenders(context, ['default', 'bridge', 'loader', 'moleculer', 'bare']);
    const rows: Row[] = [];
    for (const each of CASES) {
      rows.push(...(await compareStores(context, contenders, { scenario: 'fanout', ...each })));
    }
    return rows;
  },
};
