import type { ChannelModel } from 'amqplib';
import { settlesWithin } from '#sdk/time';
import type { Json, JsonObject } from '@beds/sdk';
import { Access, type AskHasEnded, type ReadToken } from '../access/access.js';
import { accountOf, ProgramPolicy } from '../access/programs.js';
import { Revocations } from '../access/revocations.js';
import type { PublishOutcome } from '../brokers/contract.js';
import { BrokerPool, type OpenBrokers } from '../brokers/pool.js';
import { AmqpConnection } from '../amqp/connection.js';
import { EventPublisher } from '../amqp/event-publisher.js';
import { HandOver } from '../amqp/hand-over.js';
import { makeNames, type Names } from '../amqp/names.js';
import { ReplyPublisher } from '../amqp/reply-publisher.js';
import { Topology } from '../amqp/topology.js';
import type { SecretUrls } from '../config/secrets.js';
import { SpanBuffer } from '../observe/trace.js';
import { CallerBook } from '../request/observations.js';
import { PoisonTracker } from '../request/poison-tracker.js';
import { AbsentRoles } from '../request/absent-roles.js';
import { RemoteDomains } from '../request/remote-domains.js';
import { RequestPath } from '../request/request-path.js';
import { LoopGaps, RequestScope } from '../request/request-scope.js';
import type { ServingGeneration } from '../request/serving-generation.js';
import type { DomainCall } from '../request/template-context.js';
import { rolesOfOthers, servedBy } from '../roles.js';
import type { StoreAdapter } from '../stores/contract.js';
import { keepOpen, type MakeAdapters } from '../stores/factory.js';
import { GenerationRegistry } from '../template/registry.js';
import type { Leftovers } from '../template/template-timers.js';
import { Generations } from './generations.js';
import { forwardObservations } from './thread-log.js';
import type { ThreadCommand, ThreadData, ThreadMessage, ThreadStatus } from './protocol.js';
import { StrayFaults } from './stray-faults.js';
import { RunningCode } from './trail.js';

/** What each step of closing may take when nothing is left of the drain timeout: less would cut off acknowledgements. */
const CLOSE_MS = 250;
const OUTCOMES = { confirmed: 'taken', refused: 'refused', unknown: 'away' } as const;

/** What the thread is given besides its data, and what it loaded before it was sealed. */
export interface ThreadParts {
  readonly urls: SecretUrls;
  readonly types: OpenBrokers;
  readonly makeAdapters: MakeAdapters;
  readonly readToken: ReadToken | undefined;
}

