import { join } from 'node:path';
import { servicesErrors } from '../errors/dev-servers.js';
import type {
  InstalledServer,
  ServerDefinition,
  Service,
  ServiceContext,
  ServiceName,
  ServiceProgress,
  Services,
  StartOptions,
} from './contract.js';
import { withLock, endStale, findRunning, makePrivateFolder } from './server-folder.js';
import { mariadb } from './mysql.js';
import { mongodb } from './mongodb.js';
import { newerServer } from './provision/newer-servers.js';
import { installCommand } from './provision/programs.js';
import { rabbitmq } from './rabbitmq.js';
import { ForeignServer, PrivateServer } from './server.js';

export type { ServerState, Service, ServiceName, Services, StartOptions } from './contract.js';
export { newerServers } from './provision/newer-servers.js';
export { readServices } from './server-folder.js';

const definitions: Readonly<Record<ServiceName, ServerDefinition>> = { rabbitmq, mariadb, mongodb };

/** Another command may be downloading what this one needs. */
const LOCK_WAIT_MS = 600_000;

/**
 * Makes the servers of `need` usable, all at once: configured ones as they are, running ones of the same directory
 * reused, the others provided and started. When one fails, those already started are stopped.
 * Throws BEDS_SERVICES_UNAVAILABLE, BEDS_SERVICES_START_FAILED, BEDS_SERVICES_BUSY, BEDS_SERVICES_URL_INVALID.
 */
export async function startServices(options: StartOptions): Promise<Services> {
  makePrivateFolder(options.directory);
  const abort = new AbortController();
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal]);
  const names = [...new Set(options.need)];
  const outcomes = await Promise.allSettled(
    names.map(async (name) => {
      try {
        return await startOne(contextOf(definitions[name], options, signal), options);
      } catch (error) {
        // The others need not go on: the call fails as a whole, with this problem.
        abort.abort(error);
        throw error;
      }
    }),
  );
  const started = outcomes.filter((each) => each.status === 'fulfilled').map((each) => each.value);
  if (started.length < names.length) {
    await stopAll(started, options);
    if (options.signal?.aborted !== true) throw abort.signal.reason;
    throw servicesErrors.make('BEDS_SERVICES_ABORTED', undefined, { cause: options.signal.reason });
  }
  const byName = Object.fromEntries(started.map((server) => [server.name, server]));
  let closing: Promise<void> | undefined;
  return { ...byName, close: () => (closing ??= stopAll(started, options)) };
}

function contextOf({ name, title }: ServerDefinition, options: StartOptions, signal: AbortSignal): ServiceContext {
  const newer = newerServer(options.provision?.servers ?? process.env['BEDS_SERVERS'], name);
  return {
    name,
    title: newer?.title ?? title,
    newer,
    folder: join(options.directory, name),
    provision: options.provision ?? {},
    progress: reporter(name, options),
    signal,
  };
}

function reporter(service: ServiceName, { onProgress }: StartOptions): ServiceContext['progress'] {
  return (type: ServiceProgress['type'], words) => onProgress?.({ type, service, words });
}

async function startOne(context: ServiceContext, options: StartOptions): Promise<Service> {
  const { name, title, progress, signal } = context;
  const { urlVariable } = definitions[name];
  const url = (options.environment ?? process.env)[urlVariable];
  if (url !== undefined && url !== '') {
    const server = configuredServer(definitions[name], url);
    progress('configured', `${definitions[name].title}: using ${urlVariable}`);
    return server;
  }
  const onWait = (pid: number): void =>
    progress('waiting', `${title} is being started by process ${String(pid)}; waiting for it`);
  const lock = join(makePrivateFolder(context.folder), 'lock');
  return withLock(lock, { waitMs: LOCK_WAIT_MS, signal, onWait }, () => findOrStart(context, options.directory));
}

