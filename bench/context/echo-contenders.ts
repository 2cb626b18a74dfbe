import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { BenchContext } from '../contract.js';
import type { BedsCaller } from '../processes/beds-echo.js';
import { ProcessContender, startPart, type Watched } from './contender.js';
import { type HostUnderTest, startHostUnderTest } from './host-under-test.js';
import { installPeers, PEERS } from './peers.js';
import type { EchoPlace } from './serve-echo.js';
import { makeMysqlStore } from './stores.js';

export const BARE = 'bare amqplib';
/** With the exchange, the connections and the confirmations that BEDS' promises rest on, and nothing else of it. */
export const PROMISED = 'bare amqplib, as safe';

/** Titles of the ways to ask a host. */
export const BEDS_TITLES: Readonly<Record<Exclude<BedsCaller, 'session'>, string>> = {
  plain: 'BEDS, one envelope per message',
  unbatched: 'BEDS, client without batching',
  default: 'BEDS, client default',
};

/** Asks hosts in one of the ways; they share a prefix. */
export async function startBedsContender(
  context: BenchContext,
  {
    title,
    kind,
    hosts,
    domains = ['echo'],
    watched = {},
  }: {
    readonly title: string;
    readonly kind: BedsCaller;
    readonly hosts: readonly HostUnderTest[];
    readonly domains?: readonly string[];
    readonly watched?: Watched;
  },
): Promise<ProcessContender> {
  const [first] = hosts;
  assert.ok(first && context.services.rabbitmq, 'a host, and RabbitMQ, are needed');
  const client = startPart(context, { program: 'beds-echo', part: `${first.prefix}-${kind}`, args: [kind] });
  const { prefetch, exchange } = first;
  const place: EchoPlace = { url: context.services.rabbitmq.url, name: exchange, prefetch, domains };
  await client.call('connect', place);
  return new ProcessContender(title, { servers: hosts.map((host) => host.process), client, watched });
}

/** BEDS in three ways, the bare client, and every peer that is there. */
export async function startEchoContenders(context: BenchContext): Promise<readonly ProcessContender[]> {
  const { rabbitmq } = context.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  // The echo calls no object; its host is one with a store all the same, as every host is.
  const main = await makeMysqlStore(context);
  const host = await startHostUnderTest(context, {
    domains: ['echo'],
    stores: { main: { kind: 'mysql', url: main.runtimeUrl } },
    poolSize: 16,
  });
  const contenders: ProcessContender[] = [];
  for (const [kind, title] of Object.entries(BEDS_TITLES)) {
    contenders.push(await startBedsContender(context, { title, kind: kind as BedsCaller, hosts: [host] }));
  }
  const why = await installPeers(context);
  if (why !== undefined) context.skip('peers', why);
  const bare = [
    { title: BARE, program: 'bare-echo' },
    { title: PROMISED, program: 'bare-echo', args: ['promised'] },
  ];
  const others: readonly Other[] = [...bare, ...(why === undefined ? PEERS : [])];
  for (const other of others) {
    const contender = await startOther(context, other, { url: rabbitmq.url, prefetch: host.prefetch });
    if (contender !== undefined) contenders.push(contender);
  }
  return contenders;
}

interface Other {
  readonly title: string;
  readonly program: string;
  readonly args?: readonly string[];
}

/** A peer that does not start is left out with its reason; the bare client must start. */
async function startOther(
  context: BenchContext,
  { title, program, args = [] }: Other,
  at: Omit<EchoPlace, 'name'>,
): Promise<ProcessContender | undefined> {
  const place: EchoPlace = { ...at, name: `bench-${program}-${randomBytes(4).toString('hex')}` };
  const server = startPart(context, { program, part: `server${args.join('')}`, args });
  const client = startPart(context, { program, part: `client${args.join('')}`, args });
  try {
    await server.call('serve', place);
    await client.call('connect', place);
    return new ProcessContender(title, { servers: [server], client });
  } catch (error) {
    if (title === BARE || title === PROMISED) throw error;
    context.skip(title, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}
