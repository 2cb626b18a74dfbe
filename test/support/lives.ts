import assert from 'node:assert/strict';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import type { Services } from '../../host/dev-servers/index.js';
import { type BundleOptions, writeBundle } from './bundles.js';
import { startTestHost, type TestHost } from './host.js';
import { type HostProcess, type OomKiller, startHostProcess, startOomKiller } from './host-process.js';
import { notesBundle } from './notes-domain.js';
import type { Teardown } from './services.js';

/**
 * What a test of it takes at most. Its callers have as long: they ask one life and are answered by the next, and how soon that serves is
 * the machine's to say, at no promise's cost.
 */
export const TEST_MS = 240_000;
const LIMIT_MB = 500;
/** Buffers are not in the limit of a thread's heap: the system kills whoever has them. */
export const HOG = `const hog = Buffer.alloc(600 * 1024 * 1024, 1); for (const until = Date.now() + 4000; Date.now() < until; ) hog[0] = 1;`;

/** A host whose process can be lost, again and again. */
export interface Lives {
  readonly host: TestHost;
  readonly client: BedsClient;
  readonly oom: OomKiller;
  /** Begins the next life. */
  next(): HostProcess;
}

export interface LivesOptions {
  readonly services: Services;
  readonly topology?: object;
  /** How long a suspect is kept apart. */
  readonly trialMs?: number;
}

/** A host on these servers whose lives are processes, with these bundles in its directory. */
export async function begin(
  t: Teardown,
  { services, topology = {}, trialMs = 1_500 }: LivesOptions,
  ...bundles: readonly BundleOptions[]
): Promise<Lives> {
  const supervisor = { drainTimeoutMs: 2_000, trialMs };
  const config = { supervisor, topology, limits: { maxDeadlineMs: TEST_MS } };
  const host = await startTestHost(t, { services, config, isStarted: false });
  for (const bundle of bundles) await writeBundle(host.pluginsDirectory, bundle);
  const client = await host.connectClient({ batching: false, defaultDeadlineMs: TEST_MS });
  let pid = 0;
  const oom = startOomKiller(t, () => pid, LIMIT_MB);
  return {
    ...{ host, client, oom },
    next: () => {
      const life = startHostProcess(t, host, { threads: { default: { count: 2, domains: ['*'], heapMb: 128 } } });
      ({ pid } = life);
      return life;
    },
  };
}

export function read(client: BedsClient, operation: string, domain = 'notes'): Promise<unknown> {
  return client.domain(domain).call(operation, {});
}

export async function codeOf(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    (value) => `answered ${JSON.stringify(value)}`,
    (error: unknown) => (isBedsError(error) ? error.code : `untyped: ${String(error)}`),
  );
}

/** A version, and what brings it to end its host. */
export interface Harm {
  readonly bundle: BundleOptions;
  readonly ask?: (client: BedsClient) => Promise<unknown>;
}

/** Serves one version that ends its host in this way, after one that does not, and waits for the end of the host. */
export async function loseHost(t: Teardown, services: Services, { bundle, ask }: Harm): Promise<Lives> {
  const lives = await begin(t, { services }, notesBundle(), notesBundle({ domain: 'tasks', name: 'tasks.mjs' }));
  const first = lives.next();
  await first.serving;
  await writeBundle(lives.host.pluginsDirectory, bundle);
  if (ask !== undefined) {
    await first.logged('it serves', ({ msg }) => msg === 'notes 1.1.0 active');
    await ask(lives.client);
  }
  assert.equal(await first.ended, 'SIGKILL');
  return lives;
}
