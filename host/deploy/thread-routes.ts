import { setTimeout as delay } from 'node:timers/promises';
import type { Manifest } from '@beds/sdk';
import type { Names } from '../amqp/names.js';
import { boundOperations, type Topology } from '../amqp/topology.js';
import type { Config } from '../config/schema.js';
import { publishFault } from '../observe/channels.js';
import { type BrokerPlan, servesDomain } from '../roles.js';
import type { Finding, GenerationSource } from '../template/contract.js';
import type { Route } from '../template/registry.js';
import type { ThreadCommand } from '../threads/protocol.js';
import type { ThreadHandle } from '../threads/handle.js';
import type { Member, ThreadPool } from '../threads/pool.js';
import type { Domains } from './domains.js';
import { Mutex } from './mutex.js';
import { domainOf, generationOf, isServedFromQuarantine, liveOf } from './reconcile.js';
import type { ThreadNames } from './state.js';

export interface ThreadRoutesOptions {
  readonly domains: Domains;
  readonly pool: ThreadPool;
  readonly topology: Topology;
  readonly names: Names;
  readonly config: Pick<Config, 'plugins' | 'supervisor'>;
  /** The brokers of this node's roles. */
  readonly brokers: readonly BrokerPlan[];
}

/**
 * Brings the broker threads to what the state says, all of them the same: versions are prepared on every thread, and then
 * one command routes requests to them on every thread, or nothing changes. A thread that does not follow is replaced.
 */
export class ThreadRoutes {
  readonly #options: ThreadRoutesOptions;
  /** Serialises changes with each other and with threads that join. */
  readonly #lock = new Mutex();
  /** The code of every generation that the threads have or are about to have. */
  readonly #sources = new Map<number, GenerationSource>();
  /** Of domains that are withheld. */
  readonly #withheld = new Map<string, Manifest>();
  /** Domains that are being retired. */
  readonly #ending = new Set<string>();
  /** Live versions that a thread which joined could not prepare: it serves all the others. */
  readonly #lacking = new Map<ThreadHandle, Set<string>>();
  readonly #queues: DomainConsumers;
  #reasserting: Promise<void> | undefined;

  constructor(options: ThreadRoutesOptions) {
    this.#options = options;
    this.#queues = new DomainConsumers(options);
  }

  // What the threads have.

  add(source: GenerationSource): void {
    this.#sources.set(source.id, source);
  }

