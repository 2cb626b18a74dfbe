import { randomBytes } from 'node:crypto';
import { connect, type ChannelModel } from 'amqplib';
import { pino } from 'pino';
import { makeNames } from '../../host/amqp/names.js';
import { Topology } from '../../host/amqp/topology.js';
import { configSchema } from '../../host/config/schema.js';
import type { HistoryEntry } from '../../host/deploy/history.js';
import { readManifest } from '../../host/deploy/admit/read-drop.js';
import type { VersionDiff } from '../../host/deploy/compatibility/gate.js';
import type { BundleFiles, Operations, QuarantineView, Receipt } from '../../host/admin/contract.js';
import type { DomainView, Inspections } from '../../host/admin/views.js';
import { OrderGate } from '../../host/admin/orders.js';
import { AdminServer } from '../../host/admin/server.js';
import type { RolloutOptions } from '../../host/deploy/state.js';
import { UsageBook } from '../../host/metrics/usage-book.js';
import { ThreadPool } from '../../host/threads/pool.js';
import type { Teardown } from './services.js';
import type { CallerView, DeclaredObject } from '../../host/admin/shown.js';

/** A control plane that only remembers what it was told, and does what a test says. */
export class ScriptedControl implements Operations, Inspections {
  readonly commands: { readonly op: string; readonly about: unknown }[] = [];
  readonly rolloutOptions: RolloutOptions[] = [];
  readonly entries: HistoryEntry[] = [];
  readonly views = new Map<string, DomainView>();
  readonly declared: DeclaredObject[] = [];
  quarantined: readonly QuarantineView[] = [];
  /** Called with every command; may throw, or take its time. */
  onCommand: (receipt: Receipt) => Promise<void> | void = () => undefined;
  diffView: VersionDiff | undefined;
  called: readonly CallerView[] = [];
  /** In the text format of Prometheus. */
  metrics = '';

