import { MongoClient } from 'mongodb';
import type { Db, MongoClientOptions, TopologyDescriptionChangedEvent } from 'mongodb';
import { ConnectionString } from 'mongodb-connection-string-url';
import type { StoreConfig } from '../../config/schema.js';
import { storeErrors } from '../../errors/store.js';

/** A belt for what no deadline ended; the server's monitor notices a dead connection long before. */
const SOCKET_TIMEOUT_MS = 300_000;
const HEARTBEAT_MS = 5_000;
const MAX_CONNECTING = 4;
const NAMES_DATABASE = /^mongodb(\+srv)?:\/\/[^/]+\/[^?/]+/;

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
  /** Connections that are open, used or not; those of the driver's monitor not counted. */
  connections(): number;
}

/** Makes the client; nothing is connected yet. BEDS_STORE_URL_INVALID. */
export function createClient(store: string, config: StoreConfig): StoreClient {
  const client = parse(store, config);
  const db = client.db();
  // n.b. without a name in the URL the driver takes 'test'.
  if (!NAMES_DATABASE.test(config.url)) throw refuse(store, 'names no database: mongodb://host/database');
  // n.b. what MongoDB refuses, and what it never got, would be told to callers as done.
  if (client.options.writeConcern?.w === 0) throw refuse(store, 'has w=0: MongoDB would answer no write');
  let downSince: number | undefined = performance.now();
  client.on('topologyDescriptionChanged', (event) => {
    downSince = isUsable(event) ? undefined : (downSince ?? performance.now());
  });
  let connected = false;
  const connect = async (): Promise<void> => {
    // n.b. calling it while the driver is reconnecting would start a second set of connections.
    if (connected) return;
    await client.connect();
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