  /** Forgets the code of what is over. */
  keepSources(generations: ReadonlySet<number>): void {
    for (const id of this.#sources.keys()) if (!generations.has(id)) this.#sources.delete(id);
  }

  sourceOf(generation: number | undefined): GenerationSource | undefined {
    return generation === undefined ? undefined : this.#sources.get(generation);
  }

  liveSource(domain: string): GenerationSource | undefined {
    return this.live.find(({ manifest }) => manifest.domain === domain);
  }

  /** Everything that answers. */
  get live(): readonly GenerationSource[] {
    return this.#inState('live');
  }

  /** Everything that a thread must have loaded. */
  get loaded(): readonly GenerationSource[] {
    return this.#inState('live', 'candidate', 'prepared');
  }

  /** Everything whose code may still run. */
  get all(): readonly GenerationSource[] {
    return this.#inState('live', 'candidate', 'prepared', 'draining');
  }

  /** Percent of the callers that a candidate answers, by domain. */
  get canaries(): ReadonlyMap<string, number> {
    const candidates = Object.values(this.#options.domains.state.generations).filter(
      ({ state }) => state === 'candidate',
    );
    return new Map(candidates.map(({ domain, share }) => [domain, share?.percent ?? 0]));
  }

  /** Somebody answers for the domain, if only that it is withheld. */
  isServed(domain: string): boolean {
    const { live, withheld } = domainOf(this.#options.domains.state, domain);
    return live !== undefined || withheld !== undefined;
  }

  /** Whether a process of its own serves the domain, because its code may have ended the host. */
  isApart(domain: string): boolean {
    return this.#options.pool.cells.groupOf(domain) !== undefined;
  }

  /** Names the operations whose queues are bound. */
  manifestOf(domain: string): Manifest | undefined {
    const { live, trial } = domainOf(this.#options.domains.state, domain);
    return (this.sourceOf(live) ?? this.sourceOf(trial))?.manifest ?? this.#withheld.get(domain);
  }

  #inState(...states: readonly string[]): readonly GenerationSource[] {
    return Object.values(this.#options.domains.state.generations)
      .filter(({ state }) => states.includes(state))
      .flatMap(({ id }) => this.#sources.get(id) ?? []);
  }

  /** Domains whose queues are consumed. */
  get #domains(): readonly string[] {
    return Object.entries(this.#options.domains.state.domains)
      .filter(([, { live, trial, withheld }]) => (live ?? trial ?? withheld) !== undefined)
      .map(([name]) => name);
  }

  #routeOf(domain: string): Route {
    const { state } = this.#options.domains;
    const own = Object.values(state.generations).filter((generation) => generation.domain === domain);
    const live = own.find((generation) => generation.state === 'live');
    const trial = own.find((generation) => generation.state === 'candidate');
    return {
      domain,
      ...(live === undefined ? {} : { active: live.id }),
      ...(trial?.share === undefined ? {} : { candidate: { generation: trial.id, ...trial.share } }),
      ...(live === undefined && domainOf(state, domain).withheld !== undefined ? { withheld: true } : {}),
    };
  }

  /** Who has to finish with these: a thread that joined may lack one, and would never say that it is done with it. */
  #threadsWith(generations: readonly (number | undefined)[]): ThreadNames {
    const { pool } = this.#options;
    return Object.fromEntries(generations.flatMap((id) => (id === undefined ? [] : [[id, pool.threadsWith(id)]])));
  }

  /** Who has to finish with what answers the domain. */
  #threadsServing(domain: string): ThreadNames {
    const { live, trial } = domainOf(this.#options.domains.state, domain);
    return this.#threadsWith([live, trial]);
  }

  // What is done for a rollout.

  /**
   * Loads versions on every thread; they take no requests yet. Rejects when a thread cannot prepare one of them, or when
   * `signal` says that they are not wanted any more. It holds nobody else up: a `setup` may take long.
   */
  async prepare(sources: readonly GenerationSource[], signal: AbortSignal): Promise<void> {
    for (const { manifest } of sources) await this.#options.topology.requireDomain(manifest);
    signal.throwIfAborted();
    for (const source of sources) {
      await this.#options.pool.prepare(source, this.#prepareMs);
      signal.throwIfAborted();
    }
  }

  /** Forgets a prepared version that is not wanted after all. */
  async discard(generation: number): Promise<void> {
    await this.#options.pool
      .broadcast({ kind: 'discard', generation }, { timeoutMs: this.#prepareMs })
      .catch(() => undefined);
    this.#options.domains.dispatch({ kind: 'discarded', generation });
  }

  /** Gives prepared versions a share of the callers and copies of reads; or another share, when they have one. */
  routeCandidates(rollout: number, sources: readonly GenerationSource[], percent: number): Promise<void> {
    return this.#lock.run(async () => {
      await this.#prepareJoined(sources);
      this.#options.domains.dispatch({ kind: 'trial-routed', rollout, percent });
      await this.#route(namesOf(sources));
      await this.#queues.addMissing(this.#domains);
    });
  }

  /** Takes candidates out again; callers are back on the version that serves, a domain that had none is out of service. */
  async withdrawCandidates(generations: readonly number[]): Promise<void> {
    const sources = generations.flatMap((id) => this.sourceOf(id) ?? []);
    const names = namesOf(sources);
    await this.#lock.run(async () => {
      const threads = this.#threadsWith(generations);
      this.#options.domains.dispatch({ kind: 'candidates-out', generations, threads });
      await this.#route(names);
    });
    for (const { manifest } of sources.filter((source) => this.manifestOf(source.manifest.domain) === undefined)) {
      const { domain } = manifest;
      // No thread answers it any more: what RabbitMQ still has of it does no harm.
      await this.#endQueues(manifest).catch((error: unknown) => {
        publishFault({ where: `queues of ${domain}, which is out of service`, error, domain });
      });
    }
  }

  /** Makes versions serve their domains, together. Resolves with how long the flip took; undefined: nobody wants them any more. */
  activate(rollout: number, sources: readonly GenerationSource[]): Promise<number | undefined> {
    return this.#lock.run(async () => {
      const names = namesOf(sources);
      await this.#prepareJoined(sources);
      const previous = names.flatMap((domain) => this.liveSource(domain) ?? []);
      // Before the flip: a thread without requests reports the old version drained together with its answer.
      const threads = this.#threadsWith(previous.map(({ id }) => id));
      this.#options.domains.dispatch({ kind: 'flip', rollout, threads });
      const { generations } = this.#options.domains.state;
      if (sources.some(({ id }) => generations[id]?.state !== 'live')) return undefined;
      for (const domain of names) this.#withheld.delete(domain);
      const startedAtMs = performance.now();
      await this.#route(names);
      const flipMs = performance.now() - startedAtMs;
      for (const domain of names) this.#queues.release(domain);
      // It serves: a RabbitMQ that went away just now is asked again by `reassert`, and no reason to call the version refused.
      await this.#queues
        .addMissing(this.#domains)
        .then(() => this.#unbindGone(previous, sources))
        .catch((error: unknown) => {
          publishFault({ where: 'queues of a version that took over', error });
        });
      return flipMs;
    });
  }

  // What is done for a domain.

  /** Lets the requests of a domain wait in its queues, where this generation serves it, until another takes over or it is withheld. */
  hold(domain: string, generation: number): Promise<void> {
    return this.#lock.run(async () => {
      const { state } = this.#options.domains;
      if (domainOf(state, domain).live === generation && isServedFromQuarantine(state, domain))
        await this.#queues.hold(domain);
    });
  }

  /** What was held does no harm any more: an operator allowed it. */
  release(domain: string): Promise<void> {
    return this.#lock.run(async () => {
      this.#queues.release(domain);
      await this.#queues.addMissing(this.#domains);
    });
  }

  /** Ends what must not go on though nothing can take its place: callers get BEDS_REQUEST_WITHHELD. */
  withhold(manifest: Manifest, hash: string): Promise<void> {
    const { domain } = manifest;
    return this.#lock.run(async () => {
      const threads = this.#threadsServing(domain);
      this.#withheld.set(domain, manifest);
      this.#options.domains.dispatch({ kind: 'withhold', domain, hash, threads });
      this.#queues.release(domain);
      await this.#route([domain]);
      await this.#queues.addMissing(this.#domains);
    });
  }

  /** Takes a domain out of service after everything that was asked of it is answered; others do not wait meanwhile. */
  async retire(domain: string, why: Finding): Promise<void> {
    const manifest = this.manifestOf(domain);
    if (manifest === undefined) return;
    this.#ending.add(domain);
    try {
      if (await this.#queues.isOnlyHere(domain)) {
        await this.#options.topology.unbind(domain, boundOperations(manifest));
        await this.#queues.emptied(domain);
      }
      await this.#lock.run(async () => {
        // n.b. a thread that does not answer must not keep alive what is retired: it is told by its route, or ended.
        await this.#queues.cancel(domain).catch((error: unknown) => {
          publishFault({ where: `queues of ${domain}, which retires`, error, domain });
        });
        const threads = this.#threadsServing(domain);
        this.#withheld.delete(domain);
        this.#options.domains.dispatch({ kind: 'out-of-service', domain, why, threads });
        await this.#route([domain]);
      });
      await this.#options.topology.deleteIdle(domain);
    } finally {
      this.#ending.delete(domain);
    }
  }

  // Threads that come and go.

  /**
   * Brings a new thread up to what the others serve. A version that this thread cannot prepare costs it that version, and no
   * other: the thread serves the rest, and tries again with `reassert`.
   */
  join(thread: ThreadHandle, group: string): Promise<void> {
    return this.#lock.run(async () => {
      const { config } = this.#options;
      const timeoutMs = config.plugins.prepareTimeoutMs;
      const { cells } = this.#options.pool;
      const loaded = this.loaded.filter(({ manifest }) => cells.loads(group, manifest.domain));
      const failed = await this.#prepareOn(thread, loaded);
      const routes = this.#domains.map((domain) =>
        withoutGenerations(inReach(this.#routeOf(domain), cells.loads(group, domain)), failed),
      );
      await thread.request({ kind: 'route', routes }, timeoutMs);
      const domains = this.#domains.filter((domain) => !this.#isLacking(thread, domain));
      await this.#queues.addOn(thread, { domains, group });
    });
  }

  /** A domain that was kept apart in a process of its own is served by the threads again. */
  rejoin(domain: string): Promise<void> {
    return this.#lock.run(async () => {
      const { pool } = this.#options;
      const isConsumed = this.#queues.has(domain);
      const sources = this.loaded.filter(({ manifest }) => manifest.domain === domain);
      const members = pool.serving.filter(({ group }) => pool.cells.get(group) === undefined);
      const missing = new Map<ThreadHandle, ReadonlySet<number>>();
      await Promise.all(
        members.map(async ({ handle }) =>
          missing.set(handle, await this.#prepareOn(handle, sources).catch(() => new Set(sources.map(({ id }) => id)))),
        ),
      );
      await this.#queues.cancel(domain);
      pool.rejoin(domain);
      await this.#route([domain], missing);
      if (isConsumed) await this.#queues.addMissing([domain]);
    });
  }

  /** A thread is gone. */
  forget(thread: string): void {
    for (const handle of this.#lacking.keys()) if (handle.name === thread) this.#lacking.delete(handle);
  }

  /** Asserts queues and bindings of live domains again, in case somebody deleted them. */
  reassert(): Promise<void> {
    // n.b. while RabbitMQ does not answer, one takes longer than the time between two of them.
    this.#reasserting ??= this.#reassertAll().finally(() => (this.#reasserting = undefined));
    return this.#reasserting;
  }

  async #reassertAll(): Promise<void> {
    await this.#options.topology.assertBase();
    for (const domain of this.#domains) {
      // One at a time, so that no rollout waits for all of them; and not one that is being retired.
      await this.#lock.run(async () => {
        const manifest = this.manifestOf(domain);
        if (manifest !== undefined && !this.#ending.has(domain)) await this.#options.topology.assertDomain(manifest);
      });
    }
    await this.#lock.run(async () => {
      await this.#queues.addMissing(this.#domains);
      // n.b. a thread that fails again is put back into what is gone through.
      for (const thread of [...this.#lacking.keys()]) await this.#catchUp(thread);
    });
  }

  get #prepareMs(): number {
    return this.#options.config.plugins.prepareTimeoutMs + 1_000;
  }

  /** Threads that joined while the others prepared may lack it. */
  async #prepareJoined(sources: readonly GenerationSource[]): Promise<void> {
    for (const source of sources) await this.#options.pool.prepareJoined(source, this.#prepareMs);
  }

  /** Returns the generations that the thread could not prepare; rejects when it is gone. */
  async #prepareOn(thread: ThreadHandle, sources: readonly GenerationSource[]): Promise<ReadonlySet<number>> {
    const failed = new Set<number>();
    for (const source of sources) {
      const { domain, version } = source.manifest;
      // A thread that joins need not run what is in quarantine.
      if (domainOf(this.#options.domains.state, domain).versions[source.hash]?.quarantine !== undefined) {
        failed.add(source.id);
        continue;
      }
      try {
        await thread.prepare(source, this.#options.config.plugins.prepareTimeoutMs);
      } catch (error) {
        if (thread.state === 'ended') throw error;
        publishFault({ where: `preparation in thread ${thread.name}, which joined`, error, domain, version });
        failed.add(source.id);
        if (liveOf(this.#options.domains.state, domain)?.id === source.id) {
          this.#lacking.set(thread, (this.#lacking.get(thread) ?? new Set()).add(domain));
        } else this.#unprepared(source.id);
      }
    }
    return failed;
  }

  /** A thread that joined could not prepare a version that does not serve yet. */
  #unprepared(id: number): void {
    const rollout = generationOf(this.#options.domains.state, id)?.rollout;
    if (rollout === undefined) return;
    const message = 'A broker thread that joined could not prepare it; the log of the same time says why.';
    this.#options.domains.dispatch({ kind: 'end', rollout, finding: { code: 'BEDS_THREAD_PREPARE_FAILED', message } });
  }

  #isLacking(thread: ThreadHandle, domain: string): boolean {
    return this.#lacking.get(thread)?.has(domain) === true;
  }

  /** Tries once more what a thread could not prepare when it joined. */
  async #catchUp(thread: ThreadHandle): Promise<void> {
    const domains = [...(this.#lacking.get(thread) ?? [])];
    this.#lacking.delete(thread);
    const sources = domains.flatMap((domain) => this.liveSource(domain) ?? []);
    const failed = await this.#prepareOn(thread, sources).catch(() => undefined);
    if (failed === undefined) return;
    const ready = domains.filter((domain) => !this.#isLacking(thread, domain));
    const routes = ready.map((domain) => this.#routeOf(domain));
    await thread.request({ kind: 'route', routes }, this.#options.config.plugins.prepareTimeoutMs);
    const group = this.#options.pool.serving.find(({ handle }) => handle === thread)?.group;
    if (group !== undefined) await this.#queues.addOn(thread, { domains: ready, group });
  }

  async #endQueues(manifest: Manifest): Promise<void> {
    const { domain } = manifest;
    if (await this.#queues.isOnlyHere(domain)) await this.#options.topology.unbind(domain, boundOperations(manifest));
    await this.#lock.run(() => this.#queues.cancel(domain));
    await this.#options.topology.deleteIdle(domain);
  }

  async #route(
    domains: readonly string[],
    missing: ReadonlyMap<ThreadHandle, ReadonlySet<number>> = new Map(),
  ): Promise<void> {
    if (domains.length === 0) return;
    const { pool } = this.#options;
    const commandFor = ({ group, handle }: Member): ThreadCommand | undefined => {
      const routes = domains.flatMap((domain) => {
        const isServing = pool.cells.serves(group, domain);
        const isLoaded = isServing || pool.cells.loads(group, domain);
        if (!isLoaded && pool.cells.get(group) !== undefined) return [];
        // What code that only others call could not load there, they do without.
        const lacks = isServing
          ? (missing.get(handle) ?? NONE)
          : new Set(this.loaded.filter(({ id }) => !handle.has(id)).map(({ id }) => id));
        return [withoutGenerations(inReach(this.#routeOf(domain), isLoaded), lacks)];
      });
      return routes.length === 0 ? undefined : { kind: 'route', routes };
    };
    await pool.commit(commandFor, this.#options.config.plugins.prepareTimeoutMs);
  }

  async #unbindGone(previous: readonly GenerationSource[], sources: readonly GenerationSource[]): Promise<void> {
    for (const { manifest } of previous) {
      const next = sources.find((source) => source.manifest.domain === manifest.domain)?.manifest;
      const gone = Object.entries(manifest.operations).filter(
        ([name]) => next && !Object.hasOwn(next.operations, name),
      );
      if (gone.length > 0) await this.#options.topology.unbind(manifest.domain, Object.fromEntries(gone));
    }
  }
}

const NONE: ReadonlySet<number> = new Set();

function namesOf(sources: readonly GenerationSource[]): readonly string[] {
  return sources.map(({ manifest }) => manifest.domain);
}

/** What is kept apart is out of reach for the code of others meanwhile. */
function inReach(route: Route, isLoaded: boolean): Route {
  const isServed = route.active !== undefined || route.candidate !== undefined || route.withheld === true;
  return !isServed || isLoaded ? route : { domain: route.domain, withheld: true };
}

/** The route as a thread can follow it that could not prepare these. */
function withoutGenerations(route: Route, missing: ReadonlySet<number>): Route {
  const { active, candidate, ...rest } = route;
  return {
    ...rest,
    ...(active === undefined || missing.has(active) ? {} : { active }),
    ...(candidate === undefined || missing.has(candidate.generation) ? {} : { candidate }),
  };
}

const POLL_MS = 25;

/** Which domains' queues the brokers of this node consume. */
export class DomainConsumers {
  readonly #options: Omit<ThreadRoutesOptions, 'domains'>;
  readonly #consumed = new Set<string>();
  /** Their requests wait in the queues, because what serves them does harm. */
  readonly #held = new Set<string>();

  constructor(options: Omit<ThreadRoutesOptions, 'domains'>) {
    this.#options = options;
  }

  has(domain: string): boolean {
    return this.#consumed.has(domain);
  }

  /** Consumes the queues of these domains on all threads of their groups, as far as that is not so yet. */
  async addMissing(domains: readonly string[]): Promise<void> {
    const { pool } = this.#options;
    for (const domain of domains.filter((one) => !this.#consumed.has(one) && !this.#held.has(one))) {
      const options = { timeoutMs: this.#timeoutMs, group: pool.groupOf(domain) };
      await Promise.all(
        this.#consumersOf(domain).map(({ broker, queue }) =>
          pool.broadcast({ kind: 'consume', broker, queue }, options),
        ),
      );
      this.#consumed.add(domain);
    }
  }

  /** Consumes on one thread what its group consumes of these, and what belongs to no domain. */
  async addOn(thread: ThreadHandle, { domains, group }: { domains: readonly string[]; group: string }): Promise<void> {
    const { pool } = this.#options;
    const own = domains.filter((domain) => this.#consumed.has(domain) && pool.groupOf(domain) === group);
    for (const { broker, queue } of own.flatMap((domain) => this.#consumersOf(domain))) {
      await thread.request({ kind: 'consume', broker, queue }, this.#timeoutMs);
    }
    await thread.request({ kind: 'consume-own' }, this.#timeoutMs);
  }

  async cancel(domain: string): Promise<void> {
    const { pool } = this.#options;
    this.#held.delete(domain);
    this.#consumed.delete(domain);
    const options = { timeoutMs: this.#timeoutMs, group: pool.groupOf(domain) };
    for (const queue of new Set(this.#consumersOf(domain).map((each) => each.queue))) {
      await pool.broadcast({ kind: 'cancel', queue }, options);
    }
  }

  /** Lets the requests of a domain wait until `release`. */
  async hold(domain: string): Promise<void> {
    if (!this.#consumed.has(domain)) return;
    await this.cancel(domain);
    this.#held.add(domain);
  }

  release(domain: string): void {
    this.#held.delete(domain);
  }

  /** Whether all consumers of the domain's queues are this host's own. */
  async isOnlyHere(domain: string): Promise<boolean> {
    const { pool } = this.#options;
    const group = pool.groupOf(domain);
    const threads = pool.serving.filter((member) => member.group === group).length;
    const all = this.#consumersOf(domain);
    const status = await this.#options.topology.status(domain);
    return status.every(({ queue, consumers }) => {
      const own = all.filter((each) => each.queue === queue);
      return consumers <= threads * own.reduce((sum, { count }) => sum + count, 0);
    });
  }

  /** Waits until the queues hold nothing that was asked before the bindings ended, at most the drain timeout. */
  async emptied(domain: string): Promise<void> {
    const untilMs = performance.now() + this.#options.config.supervisor.drainTimeoutMs;
    while (performance.now() < untilMs) {
      const status = await this.#options.topology.status(domain);
      if (status.every(({ ready }) => ready === 0)) return;
      await delay(POLL_MS);
    }
  }

  /** Which broker consumes which queue of the domain; `count` of them in each thread. */
  #consumersOf(domain: string): readonly { readonly broker: string; readonly queue: string; readonly count: number }[] {
    const { brokers, names } = this.#options;
    return brokers.flatMap((plan) => {
      if (!servesDomain(plan, domain)) return [];
      const { name: broker, count } = plan;
      return plan.domainQueues.map((mode) => ({ broker, queue: names.queue(domain, mode), count }));
    });
  }

  get #timeoutMs(): number {
    return this.#options.config.plugins.prepareTimeoutMs;
  }
}