  async deploy(bundles: readonly BundleFiles[], options: RolloutOptions): Promise<readonly Receipt[]> {
    this.rolloutOptions.push(options);
    const receipts: Receipt[] = [];
    for (const files of bundles) {
      const reading = readManifest(files.get('manifest.json')?.toString() ?? '');
      if (reading.state !== 'valid') throw new TypeError('no manifest');
      const { domain, version } = reading.manifest;
      receipts.push(await this.#take('deploy', { domain, version, hash: reading.names.hash }));
    }
    return receipts;
  }

  declaredObjects(): Promise<readonly DeclaredObject[]> {
    return Promise.resolve(this.declared);
  }

  check(): Promise<readonly Receipt[]> {
    return Promise.resolve([]);
  }

  rollback(domain: string, version = '1.0.0'): Promise<Receipt> {
    return this.#take('rollback', { domain, version, hash: 'b'.repeat(64) });
  }

  promote(domain: string): Promise<Receipt> {
    return this.#take('promote', { domain, version: '1.1.0', hash: 'c'.repeat(64) });
  }

  pause(domain: string): Promise<Receipt> {
    return this.#take('pause', { domain, version: '1.1.0', hash: 'c'.repeat(64) });
  }

  undeploy(domain: string): Promise<Receipt> {
    return this.#take('undeploy', { domain, version: '1.1.0', hash: 'c'.repeat(64) });
  }

  async lift(name: string): Promise<readonly Receipt[]> {
    return [await this.#take('lift', { domain: 'notes', version: '1.0.0', hash: name })];
  }

  async domains(domain?: string): Promise<readonly DomainView[]> {
    return [...this.views.values()].filter((view) => domain === undefined || view.domain === domain);
  }

  async diff(domain: string): Promise<VersionDiff> {
    if (this.diffView?.domain !== domain) throw new TypeError('no diff is scripted');
    return this.diffView;
  }

  callers(): ReturnType<Inspections['callers']> {
    return { callers: this.called, countedDays: 3 };
  }

  clients(): ReturnType<Inspections['clients']> {
    const names = [...new Set(this.called.map(({ client }) => client))];
    return new Map([...this.views.keys()].map((domain) => [domain, names]));
  }

  /** A change of state, on the board and in the history. */
  note(
    receipt: Pick<Receipt, 'domain' | 'version' | 'hash'>,
    change: Pick<HistoryEntry, 'state' | 'findings' | 'ms'>,
  ): void {
    const { domain, version, hash } = receipt;
    const at = new Date().toISOString();
    this.entries.push({ at, domain, version, hash, ...change });
    const { live, candidate } = this.views.get(domain) ?? {};
    const { state, findings } = change;
    const changed = { version, hash, state, since: at, ...(findings === undefined ? {} : { findings }) };
    const next =
      state === 'active' ? { live: changed } : { candidate: changed, ...(live === undefined ? {} : { live }) };
    this.views.set(domain, {
      domain,
      ...(candidate === undefined || state === 'active' ? {} : { candidate }),
      ...next,
    });
  }

  async #take(op: string, named: Pick<Receipt, 'domain' | 'version' | 'hash'>): Promise<Receipt> {
    this.commands.push({ op, about: op === 'lift' ? named.hash : named.domain });
    const receipt = { ...named, words: `${op} of ${named.domain} ${named.version} accepted.` };
    await this.onCommand(receipt);
    return receipt;
  }
}

export interface TestNode {
  readonly node: string;
  readonly control: ScriptedControl;
  readonly log: readonly Readonly<Record<string, unknown>>[];
}

export interface TestNodes {
  readonly url: string;
  readonly prefix: string;
  /** What a command needs to reach them. */
  readonly env: Readonly<Record<string, string>>;
  readonly model: ChannelModel;
  add(node: string, options?: NodeOptions): Promise<TestNode>;
  /** All of them are gone. */
  close(): Promise<void>;
}

export interface NodeOptions {
  readonly answerTimeoutMs?: number;
  readonly maxBundleBytes?: number;
  /** The host has not started yet. */
  readonly isStarting?: true;
  /** Where it notes orders that it took. */
  readonly directory?: string;
}

/** Nodes that are nothing but the door of administrators, on a real RabbitMQ, under a prefix of their own. */
export async function openNodes(teardown: Teardown, url: string): Promise<TestNodes> {
  const prefix = `d${randomBytes(5).toString('hex')}`;
  const model = await connect(url);
  const names = makeNames(prefix);
  const config = configSchema.parse({ amqp: { url, prefix } });
  const topology = new Topology({ names, settings: config.topology }, () => model);
  await topology.assertBase();
  const end = async (): Promise<void> => {
    const channel = await model.createChannel();
    for (const queue of [names.unrouted, names.dead]) await channel.deleteQueue(queue);
    const { requests, unrouted, dead, events, admin, operate } = names;
    for (const exchange of [requests, unrouted, dead, events, admin, operate]) await channel.deleteExchange(exchange);
    await model.close();
  };
  let ending: Promise<void> | undefined;
  const close = (): Promise<void> => (ending ??= end());
  teardown.after(close);
  const add: TestNodes['add'] = async (node, options = {}) => {
    const control = new ScriptedControl();
    const log: Readonly<Record<string, unknown>>[] = [];
    const write = (line: string): void => void log.push(JSON.parse(line) as Readonly<Record<string, unknown>>);
    const { maxBundleBytes = config.plugins.maxBundleBytes, answerTimeoutMs, isStarting } = options;
    const settings = { ...config, plugins: { ...config.plugins, maxBundleBytes } };
    const pool = new ThreadPool({
      ...{ config, node, brokers: [] },
      onMessage: () => undefined,
      onJoin: async () => undefined,
      onLost: () => undefined,
      onGiveUp: () => undefined,
    });
    teardown.after(() => pool.stop(0));
    const server = new AdminServer({
      ...{ node, config: settings, log: pino({}, { write }) },
      operations: () => (isStarting === true ? undefined : control),
      // Without an admin node: test/scenario-orders.test.ts has one.
      gate: new OrderGate({ config: { ...settings, roles: {} }, directory: options.directory ?? 'nowhere' }),
      ...(answerTimeoutMs === undefined ? {} : { answerTimeoutMs }),
      sources: {
        ...{ startedAt: new Date(), topology, stores: [], logState: () => ({ droppedLines: 0, waitingLines: 0 }) },
        pool,
        domains: () => [...control.views.values()],
        history: () => control.entries,
        brokers: () => [],
        usage: new UsageBook(),
        metrics: () =>
          Promise.resolve(`# TYPE beds_quarantined gauge\nbeds_quarantined{node="${node}"} 0\n${control.metrics}`),
      },
    });
    await server.attach(model);
    return { node, control, log };
  };
  return { url, prefix, env: { BEDS_AMQP_URL: url, BEDS_AMQP_PREFIX: prefix }, model, add, close };
}
