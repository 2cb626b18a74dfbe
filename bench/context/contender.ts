import { join } from 'node:path';
import type { BenchContext, Sample } from '../contract.js';
import type { Load, LoopSample } from '../measure/load.js';
import { processorTimeUs } from '../measure/processor-time.js';
import type { Contender } from '../measure/rounds.js';
import { Child } from './child.js';

export interface ContenderSample extends Sample {
  /** Microseconds of processor time of server and client, for one operation. That of RabbitMQ and the databases is not in it. */
  readonly cpuUs: number;
  /** Of the server alone. */
  readonly serverCpuUs: number;
  /** Of the processes that were watched meanwhile, by their names. */
  readonly watchedCpuUs: Readonly<Record<string, number>>;
}

/** What is told of a contender. */
export const FIGURES = {
  rate: { unit: 'ops/s', of: (sample: ContenderSample): number => sample.perSecond },
  p50: { unit: 'ms p50', of: (sample: ContenderSample): number => sample.p50Ms },
  p99: { unit: 'ms p99', of: (sample: ContenderSample): number => sample.p99Ms },
  cpu: { unit: 'µs CPU', of: (sample: ContenderSample): number => sample.cpuUs },
} as const;

/** Other processes that work for the contenders: RabbitMQ, the databases. By a name for those that count as one. */
export type Watched = Readonly<Record<string, readonly number[]>>;

interface Parts {
  readonly servers: readonly Child[];
  readonly client: Child;
  readonly watched?: Watched;
}

interface Used {
  readonly servers: number;
  readonly client: number;
  readonly watched: Readonly<Record<string, number>>;
}

/** Servers and a client, each in a process of its own. */
export class ProcessContender {
  readonly title: string;
  readonly #parts: Parts;

  constructor(title: string, parts: Parts) {
    this.title = title;
    this.#parts = parts;
  }

  /** So many in flight, for whatever time; `asked` says what, where the client can do several things. */
  with(inFlight: number, asked: object = {}): Contender<ContenderSample> {
    const { client } = this.#parts;
    return async (durationMs) => {
      const before = await this.#used();
      const load: Load = { ...asked, inFlight, durationMs };
      const { operations, ...sample } = await client.call<LoopSample>('run', load);
      const after = await this.#used();
      const serverCpuUs = (after.servers - before.servers) / operations;
      const watched = Object.entries(after.watched).flatMap(([name, us]): [string, number][] => {
        const earlier = before.watched[name];
        return earlier === undefined ? [] : [[name, (us - earlier) / operations]];
      });
      return {
        ...sample,
        serverCpuUs,
        cpuUs: serverCpuUs + (after.client - before.client) / operations,
        watchedCpuUs: Object.fromEntries(watched),
      };
    };
  }

  async #used(): Promise<Used> {
    const { servers, client, watched = {} } = this.#parts;
    let serversUs = 0;
    for (const server of servers) serversUs += await server.cpuUs();
    const clientUs = await client.cpuUs();
    const known = Object.entries(watched).flatMap(([name, pids]): [string, number][] => {
      const us = processorTimeUs(pids);
      return us === undefined ? [] : [[name, us]];
    });
    return { servers: serversUs, client: clientUs, watched: Object.fromEntries(known) };
  }
}

interface Part {
  readonly program: string;
  readonly part: string;
  readonly args?: readonly string[];
}

/** A process of the benchmark that ends with the scenario. */
export function startPart(context: BenchContext, { program, part, args = [] }: Part): Child {
  const child = new Child({ program, args, logFile: join(context.folder, `${program}-${part}.log`) });
  context.atEnd(() => child.stop());
  return child;
}
