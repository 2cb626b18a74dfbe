import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Bed, Question, Row, Sample, Target } from '../contract.js';
import { Child } from '../bed/child.js';
import { type HostUnderTest, startHostUnderTest } from '../bed/host-under-test.js';
import { makeMysqlStore } from '../bed/mysql-store.js';
import { PlainCaller } from '../bed/plain-caller.js';
import { closedLoop } from '../measure/closed-loop.js';
import { type Contender, interleave, type Pair } from '../measure/interleave.js';
import { toRow } from '../measure/to-row.js';

const QUEUE = 'bench.bare-echo';
const PAYLOAD = { text: 'a text that is as long as what people send, give or take', number: 42, flag: true };
/** About 200 bytes. The bare server gets the same and sends it back. */
const BODY = Buffer.from(
  JSON.stringify({ v: 1, id: 'b-1', domain: 'echo', op: 'echo', payload: PAYLOAD, meta: { client: 'bench' } }),
);

type Make = (inFlight: number) => Contender<Sample>;

interface Sides {
  /** The host, asked with one message for each request. */
  readonly single: Make;
  /** The host, asked by the client with its defaults. */
  readonly client: Make;
  readonly bare: Make;
}

interface Case {
  readonly by: 'single' | 'client';
  readonly inFlight: number;
  readonly figures: readonly (keyof typeof FIGURES)[];
  readonly targets?: Readonly<Partial<Record<keyof typeof FIGURES, Target>>>;
}

const FIGURES = {
  rate: { unit: 'ops/s', of: (sample: Sample): number => sample.perSecond },
  p50: { unit: 'ms p50', of: (sample: Sample): number => sample.p50Ms },
  p99: { unit: 'ms p99', of: (sample: Sample): number => sample.p99Ms },
} as const;

const CASES: readonly Case[] = [
  { by: 'single', inFlight: 1, figures: ['rate', 'p50'] },
  { by: 'single', inFlight: 50, figures: ['rate', 'p50', 'p99'] },
  { by: 'single', inFlight: 500, figures: ['rate', 'p50', 'p99'], targets: { rate: { ratioAtLeast: 0.95 } } },
  { by: 'client', inFlight: 1, figures: ['p50'], targets: { p50: { ratioAtMost: 1.15 } } },
  {
    by: 'client',
    inFlight: 500,
    figures: ['rate', 'p50', 'p99'],
    targets: { rate: { ratioAtLeast: 5, valueAtLeast: 40_000 }, p50: { ratioAtMost: 1 }, p99: { ratioAtMost: 1 } },
  },
];

const SUBJECTS = { single: 'BEDS, one envelope per message', client: 'BEDS, client default' } as const;

/** What the whole host adds to an echo: gate, decode, dispatch, template, reply, acknowledge. */
export const echoQuestion: Question = {
  name: 'echo',
  words: 'an echo through the whole host, against a bare amqplib server',
  need: ['rabbitmq', 'mariadb'],
  run: async (bed) => {
    const sides = await prepare(bed);
    const rows: Row[] = [];
    for (const each of CASES) {
      bed.say(`${SUBJECTS[each.by]}, ${each.inFlight} in flight`);
      const pair: Pair<Sample> = { subject: sides[each.by](each.inFlight), against: sides.bare(each.inFlight) };
      const rounds = await interleave(pair, bed);
      const names = {
        question: 'echo',
        case: `${each.inFlight} in flight`,
        subject: SUBJECTS[each.by],
        against: 'bare amqplib',
      };
      for (const name of each.figures) {
        const target = each.targets?.[name];
        rows.push(toRow(rounds, { ...names, ...FIGURES[name], ...(target === undefined ? {} : { target }) }));
      }
    }
    return rows;
  },
};

async function prepare(bed: Bed): Promise<Sides> {
  const { rabbitmq } = bed.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  // The echo calls no object; its host is one with a store all the same, as every host is.
  const main = await makeMysqlStore(bed);
  const host = await startHostUnderTest(bed, {
    domains: ['echo'],
    stores: { main: { kind: 'mysql', url: main.runtimeUrl } },
    poolSize: 16,
  });
  const bare = new Child({ program: 'bare-echo', logFile: join(bed.folder, 'bare-echo.log') });
  bed.atEnd(() => bare.stop());
  await bare.call('start', { url: rabbitmq.url, queue: QUEUE, prefetch: host.prefetch });
  const caller = await PlainCaller.connect(rabbitmq.url);
  bed.atEnd(() => caller.close());
  const askHost = (): Promise<Buffer> => caller.ask({ exchange: host.exchange, routingKey: 'echo.echo' }, BODY);
  const askBare = (): Promise<Buffer> => caller.ask({ exchange: '', routingKey: QUEUE }, BODY);
  const askByClient = callByClient(host);
  const reply = JSON.parse((await askHost()).toString()) as { readonly data?: unknown };
  assert.deepEqual(reply.data, PAYLOAD, 'the host echoes');
  assert.deepEqual(await askBare(), BODY, 'the bare server echoes');
  assert.deepEqual(await askByClient(), PAYLOAD, 'the host echoes to the client');
  const loop =
    (operation: () => Promise<unknown>): Make =>
    (inFlight) =>
    (durationMs) =>
      closedLoop(operation, { inFlight, durationMs });
  return { single: loop(askHost), client: loop(askByClient), bare: loop(askBare) };
}

function callByClient({ client }: HostUnderTest): () => Promise<unknown> {
  const echo = client.domain('echo');
  return () => echo.call('echo', PAYLOAD, { mode: 'read' });
}
