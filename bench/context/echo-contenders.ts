import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { BenchContext, Sample } from '../contract.js';
import type { Load, LoopSample } from '../measure/load.js';
import type { Contender } from '../measure/rounds.js';
import type { BedsCaller } from '../processes/beds-echo.js';
import { Child } from './child.js';
import { type HostUnderTest, startHostUnderTest } from './host-under-test.js';
import { installPeers, PEERS } from './peers.js';
import type { EchoPlace } from './serve-echo.js';
import { makeMysqlStore } from './stores.js';

export const BARE = 'bare amqplib';
/** With the exchange, the connections and the confirmations that BEDS' promises rest on, and nothing else of it. */
export const PROMISED = 'bare amqplib, as safe';

/** Titles of the ways to ask a host. */
export const BEDS_TITLES: Readonly<Record<BedsCaller, string>> = {
  plain: 'BEDS, one envelope per message',
  unbatched: 'BEDS, client without batching',
  default: 'BEDS, client default',
};

export interface EchoSample extends Sample {
  /** Microseconds of processor time of server and client, for one operation. RabbitMQ's own is not in it. */
  readonly cpuUs: number;
  /** Of the server alone. */
  readonly serverCpuUs: number;
}

/** Servers and a client, each in a process of its own. */
export class EchoContender {
  readonly title: string;
  readonly #servers: readonly Child[];
  readonly #client: Child;

  constructor(title: string, { servers, client }: { readonly servers: readonly Child[]; readonly client: Child }) {
    this.title = title;
    this.#servers = servers;
    this.#client = client;
  }

  with(inFlight: number): Contender<EchoSample> {
    return async (durationMs) => {
      const before = await this.#cpuUs();
      const load: Load = { inFlight, durationMs };
      const { operations, ...sample } = await this.#client.call<LoopSample>('run', load);
      const after = await this.#cpuUs();
      const serverCpuUs = (after.servers - before.servers) / operations;
      return { ...sample, serverCpuUs, cpuUs: serverCpuUs + (after.client - before.client) / operations };
    };
  }

  async #cpuUs(): Promise<{ readonly servers: number; readonly client: number }> {
    let servers = 0;
    for (const server of this.#servers) servers += await server.cpuUs();
    return { servers, client: await this.#client.cpuUs() };
  }
}

/** Asks hosts in one of the ways; they share a prefix. */
export async function startBedsContender(
  context: BenchContext,
  {
    title,
    kind,
    hosts,
    domains = ['echo'],
  }: {
    readonly title: string;
    readonly kind: BedsCaller;
    readonly hosts: readonly HostUnderTest[];
    readonly domains?: readonly string[];
  },
): Promise<EchoContender> {
  const [first] = hosts;
  assert.ok(first && context.services.rabbitmq, 'a host, and RabbitMQ, are needed');
  const client = start(context, { program: 'beds-echo', part: `${first.prefix}-${kind}`, args: [kind] });
  const { prefetch, exchange } = first;
  const place: EchoPlace = { url: context.services.rabbitmq.url, name: exchange, prefetch, domains };
  await client.call('connect', place);
  return new EchoContender(title, { servers: hosts.map((host) => host.process), client });
}

/** BEDS in three ways, the bare client, and every peer that is there. */
export async function startEchoContenders(context: BenchContext): Promise<readonly EchoContender[]> {
  const { rabbitmq } = context.services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  // The echo calls no object; its host is one with a store all the same, as every host is.
  const main = await makeMysqlStore(context);
  const host = await startHostUnderTest(context, {
    domains: ['echo'],
    stores: { main: { kind: 'mysql', url: main.runtimeUrl } },
    poolSize: 16,
  });
  const contenders: EchoContender[] = [];
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
): Promise<EchoContender | undefined> {
  const place: EchoPlace = { ...at, name: `bench-${program}-${randomBytes(4).toString('hex')}` };
  const server = start(context, { program, part: `server${args.join('')}`, args });
  const client = start(context, { program, part: `client${args.join('')}`, args });
  try {
    await server.call('serve', place);
    await client.call('connect', place);
    return new EchoContender(title, { servers: [server], client });
  } catch (error) {
    if (title === BARE || title === PROMISED) throw error;
    context.skip(title, error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

interface Part {
  readonly program: string;
  readonly part: string;
  readonly args?: readonly string[];
}

function start(context: BenchContext, { program, part, args = [] }: Part): Child {
  const child = new Child({ program, args, logFile: join(context.folder, `${program}-${part}.log`) });
  context.atEnd(() => child.stop());
  return child;
}
