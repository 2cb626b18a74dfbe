import { FIGURES } from '../context/contender.js';
import { startBedsContender } from '../context/echo-contenders.js';
import { startHostUnderTest } from '../context/host-under-test.js';
import { makeMysqlStore } from '../context/stores.js';
import type { Row, Scenario, Target } from '../contract.js';
import { pairOf, takeTurns, toRow, warmUp } from '../measure/rounds.js';

const IN_FLIGHT = [1, 500] as const;
const WARM_UP_SLICES = 3;
const [CHECKED, UNCHECKED] = ['BEDS, with a session', 'BEDS, without one'] as const;
/** What is promised of a checked request while its session is kept. */
const TARGETS: Readonly<Partial<Record<keyof typeof FIGURES, Target>>> = {
  rate: { ratioAtLeast: 0.95 },
  p50: { ratioAtMost: 1.05 },
};

/** What it costs to know who asks, and whether that user may. */
export const accessScenario: Scenario = {
  name: 'access',
  description: 'an echo for who is signed in, in a role that may call it, against the same one for anyone',
  need: ['rabbitmq', 'mariadb'],
  timeLimitMs: 120_000,
  run: async (context) => {
    const main = await makeMysqlStore(context);
    const host = await startHostUnderTest(context, {
      domains: ['echo', 'sessions'],
      stores: { main: { kind: 'mysql', url: main.runtimeUrl } },
      poolSize: 16,
    });
    const contenders = [
      await startBedsContender(context, { title: CHECKED, kind: 'session', hosts: [host] }),
      await startBedsContender(context, { title: UNCHECKED, kind: 'default', hosts: [host] }),
    ];
    const rows: Row[] = [];
    for (const inFlight of IN_FLIGHT) {
      context.say(`${inFlight} in flight`);
      const each = new Map(contenders.map((contender) => [contender.title, contender.with(inFlight)]));
      await warmUp(each, context, WARM_UP_SLICES);
      const rounds = pairOf(await takeTurns(each, context), CHECKED, UNCHECKED);
      const names = { scenario: 'access', case: `${String(inFlight)} in flight`, subject: CHECKED, against: UNCHECKED };
      for (const [name, figure] of Object.entries(FIGURES)) {
        const target = TARGETS[name as keyof typeof FIGURES];
        rows.push(toRow(rounds, { ...names, ...figure, ...(target !== undefined && { target }) }));
      }
    }
    return rows;
  },
};
