import { type ContenderSample, FIGURES, type ProcessContender } from '../context/contender.js';
import { BARE, BEDS_TITLES, PROMISED, startEchoContenders } from '../context/echo-contenders.js';
import type { Scenario, Row, Target } from '../contract.js';
import { pairOf, takeTurns, toRow, type Turns, warmUp } from '../measure/rounds.js';

const IN_FLIGHT = [1, 50, 500, 2_000] as const;
/** With one in flight the compiler of V8 would see too few operations to get ready. */
const WARM_UP_IN_FLIGHT = 500;
const WARM_UP_SLICES = 3;

type FigureName = keyof typeof FIGURES;
type Targets = Readonly<Partial<Record<FigureName, Target>>>;

interface Comparison {
  readonly inFlight: number;
  readonly subject: string;
  readonly against: string;
}

/** What the whole host adds to an echo (gate, decode, dispatch, template, reply, acknowledge), and what others add. */
export const echoScenario: Scenario = {
  name: 'echo',
  description: 'an echo through the whole host, against a bare amqplib server, Moleculer, NestJS and rabbitmq-client',
  need: ['rabbitmq', 'mariadb'],
  timeLimitMs: 420_000,
  run: async (context) => {
    const contenders = await startEchoContenders(context);
    const peers = contenders
      .map(({ title }) => title)
      .filter((title) => !isBeds(title) && title !== BARE && title !== PROMISED);
    context.say('everybody warms up');
    const busy = new Map(contenders.map((each) => [each.title, each.with(WARM_UP_IN_FLIGHT)]));
    await warmUp(busy, context, WARM_UP_SLICES);
    const rows: Row[] = [];
    for (const inFlight of IN_FLIGHT) {
      context.say(`${contenders.length} contenders, ${inFlight} in flight`);
      const turns = await takeTurns(new Map(contenders.map((each) => [each.title, each.with(inFlight)])), context);
      rows.push(...compare(turns, inFlight, peers));
    }
    return rows;
  },
};

function isBeds(title: ProcessContender['title']): boolean {
  return Object.values(BEDS_TITLES).includes(title);
}

/**
 * The plain caller asks the host and the bare server alike, so that only what answers differs. The peers bring clients of
 * their own, and are compared with BEDS' own client.
 */
function compare(turns: Turns<ContenderSample>, inFlight: number, peers: readonly string[]): readonly Row[] {
  const pairs = [
    [BEDS_TITLES.plain, BARE],
    [BEDS_TITLES.plain, PROMISED],
    [BEDS_TITLES.default, PROMISED],
    [PROMISED, BARE],
    ...[BEDS_TITLES.unbatched, BEDS_TITLES.default].flatMap((subject) =>
      [BARE, ...peers].map((against) => [subject, against] as const),
    ),
    ...peers.map((peer) => [peer, BARE] as const),
  ] as const;
  return pairs.flatMap(([subject, against]) => toRows(turns, { inFlight, subject, against }));
}

function toRows(turns: Turns<ContenderSample>, comparison: Comparison): readonly Row[] {
  const { inFlight, subject, against } = comparison;
  const rounds = pairOf(turns, subject, against);
  const targets = targetsOf(comparison);
  const names = { scenario: 'echo', case: `${inFlight.toLocaleString('en')} in flight`, subject, against };
  return (Object.keys(FIGURES) as FigureName[]).map((name) => {
    const target = targets[name];
    return toRow(rounds, { ...names, ...FIGURES[name], ...(target === undefined ? {} : { target }) });
  });
}

/** What is promised of a comparison. */
function targetsOf({ inFlight, subject, against }: Comparison): Targets {
  // It is there to explain the distance from the bare client.
  if (against === PROMISED) return {};
  if (subject === BEDS_TITLES.plain && inFlight === 500) return { rate: { ratioAtLeast: 0.95 } };
  if (subject === BEDS_TITLES.unbatched && inFlight === 500 && against !== BARE) return { rate: { ratioAtLeast: 1 } };
  if (subject !== BEDS_TITLES.default) return {};
  if (inFlight === 1 && against === BARE) return { p50: { ratioAtMost: 1.15 } };
  if (inFlight !== 500) return {};
  return {
    rate: { ratioAtLeast: 5, valueAtLeast: 40_000 },
    p50: { ratioAtMost: 1 },
    p99: { ratioAtMost: 1 },
  };
}
