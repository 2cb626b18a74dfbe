import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { writeBundle } from './support/bundles.js';
import { quietFor } from './support/eventually.js';
import { eventually, startTestHost } from './support/host.js';
import { notesBundle } from './support/notes-domain.js';
import { RolloutOrders } from './support/rollout-orders.js';
import { sharedServices, type Teardown } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const DOMAINS = ['notes', 'tasks'] as const;
type Domain = (typeof DOMAINS)[number];
const LASTS_MS = 12_000;
/** Longer than a removal takes. */
const QUIET_MS = 1_200;
/** Until its queues are there again, a domain that was out of service is not known. */
const ABSENT = /^BEDS_(REQUEST_UNKNOWN_DOMAIN|CLIENT_UNROUTABLE)$/;

/** mulberry32: small, and the same on every machine. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** A constant load on a domain: what was answered, and how often. */
class Asking {
  readonly failures: { readonly code: string; readonly atMs: number }[] = [];
  answered = 0;
  #isOver = false;
  readonly #done: Promise<unknown>;

  constructor(client: BedsClient, domain: Domain) {
    this.#done = Promise.all(Array.from({ length: 2 }, () => this.#ask(client, domain)));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #ask(client: BedsClient, domain: Domain): Promise<void> {
    while (!this.#isOver) {
      try {
        await client.domain(domain).call('version', {});
        this.answered += 1;
      } catch (error) {
        this.failures.push({ code: isBedsError(error) ? error.code : String(error), atMs: Date.now() });
      }
      // Paces the load.
      await delay(10);
    }
  }
}

describe('drops and orders at random', () => {
  it('end in the last requested state, fail only requests to undeployed domains, and leave nothing behind', async (t: Teardown & {
    diagnostic(text: string): void;
  }) => {
    const seed = Number(process.env['BEDS_TEST_SEED'] ?? randomInt(1 << 30));
    t.diagnostic(`BEDS_TEST_SEED=${String(seed)}`);
    const pick = seeded(seed);
    const host = await startTestHost(t, { services });
    const orders = new RolloutOrders(t, host);
    const client = await host.connectClient({ defaultDeadlineMs: 20_000 });
    let minor = 0;
    const fresh = (): string => `1.${String(++minor)}.0`;
    const drop = async (domain: Domain, version: string): Promise<void> => {
      await writeBundle(host.pluginsDirectory, notesBundle({ domain, version, name: `${domain}.mjs` }));
    };
    for (const domain of DOMAINS) await drop(domain, fresh());
    await eventually('both serve', () => host.transitions().filter(({ state }) => state === 'active').length === 2);
    const asking = new Map(DOMAINS.map((domain) => [domain, new Asking(client, domain)]));
    const wasRetired = new Set<Domain>();
    const log: string[] = [];
    const actions: Readonly<Record<string, (domain: Domain) => Promise<unknown>>> = {
      drop: (domain) => drop(domain, fresh()),
      deploy: (domain) => orders.deploy([notesBundle({ domain, version: fresh() })]),
      together: () => orders.deploy(DOMAINS.map((domain) => notesBundle({ domain, version: fresh() }))),
      canary: (domain) => orders.deploy([notesBundle({ domain, version: fresh() })], '--canary', '50%', '--for', '1s'),
      rollback: (domain) => orders.run('rollback', domain, '--no-wait'),
      promote: (domain) => orders.run('promote', domain, '--no-wait'),
      pause: (domain) => orders.run('pause', domain),
      remove: (domain) => {
        wasRetired.add(domain);
        return rm(join(host.pluginsDirectory, `${domain}.mjs`), { force: true });
      },
      retire: (domain) => {
        wasRetired.add(domain);
        return orders.run('undeploy', domain);
      },
    };
    const names = Object.keys(actions);
    const untilMs = performance.now() + LASTS_MS;
    while (performance.now() < untilMs) {
      const name = names[pick(names.length)] ?? 'drop';
      const domain = DOMAINS[pick(DOMAINS.length)] ?? 'notes';
      log.push(`${name} ${domain}`);
      await actions[name]?.(domain);
      // Also while what came before is under way.
      await delay(pick(4) * 100);
    }
    t.diagnostic(`${String(log.length)} steps, ${String(minor)} versions`);
    // The last word: one domain by drop, one by order.
    for (const domain of DOMAINS) await orders.run('promote', domain, '--no-wait');
    await quietFor(QUIET_MS);
    await drop('notes', '2.0.0');
    await orders.deploy([notesBundle({ domain: 'tasks', version: '2.1.0' })]);
    for (const [domain, version] of [
      ['notes', '2.0.0'],
      ['tasks', '2.1.0'],
    ] as const) {
      await eventually(`${domain} ${version} serves (${log.join(', ')})`, async () => {
        return (
          (await client
            .domain(domain)
            .call('version', {})
            .catch(() => '')) === version
        );
      });
    }
    for (const load of asking.values()) await load.stop();
    for (const [domain, load] of asking) {
      assert.ok(load.answered > 0);
      const wrong = load.failures.filter(({ code }) => !(wasRetired.has(domain) && ABSENT.test(code)));
      assert.deepEqual(wrong, [], `${domain}: ${log.join(', ')}`);
    }
    const live = (): number[] =>
      DOMAINS.map((domain) => {
        return (
          host.transitions().findLast((line) => line.domain === domain && line.state === 'active')?.generation ?? 0
        );
      });
    const status = async (): Promise<string> => (await orders.run('status', '--json')).stdout;
    await eventually('the threads hold one version of each domain', async () => {
      const ids = [...(await status()).matchAll(/"generations":\s*(\[[^\]]*\])/g)].map(([, text = '[]']) =>
        (JSON.parse(text) as { id: number }[])
          .map(({ id }) => id)
          .sort((a, b) => a - b)
          .join(),
      );
      const wanted = live()
        .sort((a, b) => a - b)
        .join();
      return ids.length > 0 && ids.every((seen) => seen === wanted);
    }).catch(async (error: unknown) => assert.fail(`${String(error)}: ${live().join()} of ${await status()}`));
  });
});