/** The composition root of one broker thread: connections, brokers, adapters, generations, request path. */
export class BrokerThread {
  readonly strays: StrayFaults;
  readonly #data: ThreadData;
  readonly #port: { postMessage(message: ThreadMessage): void };
  readonly #code: RunningCode;
  readonly #registry = new GenerationRegistry<ServingGeneration>();
  readonly #replies: ReplyPublisher;
  readonly #handOver = new HandOver();
  readonly #events: EventPublisher;
  readonly #adapters: ReadonlyMap<string, StoreAdapter>;
  readonly #programs: ProgramPolicy;
  readonly #poison: PoisonTracker;
  readonly #access: Access;
  readonly #revocations: Revocations;
  readonly #gaps = new LoopGaps(() => this.#brokers.roundTrip());
  readonly #remote: RemoteDomains;
  readonly #absentRoles: AbsentRoles;
  readonly #path: RequestPath;
  readonly #generations: Generations;
  readonly #brokers: BrokerPool;
  readonly #connections: readonly AmqpConnection[];
  readonly #ending = new AbortController();
  /** Undefined: nothing is traced. */
  readonly #spans: SpanBuffer | undefined;
  #eventsModel: ChannelModel | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #wrote: () => void = () => undefined;
  #sayCounts: () => void = () => undefined;
  #intakeStopping: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(
    data: ThreadData,
    { urls, types, makeAdapters, readToken }: ThreadParts,
    port: { postMessage(message: ThreadMessage): void },
  ) {
    const { config, node, thread, brokers } = data;
    this.#data = data;
    this.#port = port;
    const options = (role: string): ConstructorParameters<typeof AmqpConnection>[0] => ({
      ...config.amqp,
      url: urls.amqp,
      name: `${node}/${thread}/${role}`,
    });
    this.#code = new RunningCode(data, this.#registry);
    this.#replies = new ReplyPublisher((setUp) => new AmqpConnection(options('reply-trial'), setUp));
    const exchange = `${config.amqp.prefix}.event`;
    this.#events = new EventPublisher({ exchange, node, userId: accountOf(urls.amqp) });
    this.#adapters = makeAdapters((entry, store) => ({ ...entry, url: urls.stores[store] ?? '' }));
    this.#programs = new ProgramPolicy(config.callers, urls.amqp);
    const callers = new CallerBook();
    this.#poison = new PoisonTracker((digest, generation) => this.#code.trying(digest, generation));
    const names = makeNames(config.amqp.prefix);
    const { defaultDeadlineMs } = config.limits;
    // n.b. others may wait for the same answer, so it has the usual time at least.
    const resolve = (tokenHash: string, timeoutMs: number): Promise<Json> =>
      this.#ask(
        { domain: 'sessions', op: 'resolve', mode: 'read' },
        { tokenHash },
        Math.max(timeoutMs, defaultDeadlineMs),
      );
    const hasEnded: AskHasEnded = (tokenHash, asked) =>
      this.#ask({ domain: 'sessions', op: 'hasEnded', mode: 'read' }, { tokenHash, ...asked }, defaultDeadlineMs);
    const listen = (): void => this.#revocations.begin();
    this.#access = new Access({ ...config, resolve, hasEnded, readToken, listen });
    this.#revocations = new Revocations(names.happened, this.#access);
    const topology = new Topology({ names, settings: config.topology }, () => this.#eventsModel);
    const serves = servedBy(brokers);
    this.#remote = new RemoteDomains({
      ...{ url: urls.amqp, name: `${node}/${thread}/domains`, exchange: names.requests },
      connectTimeoutMs: config.amqp.connectTimeoutMs,
      ...{ queuesOf: (domain: string) => topology.status(domain), knownDomains: () => topology.knownDomains() },
      ...{ serves, rolesOfOthers: rolesOfOthers(config) },
    });
    this.#spans = config.tracing.endpoint === '' ? undefined : new SpanBuffer();
    this.#path = new RequestPath({
      ...{ node, config, spans: this.#spans },
      callers,
      registry: this.#registry,
      adapters: this.#adapters,
      replies: this.#replies,
      handOver: this.#handOver,
      poison: this.#poison,
      gaps: this.#gaps,
      remote: this.#remote,
      serves,
      wrote: () => this.#wrote(),
      entering: this.#code.enter,
      access: this.#access,
      programs: this.#programs,
    });
    this.#absentRoles = this.#answerForAbsent(names);
    this.#generations = new Generations({
      node,
      registry: this.#registry,
      adapters: this.#adapters,
      host: this.#path,
      callers,
      defaultAccess: config.security.defaultAccess,
      prepareTimeoutMs: config.plugins.prepareTimeoutMs,
      // A request that is under way keeps its version until its deadline, whatever a host that stops would wait.
      drainTimeoutMs: Math.max(config.supervisor.drainTimeoutMs, config.limits.maxDeadlineMs),
      onDrained: (generation, complete, left) => this.#drained(generation, complete, left),
    });
    this.strays = new StrayFaults({
      generations: () => this.#generations.all,
      lastEntered: () => this.#code.lastEntered,
    });
    this.#brokers = this.#poolOf(types, names);
    this.#connections = [
      new AmqpConnection(options('reply'), (model) => this.#replies.attach(model)),
      new AmqpConnection(options('events'), (model) => {
        this.#eventsModel = model;
        return Promise.all([this.#events.attach(model), this.#handOver.attach(model)]);
      }),
      new AmqpConnection(options('consume'), (model) => {
        this.#revocations.attach(model);
        return this.#brokers.attach(model);
      }),
    ];
  }

  #answerForAbsent({ requests: exchange }: Names): AbsentRoles {
    const { config } = this.#data;
    return new AbsentRoles({
      domains: Object.values(rolesOfOthers(config)).flat(),
      remote: this.#remote,
      model: () => this.#eventsModel,
      refuse: this.#path.refuse,
      handOver: this.#handOver,
      programs: this.#programs,
      exchange,
      holdMs: config.limits.holdWritesMs,
    });
  }

  #poolOf(types: OpenBrokers, names: Names): BrokerPool {
    const { node, brokers } = this.#data;
    return new BrokerPool({
      ...{ node, plans: brokers, types, prefix: names.prefix, serve: this.#path.handle, replies: this.#replies },
      isFromHost: ({ properties }) => this.#programs.isHost(properties.userId),
      publishEvent: (event) => this.#events.publish(event),
      publishConfirmed: (topic, body) => this.#publishConfirmed(names.happened, topic, body),
      ask: ({ domain, op, payload }, timeoutMs) => this.#ask({ domain, op, mode: 'write' }, payload, timeoutMs),
      onWrite: (wrote) => (this.#wrote = wrote ?? ((): void => undefined)),
    });
  }

  /** Connects to everything; databases that are down do not keep the thread from starting. */
  async start(): Promise<void> {
    this.#sayCounts = forwardObservations((message) => {
      this.#send(message);
    }, this.#events);
    this.#heartbeat = setInterval(() => this.#beat(), this.#data.config.supervisor.heartbeatMs);
    this.#gaps.start();
    for (const connection of this.#connections) connection.start();
    const { startTimeoutMs } = this.#data.config.supervisor;
    await Promise.all([
      ...this.#connections.map((connection) => connection.ready(startTimeoutMs)),
      ...[...this.#adapters.values()].map((adapter) => keepOpen(adapter, this.#ending.signal)),
    ]);
    this.#send({ kind: 'ready' });
  }

  /** Carries out a command; what it resolves with is the answer. */
  async command(command: ThreadCommand): Promise<unknown> {
    switch (command.kind) {
      case 'prepare':
        return this.#code.loading(command.source, () => this.#generations.prepare(command.source));
      case 'discard':
        return this.#generations.discard(command.generation).finally(() => this.#code.forget(command.generation));
      case 'route':
        this.#generations.route(command.routes);
        return undefined;
      case 'consume':
        return this.#brokers.consume(command.broker, command.queue);
      case 'consume-own':
        return this.#brokers.consumeOwn();
      case 'cancel':
        return this.#brokers.cancel(command.queue);
      case 'suspect':
        this.#poison.suspect(command);
        return undefined;
      case 'status':
        return this.#status();
      case 'observe':
        return this.#path.observe();
      case 'stop-intake':
        return this.#stopIntake();
      case 'stop':
        this.#stopping ??= this.#stop(command.timeoutMs);
        return this.#stopping;
    }
  }

  /** Asks an operation, wherever its domain is served, in the name of this host. */
  async #ask(asked: Pick<DomainCall, 'domain' | 'op' | 'mode'>, payload: JsonObject, timeoutMs: number): Promise<Json> {
    const scope = new RequestScope(`host-${asked.op}`, performance.now() + timeoutMs, { isHost: true });
    try {
      const call = { ...asked, input: { payload }, scope, authority: scope, depth: 1 };
      return (await this.#path.invoke(call)).data;
    } finally {
      scope.done();
    }
  }

  #stopIntake(): Promise<void> {
    this.#intakeStopping ??= this.#brokers.stop();
    return this.#intakeStopping;
  }

  /** Stop intake → let what is in flight settle, bounded → close connections. */
  async #stop(timeoutMs: number): Promise<void> {
    this.#ending.abort();
    const startedAtMs = performance.now();
    const leftMs = (): number => Math.max(CLOSE_MS, timeoutMs - (performance.now() - startedAtMs));
    // n.b. RabbitMQ may never confirm a cancel, and writes that only wait must be handed over all the same.
    await settlesWithin(this.#stopIntake(), CLOSE_MS);
    this.#path.stop();
    await settlesWithin(this.#absentRoles.stop(), leftMs());
    const settled = this.#brokers.idle().then(() => this.#generations.settled());
    await settlesWithin(settled, leftMs());
    await settlesWithin(this.#brokers.close(), CLOSE_MS);
    await Promise.all([...this.#adapters.values()].map((adapter) => adapter.close(leftMs())));
    await Promise.all(
      [...this.#connections, this.#replies, this.#remote].map((connection) => connection.close(leftMs())),
    );
    this.#sayCounts();
    this.#sendSpans();
    clearInterval(this.#heartbeat);
    this.#gaps.stop();
    this.#code.close();
  }

  #publishConfirmed(exchange: string, routingKey: string, body: object): Promise<PublishOutcome> {
    if (!this.#handOver.isOpen) return Promise.resolve('away');
    const properties = { contentType: 'application/json', type: 'beds.event', persistent: true };
    const message = {
      exchange,
      routingKey,
      body: Buffer.from(JSON.stringify(body)),
      properties,
      isOptional: true,
    } as const;
    return new Promise((resolve) => this.#handOver.publish(message, (outcome) => resolve(OUTCOMES[outcome])));
  }

  #status(): ThreadStatus {
    return {
      connections: Object.fromEntries(
        this.#connections.map(({ name, state }) => [name.split('/').at(-1) ?? name, state]),
      ),
      brokers: this.#brokers.status,
      generations: this.#generations.status,
      stores: [...this.#adapters.values()].map((adapter) => adapter.status()),
      ...this.#path.counts,
      waitingWrites: this.#path.waitingWrites,
      repliesPending: this.#replies.pending,
      repliesUnroutable: this.#replies.unroutable,
      eventsDropped: this.#events.dropped,
      heapBytes: process.memoryUsage().heapUsed,
      retiredInMemory: this.#generations.retiredInMemory,
    };
  }

  #beat(): void {
    this.#code.beat();
    this.#brokers.sample();
    this.#sendSpans();
  }

  #sendSpans(): void {
    const batch = this.#spans?.take();
    if (batch !== undefined) this.#send({ kind: 'spans', ...batch });
  }

  #drained(generation: ServingGeneration, complete: boolean, left: Leftovers): void {
    const { id, counts } = generation;
    this.#path.drained(generation);
    this.#code.forget(id);
    this.#send({ kind: 'drained', generation: id, complete, left, tally: counts.tally(id) });
  }

  #send(message: ThreadMessage): void {
    this.#port.postMessage(message);
  }
}
