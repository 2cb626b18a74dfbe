import type { ContenderSample, ProcessContender } from '../context/contender.js';
import { startBedsContender } from '../context/echo-contenders.js';
import { type HostSettings, type HostUnderTest, newPrefix, startHostUnderTest } from '../context/host-under-test.js';
import { makeMysqlStore } from '../context/stores.js';
import type { BenchContext, Scenario, Row, Target } from '../contract.js';
import { pairOf, takeTurns, toRow, warmUp } from '../measure/rounds.js';

const IN_FLIGHT = 500;
const FEW = 1;
const WARM_UP_SLICES = 3;
/** Each domain has code of its own, which V8 compiles when that was run some thousand times. */
const WARM_UP_SLICES_OF_MANY = 30;
/** What is compared with one of each. */
const COUNTS = { domains: 50, threads: [2, 4], hosts: [2, 4] } as const;
const SMOKE_COUNTS = { domains: 3, threads: [2], hosts: [2] } as const;

type Settings = Pick<HostSettings, 'stores' | 'poolSize'>;

interface Comparison {
  readonly case: string;
  /** The first one is what the others are compared with. */
  readonly contenders: readonly ProcessContender[];
  readonly cpuTarget?: Target;
  readonly warmUpSlices?: number;
}

/** What more threads, more domains and more hosts bring, and what they cost. */
export const scaleScenario: Scenario = {
  name: 'scale',
  description: 'an echo with more broker threads, more domains and more hosts on one broker, against one of each',
  need: ['rabbitmq', 'mariadb'],
  timeLimitMs: 360_000,
  run: async (context) => {
    const main = await makeMysqlStore(context);
    const settings: Settings = { stores: { main: { kind: 'mysql', url: main.runtimeUrl } }, poolSize: 2 };
    const rows: Row[] = [];
    for (const prepare of [threads, domains, hosts]) {
      rows.push(...(await compare(context, prepare, settings)));
    }
    return rows;
  },
};

function countsOf({ effort }: BenchContext): typeof COUNTS | typeof SMOKE_COUNTS {
  return effort.isSmoke ? SMOKE_COUNTS : COUNTS;
}

type Prepare = (context: BenchContext, settings: Settings) => Promise<Comparison>;

/** What one comparison started ends before the next one begins. */
async function compare(context: BenchContext, prepare: Prepare, settings: Settings): Promise<readonly Row[]> {
  const undone: (() => Promise<unknown>)[] = [];
  const own: BenchContext = { ...context, atEnd: (undo) => undone.push(undo) };
  try {
    const comparison = await prepare(own, settings);
    context.say(comparison.contenders.map(({ title }) => title).join(', '));
    return await measure(context, comparison);
  } finally {
    for (const undo of undone.toReversed()) await undo();
  }
}

async function measure(context: BenchContext, comparison: Comparison): Promise<readonly Row[]> {
  const { contenders, cpuTarget, warmUpSlices = WARM_UP_SLICES, ...named } = comparison;
  const loaded = new Map(contenders.map((each) => [each.title, each.with(IN_FLIGHT)]));
  await warmUp(loaded, context, warmUpSlices);
  const turns = await takeTurns(loaded, context);
  const [first, ...others] = contenders;
  return others.flatMap(({ title }) => {
    const rounds = pairOf(turns, title, first?.title ?? '');
    const names = { scenario: 'scale', ...named, subject: title, against: first?.title ?? '' };
    const cpu = (sample: ContenderSample): number => sample.serverCpuUs;
    return [
      toRow(rounds, { ...names, unit: 'ops/s', of: ({ perSecond }) => perSecond }),
      toRow(rounds, { ...names, unit: 'µs CPU', of: cpu, ...(cpuTarget && { target: cpuTarget }) }),
    ];
  });
}

async function threads(context: BenchContext, settings: Settings): Promise<Comparison> {
  const contenders: ProcessContender[] = [];
  for (const count of [FEW, ...countsOf(context).threads]) {
    const node = `threads${String(count)}`;
    const host = await startHostUnderTest(context, { ...settings, node, domains: ['echo'], threads: count });
    contenders.push(
      await startBedsContender(context, { title: plural(count, 'thread'), kind: 'plain', hosts: [host] }),
    );
  }
  return { case: 'broker threads', contenders };
}

/** Asks all of them in turn, with a message each: batches would be smaller with more domains. */
async function domains(context: BenchContext, settings: Settings): Promise<Comparison> {
  const contenders: ProcessContender[] = [];
  for (const count of [FEW, countsOf(context).domains]) {
    const node = `domains${String(count)}`;
    const host = await startHostUnderTest(context, { ...settings, node, domains: [], copies: count });
    const names = Array.from({ length: count }, (_, n) => `many${String(n + 1)}`);
    const title = plural(count, 'domain');
    contenders.push(await startBedsContender(context, { title, kind: 'plain', hosts: [host], domains: names }));
  }
  return { case: 'domains', contenders, cpuTarget: { ratioAtMost: 1.05 }, warmUpSlices: WARM_UP_SLICES_OF_MANY };
}

async function hosts(context: BenchContext, settings: Settings): Promise<Comparison> {
  const contenders: ProcessContender[] = [];
  for (const count of [FEW, ...countsOf(context).hosts]) {
    const prefix = newPrefix();
    const started: HostUnderTest[] = [];
    for (let n = 1; n <= count; n++) {
      const node = `host${String(n)}of${String(count)}`;
      started.push(await startHostUnderTest(context, { ...settings, node, prefix, domains: ['echo'] }));
    }
    contenders.push(await startBedsContender(context, { title: plural(count, 'host'), kind: 'plain', hosts: started }));
  }
  return { case: 'hosts on one broker', contenders };
}

function plural(count: number, word: string): string {
  return `${String(count)} ${word}${count === 1 ? '' : 's'}`;
}
