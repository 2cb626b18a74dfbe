import type { MessagePort } from 'node:worker_threads';
import type { StoreAdapter } from '../adapter/contract.js';
import { createAdapter } from '../adapter/factory.js';
import { keepOpen } from '../adapter/keep-open.js';
import { AmqpConnection } from '../amqp/connection.js';
import { ReplyPublisher } from '../amqp/reply-publisher.js';
import { CallerBook } from '../dispatch/callers.js';
import { Deadlines } from '../dispatch/deadlines.js';
import { RequestPath } from '../dispatch/request-path.js';
import { Suspects } from '../dispatch/suspects.js';
import type { ServingGeneration } from '../dispatch/serving-generation.js';
import { GenerationRegistry } from '../generation/registry.js';
import { EventPublisher } from '../amqp/event-publisher.js';
import { atMost } from './at-most.js';
import { Brokers } from './brokers.js';
import { forwardObservations } from './forward-observations.js';
import { Generations } from './generations.js';
import type { ThreadCommand, ThreadData, ThreadMessage, ThreadStatus } from './protocol.js';
import { SharedNotes } from './shared-notes.js';
import { StrayFaults } from './stray-faults.js';

/** What each step of closing may take when nothing is left of the drain timeout: less would cut off acknowledgements. */
const CLOSE_MS = 250;

/** The composition root of one broker thread: connections, brokers, adapters, generations, request path. */
export class BrokerThread {
  readonly strays: StrayFaults;
  readonly #data: ThreadData;
  readonly #port: MessagePort;
  readonly #notes: SharedNotes;
  readonly #registry = new GenerationRegistry<ServingGeneration>();
  readonly #replies = new ReplyPublisher();
  readonly #events: EventPublisher;
  readonly #adapters: ReadonlyMap<string, StoreAdapter>;
  readonly #suspects: Suspects;
  readonly #path: RequestPath;
  readonly #generations: Generations;
  readonly #brokers: Brokers;
  readonly #connections: readonly AmqpConnection[];
  readonly #ending = new AbortController();
  #heartbeat: NodeJS.Timeout | undefined;
  #sayCounts: () => void = () => undefined;
  #stopping: Promise<void> | undefined;

  constructor(data: ThreadData, port: MessagePort) {
    const { config, node, thread } = data;
    this.#data = data;
    this.#port = port;
    this.#notes = new SharedNotes(data.notes);
    this.#events = new EventPublisher({ exchange: `${config.broker.prefix}.event`, node });
    this.#adapters = new Map(
      Object.entries(config.stores).map(([store, entry]) => [store, createAdapter(store, entry)]),
    );
    const deadlines = new Deadlines();
    const callers = new CallerBook();
    this.#suspects = new Suspects((digest, generation) => {
      this.#notes.trying(digest, generation);
    });
    this.#path = new RequestPath({
      node,
      config,
      registry: this.#registry,
      replies: this.#replies,
      deadlines,
      suspects: this.#suspects,
      callers,
      entering: (generation) => {
        this.#notes.enter(generation.id);
      },
    });
    this.#generations = new Generations({
      node,
      registry: this.#registry,
      adapters: this.#adapters,
      host: this.#path,
      callers,
      deadlines,
      prepareTimeoutMs: config.plugins.prepareTimeoutMs,
      // A request that is under way keeps its version until its deadline, whatever a host that stops would wait.
      drainTimeoutMs: Math.max(config.supervisor.drainTimeoutMs, config.limits.maxDeadlineMs),
      onDrained: (generation, complete, left) => {
        const { id, counts } = generation;
        this.#send({ kind: 'drained', generation: id, complete, left, tally: counts.tally(id) });
      },
    });
    this.strays = new StrayFaults({
      generations: () => this.#generations.all,
      lastEntered: () => this.#notes.lastEntered,
    });
    this.#brokers = new Brokers({
      kinds: data.brokers,
      settings: config.brokers,
      onDelivery: (delivery) => this.#path.handle(delivery),
    });
    const options = (role: string): ConstructorParameters<typeof AmqpConnection>[0] => ({
      ...config.broker,
      name: `${node}/${thread}/${role}`,
    });
    this.#connections = [
      new AmqpConnection(options('reply'), (model) => this.#replies.attach(model)),
      new AmqpConnection(options('events'), (model) => this.#events.attach(model)),
      new AmqpConnection(options('consume'), (model) => this.#brokers.attach(model)),
    ];
  }

  /** Connects to everything; databases that are down do not keep the thread from starting. */
  async start(): Promise<void> {
    this.#sayCounts = forwardObservations((message) => {
      this.#send(message);
    }, this.#events);
    this.#heartbeat = setInterval(() => {
      this.#notes.beat();
    }, this.#data.config.supervisor.heartbeatMs);
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
        return this.#generations.prepare(command.source);
      case 'discard':
        return this.#generations.discard(command.generation);
      case 'route':
        this.#generations.route(command.routes);
        return undefined;
      case 'consume':
        return this.#brokers.consume(command.mode, command.queue);
      case 'cancel':
        return this.#brokers.cancel(command.queue);
      case 'suspect':
        this.#suspects.suspect(command);
        return undefined;
      case 'status':
        return this.#status();
      case 'observe':
        return this.#path.observe();
      case 'stop':
        this.#stopping ??= this.#stop(command.timeoutMs);
        return this.#stopping;
    }
  }

  /** Stop intake → let what is in flight settle, bounded → close connections. */
  async #stop(timeoutMs: number): Promise<void> {
    this.#ending.abort();
    const startedAtMs = performance.now();
    const leftMs = (): number => Math.max(CLOSE_MS, timeoutMs - (performance.now() - startedAtMs));
    await this.#brokers.stop();
    const settled = this.#brokers.idle().then(() => this.#generations.settled());
    await atMost(settled, leftMs());
    await atMost(this.#brokers.close(), CLOSE_MS);
    await Promise.all([...this.#adapters.values()].map((adapter) => adapter.close(leftMs())));
    await Promise.all(this.#connections.map((connection) => connection.close(leftMs())));
    this.#sayCounts();
    clearInterval(this.#heartbeat);
  }

  #status(): ThreadStatus {
    return {
      connections: Object.fromEntries(
        this.#connections.map(({ name, state }) => [name.split('/').at(-1) ?? name, state]),
      ),
      brokers: this.#brokers.status,
      generations: this.#registry.all.map(({ id, domain, version, inFlight, counts }) => ({
        ...{ id, domain, version, inFlight },
        ...{ served: counts.requests, failed: counts.failed, strays: counts.strays },
      })),
      stores: [...this.#adapters.values()].map((adapter) => adapter.status()),
      ...this.#path.counts,
      repliesPending: this.#replies.pending,
      repliesUnroutable: this.#replies.unroutable,
      eventsDropped: this.#events.dropped,
      heapBytes: process.memoryUsage().heapUsed,
      retiredInMemory: this.#generations.retiredInMemory,
    };
  }

  #send(message: ThreadMessage): void {
    this.#port.postMessage(message);
  }
}
