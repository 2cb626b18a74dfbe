import {
  MongoClient,
  type Db,
  type MongoClientOptions,
  MongoServerSelectionError,
  type TopologyDescriptionChangedEvent,
} from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import type { StoreConfig } from '../../config/schema.js';
import { settlesWithin } from '#sdk/time';
import { storeErrors } from '../../errors/store.js';
import type { StoreStatus } from '../contract.js';
import { type Deadline, type LineLimits, WaitingLine } from '../deadlines.js';

/** A belt for what no deadline ended; the server's monitor notices a dead connection long before. */
const SOCKET_TIMEOUT_MS = 300_000;
const HEARTBEAT_MS = 5_000;
const MAX_CONNECTING = 4;
const NAMES_DATABASE = /^mongodb(\+srv)?:\/\/[^/]+\/[^?/]+/;

/** How the driver must read values; a URL may ask for others. */
const DECODING = [
  ['raw', false],
  ['promoteValues', true],
  ['promoteLongs', true],
  ['promoteBuffers', false],
  ['useBigInt64', false],
  ['enableUtf8Validation', true],
] as const;

/** The driver's client of a store, and whether it has a server to work with. */
export interface StoreClient {
  readonly client: MongoClient;
  readonly db: Db;
  /** Operations at once: `poolSize`, or maxPoolSize of the URL where that is less. */
  readonly poolSize: number;
  /** Connects if that never succeeded before; afterwards the driver itself comes back to a server that was gone. */
  connect(): Promise<void>;
  /** Whether `connect` has nothing to do. */
  isConnected(): boolean;
  /** Milliseconds of performance.now() since when there is no usable server; undefined while there is one. */
  downSince(): number | undefined;
  /** What the server or the network last said of a connection that did not come about, or was lost; undefined: nothing yet. */
  problem(): unknown;
  /** Connections that are open, used or not; those of the driver's monitor not counted. */
  connections(): number;
}

/** Makes the client; nothing is connected yet. BEDS_STORE_URL_INVALID. */
export function createClient(store: string, config: StoreConfig): StoreClient {
  const client = parse(store, config);
  const db = client.db();
  // n.b. without a name in the URL the driver takes 'test'.
  if (!NAMES_DATABASE.test(config.url)) throw refuse(store, 'names no database: mongodb://host/database');
  const other = DECODING.find(([name, usual]) => client.bsonOptions[name] !== usual);
  if (other !== undefined) throw refuse(store, `has ${other[0]}=${String(!other[1])}: values would be read as others`);
  // n.b. what MongoDB refuses, and what it never got, would be told to callers as done.
  if (client.options.writeConcern?.w === 0) throw refuse(store, 'has w=0: MongoDB would answer no write');
  let downSince: number | undefined = performance.now();
  let problem: unknown;
  client.on('topologyDescriptionChanged', (event) => {
    for (const { error } of event.newDescription.servers.values()) problem = error ?? problem;
    downSince = isUsable(event) ? undefined : (downSince ?? performance.now());
  });
  let connected = false;
  const connect = async (): Promise<void> => {
    // n.b. calling it while the driver is reconnecting would start a second set of connections.
    if (connected) return;
    try {
      await client.connect();
    } catch (error) {
      // n.b. of a server that was not found only its description says why.
      if (!(error instanceof MongoServerSelectionError)) problem = error;
      throw error;
    }
    connected = true;
  };
  let connections = 0;
  client.on('connectionCreated', () => (connections += 1));
  client.on('connectionClosed', () => (connections -= 1));
  // n.b. the driver takes 0 for no bound.
  const { maxPoolSize } = client.options;
  const poolSize = maxPoolSize > 0 ? Math.min(config.poolSize, maxPoolSize) : config.poolSize;
  return {
    client,
    db,
    poolSize,
    connect,
    isConnected: () => connected,
    downSince: () => downSince,
    problem: () => problem,
    connections: () => connections,
  };
}

function parse(store: string, config: StoreConfig): MongoClient {
  try {
    // n.b. timeoutMS has no effect in this driver. Its queue waits for connections to be made;
    // waiting for one to become free is the adapter's own, which has a bound.
    const usual: MongoClientOptions = {
      appName: 'beds',
      maxPoolSize: config.poolSize,
      maxConnecting: MAX_CONNECTING,
      waitQueueTimeoutMS: config.connectTimeoutMs,
      serverSelectionTimeoutMS: config.connectTimeoutMs,
      connectTimeoutMS: config.connectTimeoutMs,
      socketTimeoutMS: SOCKET_TIMEOUT_MS,
      heartbeatFrequencyMS: HEARTBEAT_MS,
      retryReads: true,
      retryWrites: true,
    };
    // n.b. an option given here would win over the same one in the URL: what the URL says, such as retryWrites=false, holds.
    const { searchParams } = new ConnectionString(config.url);
    const unsaid = Object.entries(usual).filter(([name]) => !searchParams.has(name));
    return new MongoClient(config.url, Object.fromEntries(unsaid));
  } catch {
    // The cause would repeat the URL, and the password in it.
    throw refuse(store, 'cannot be read: mongodb://user:password@host:port/database');
  }
}

