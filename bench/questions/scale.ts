import { type EchoContender, type EchoSample, startBedsContender } from '../bed/echo-contenders.js';
import { type HostSettings, type HostUnderTest, newPrefix, startHostUnderTest } from '../bed/host-under-test.js';
import { makeMysqlStore } from '../bed/mysql-store.js';
import type { Bed, Question, Row, Target } from '../contract.js';
import { pairOf, takeTurns, warmUp } from '../measure/take-turns.js';
import { toRow } from '../measure/to-row.js';

const IN_FLIGHT = 500;
const FEW = 1;
const WARM_UP_SLICES = 3;
/** Each domain has code of its own, which V8 compiles when that was run some thousand times. */
const WARM_UP_SLICES_OF_MANY = 30;
const MANY_DOMAINS = 50;
const THREADS = [2, 4] as const;
const HOSTS = [2, 4] as const;

type Settings = Pick<HostSettings, 'stores' | 'poolSize'>;

interface Comparison {
  readonly case: string;
  /** The first one is what the others are compared with. */
  readonly contenders: readonly EchoContender[];
  readonly cpuTarget?: Target;
  readonly warmUpSlices?: number;
}

/** What more threads, more domains and more hosts bring, and what they cost. */
export const scaleQuestion: Question = {
  name: 'scale',
  words: 'an echo with more broker threads, more domains and more hosts on one broker, against one of each',
  need: ['rabbitmq', 'mariadb'],
  longestMs: 360_000,
  run: async (bed) => {
    const main = await makeMysqlStore(bed);
    const settings: Settings = { stores: { main: { kind: 'mysql', url: main.runtimeUrl } }, poolSize: 2 };
    const rows: Row[] = [];
    for (const prepare of [threads, domains, hosts]) {
      rows.push(...(await compare(bed, prepare, settings)));
    }
    return rows;
  },
};

type Prepare = (bed: Bed, settings: Settings) => Promise<Comparison>;

/** What one comparison started ends before the next one begins. */
async function compare(bed: Bed, prepare: Prepare, settings: Settings): Promise<readonly Row[]> {
  const undone: (() => Promise<unknown>)[] = [];
  const own: Bed = { ...bed, atEnd: (undo) => undone.push(undo) };
  try {
    const comparison = await prepare(own, settings);
    bed.say(comparison.contenders.map(({ title }) => title).join(', '));
    return await measure(bed, comparison);
  } finally {
    for (const undo of undone.toReversed()) await undo();
  }
}

async function measure(bed: Bed, comparison: Comparison): Promise<readonly Row[]> {
  const { contenders, cpuTarget, warmUpSlices = WARM_UP_SLICES, ...named } = comparison;
  const loaded = new Map(contenders.map((each) => [each.title, each.with(IN_FLIGHT)]));
  await warmUp(loaded, bed, warmUpSlices);
  const turns = await takeTurns(loaded, bed);
  const [first, ...others] = contenders;
  return others.flatMap(({ title }) => {
    const rounds = pairOf(turns, title, first?.title ?? '');
    const names = { question: 'scale', ...named, subject: title, against: first?.title ?? '' };
    const cpu = (sample: EchoSample): number => sample.serverCpuUs;
    return [
      toRow(rounds, { ...names, unit: 'ops/s', of: ({ perSecond }) => perSecond }),
      toRow(rounds, { ...names, unit: 'µs CPU', of: cpu, ...(cpuTarget && { target: cpuTarget }) }),
    ];
  });
}

async function threads(bed: Bed, settings: Settings): Promise<Comparison> {
  const contenders: EchoContender[] = [];
  for (const count of [FEW, ...THREADS]) {
    const node = `threads${String(count)}`;
    const host = await startHostUnderTest(bed, { ...settings, node, domains: ['echo'], threads: count });
    contenders.push(await startBedsContender(bed, { title: plural(count, 'thread'), kind: 'plain', hosts: [host] }));
  }
  return { case: 'broker threads', contenders };
}

/** Asks all of them in turn, with a message each: batches would be smaller with more domains. */
async function domains(bed: Bed, settings: Settings): Promise<Comparison> {
  const contenders: EchoContender[] = [];
  for (const count of [FEW, MANY_DOMAINS]) {
    const node = `domains${String(count)}`;
    const host = await startHostUnderTest(bed, { ...settings, node, domains: [], copies: count });
    const names = Array.from({ length: count }, (_, n) => `many${String(n + 1)}`);
    const title = plural(count, 'domain');
    contenders.push(await startBedsContender(bed, { title, kind: 'plain', hosts: [host], domains: names }));
  }
  return { case: 'domains', contenders, cpuTarget: { ratioAtMost: 1.05 }, warmUpSlices: WARM_UP_SLICES_OF_MANY };
}

async function hosts(bed: Bed, settings: Settings): Promise<Comparison> {
  const contenders: EchoContender[] = [];
  for (const count of [FEW, ...HOSTS]) {
    const prefix = newPrefix();
    const started: HostUnderTest[] = [];
    for (let n = 1; n <= count; n++) {
      const node = `host${String(n)}of${String(count)}`;
      started.push(await startHostUnderTest(bed, { ...settings, node, prefix, domains: ['echo'] }));
    }
    contenders.push(await startBedsContender(bed, { title: plural(count, 'host'), kind: 'plain', hosts: started }));
  }
  return { case: 'hosts on one broker', contenders };
}

function plural(count: number, word: string): string {
  return `${String(count)} ${word}${count === 1 ? '' : 's'}`;
}