async function findOrStart(context: ServiceContext, directory: string): Promise<Service> {
  const { name, title, progress, newer } = context;
  const running = findRunning(directory, name);
  if (running !== undefined) {
    const { serverVersion, port } = running;
    if (newer?.version.test(serverVersion) === false) {
      const words = `${title} is wanted, and ${serverVersion} is up on port ${String(port)} in its place.`;
      throw servicesErrors.make('BEDS_SERVICES_UNAVAILABLE', words, { hint: 'End the command that started it.' });
    }
    progress('reused', `${title} ${serverVersion} is up on port ${String(port)} already; using it`);
    return new ForeignServer(running);
  }
  await endStale(directory, name);
  const definition = definitions[name];
  const installed = await install(definition, context);
  const server = new PrivateServer({ directory, definition, installed, context });
  progress('starting', `starting ${server.title}`);
  const startedAt = performance.now();
  await server.start();
  if (newer?.version.test(server.version) === false) {
    await server.stop();
    const words = `${title} is wanted, and Debian unstable has ${server.version} by now.`;
    throw servicesErrors.make('BEDS_SERVICES_UNAVAILABLE', words, { hint: hintWithout(definition) });
  }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  progress('ready', `${server.title} ${server.version} is up on port ${String(server.port)} after ${seconds} s`);
  return server;
}

async function install(definition: ServerDefinition, context: ServiceContext): Promise<InstalledServer> {
  let cause: unknown;
  const installed = await definition.install(context).catch((error: unknown) => {
    cause = error;
    return undefined;
  });
  if (installed !== undefined) return installed;
  if (context.newer !== undefined) {
    const why = cause instanceof Error ? cause.message : 'It needs apt-get and dpkg-deb.';
    const words = `${context.title} cannot be provided on this system. ${why}`;
    throw servicesErrors.make('BEDS_SERVICES_UNAVAILABLE', words, { hint: hintWithout(definition), cause });
  }
  const why = cause instanceof Error ? ` It could not be downloaded: ${cause.message}` : '';
  const hint = `Run: ${installCommand(definition.packages)} — or set ${definition.urlVariable} to a server that you run.`;
  const message = `${definition.title} is not installed on this machine.${why} ${hint}`;
  throw servicesErrors.make('BEDS_SERVICES_UNAVAILABLE', message, { hint, cause });
}

function hintWithout({ urlVariable }: ServerDefinition): string {
  return `Leave out BEDS_SERVERS and --servers, or set ${urlVariable} instead to a server that you run.`;
}

async function stopAll(servers: readonly Service[], options: StartOptions): Promise<void> {
  const owned = servers.filter((server) => server instanceof PrivateServer);
  await Promise.all(
    owned.map(async (server) => {
      await server.stop();
      reporter(server.name, options)('stopped', `${server.title} is stopped`);
    }),
  );
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = {
  'amqp:': 5672,
  'amqps:': 5671,
  'mysql:': 3306,
  'mariadb:': 3306,
  'mongodb:': 27_017,
  'mongodb+srv:': 27_017,
};

/** A server from its URL variable. It is not contacted: whoever uses it says whether it answers. */
function configuredServer({ name, title, urlVariable }: ServerDefinition, url: string): Service {
  // n.b. a MongoDB URL may list several hosts, which the URL parser refuses.
  const [, protocol = '', host, port] = /^([a-z+]+:)\/\/(?:[^@/]*@)?(\[[^\]]+\]|[^:/?,]+)(?::(\d+))?/.exec(url) ?? [];
  const defaultPort = DEFAULT_PORTS[protocol];
  if (host === undefined || defaultPort === undefined) {
    const words = `${urlVariable} is not a URL that ${title} understands.`;
    throw servicesErrors.make('BEDS_SERVICES_URL_INVALID', words);
  }
  return new ForeignServer({
    version: 1,
    name,
    url,
    host,
    port: Number(port ?? defaultPort),
    serverVersion: 'unknown',
    kind: 'unknown',
    source: 'configured',
    processes: [],
  });
}