function refuse(store: string, problem: string): Error {
  return storeErrors.make('BEDS_STORE_URL_INVALID', `The URL of store ${store} ${problem}.`);
}

function isUsable({ newDescription }: TopologyDescriptionChangedEvent): boolean {
  const { type, servers } = newDescription;
  if (type === 'Unknown' || type === 'ReplicaSetNoPrimary') return false;
  return [...servers.values()].some((server) => server.type !== 'Unknown');
}

export interface SlotOptions extends LineLimits {
  readonly poolSize: number;
}

const inVain = (): Error => storeErrors.make('BEDS_STORE_OVERLOADED', 'No database connection became free in time.');

/**
 * As many operations at once as the pool has connections, the rest in a bounded queue. The driver's own queue has no
 * bound, only a time: https://www.mongodb.com/docs/drivers/node/current/connect/connection-options/connection-pools/
 */
export class Slots {
  readonly #most: number;
  readonly #line: WaitingLine<void>;
  readonly #onIdle: (() => void)[] = [];
  #inUse = 0;

  constructor(options: SlotOptions) {
    this.#most = options.poolSize;
    this.#line = new WaitingLine(options);
  }

  get counts(): Omit<StoreStatus['connections'], 'idle'> {
    return { inUse: this.#inUse, waiting: this.#line.waiters.size, most: this.#most };
  }

  /** Takes a slot that is free; false where one has to be waited for. */
  take(): boolean {
    if (this.#inUse >= this.#most) return false;
    this.#inUse += 1;
    return true;
  }

  /** BEDS_STORE_OVERLOADED or the deadline's reason. */
  wait(deadline: Deadline): Promise<void> {
    return this.#line.wait(deadline, inVain);
  }

  /** Once for each slot, when its operation has really ended. */
  release(): void {
    // n.b. handed on at once: a newcomer cannot slip in between.
    if (this.#line.serve()) return;
    this.#inUse -= 1;
    if (this.#inUse === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Resolves when nothing runs, or after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#inUse === 0) return;
    await settlesWithin(new Promise<void>((resolve) => this.#onIdle.push(resolve)), timeoutMs);
  }
}

type Listener = (this: CallSignal) => void;

/**
 * What the driver uses of an AbortSignal, aborted when a deadline is over. A real one, whose listeners the driver adds
 * and removes at every step, takes a tenth of the time of a short read.
 */
class CallSignal {
  readonly #deadline: Deadline;
  readonly #listeners: Listener[] = [];

  constructor(deadline: Deadline) {
    this.#deadline = deadline;
    deadline.onOver(() => {
      for (const listener of this.#listeners.splice(0)) listener.call(this);
    });
  }

  get aborted(): boolean {
    return this.reason !== undefined;
  }

  get reason(): Error | undefined {
    return this.#deadline.reason;
  }

  throwIfAborted(): void {
    this.#deadline.remainingMs();
  }

  addEventListener(_type: 'abort', listener: Listener): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: Listener): void {
    const at = this.#listeners.lastIndexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }
}

/** For reads: the driver takes none for writes. Ends what waits for an answer, and the connection with it. */
export function signalOf(deadline: Deadline): AbortSignal {
  return new CallSignal(deadline) as unknown as AbortSignal;
}

/**
 * For writes: looked at when the driver has a server and a connection and is about to send, also for the second time. What
 * was sent is left alone, as nobody would know how it ended.
 */
class SendSignal {
  readonly #deadline: Deadline;

  constructor(deadline: Deadline) {
    this.#deadline = deadline;
  }

  get aborted(): boolean {
    return this.reason !== undefined;
  }

  get reason(): Error | undefined {
    this.#deadline.mayStart();
    return this.#deadline.reason;
  }

  throwIfAborted(): void {
    this.#deadline.remainingMs();
  }

  addEventListener(): void {
    // Nothing is interrupted.
  }

  removeEventListener(): void {
    // There is no listener.
  }
}

export function sendSignalOf(deadline: Deadline): AbortSignal {
  return new SendSignal(deadline) as unknown as AbortSignal;
}

/** The server gives up a little earlier than the caller, so that its answer still arrives. */
const ANSWER_MS = 20;

/** For maxTimeMS, where 0 would mean no limit. Throws what the deadline does when it is over. */
export function serverMs(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.remainingMs() - ANSWER_MS));
}
