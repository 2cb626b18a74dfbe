import { join } from 'node:path';
import { servicesErrors } from '../errors/services.js';
import type {
  ServerDefinition,
  Service,
  ServiceContext,
  ServiceName,
  ServiceProgress,
  Services,
  StartOptions,
} from './contract.js';
import { definitions } from './definitions.js';
import { withLock } from './directory-lock.js';
import { ForeignServer, configuredServer } from './foreign-server.js';
import { makePrivateFolder } from './private-file.js';
import { PrivateServer } from './private-server.js';
import { endStale, findRunning } from './server-state.js';

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
        return await startOne(name, options, signal);
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
    throw options.signal?.aborted === true ? calledOff(options.signal) : abort.signal.reason;
  }
  return collect(started, options);
}

function calledOff(signal: AbortSignal): Error {
  return servicesErrors.make('BEDS_SERVICES_ABORTED', undefined, { cause: signal.reason });
}

async function startOne(name: ServiceName, options: StartOptions, signal: AbortSignal): Promise<Service> {
  const definition = definitions[name];
  const environment = options.environment ?? process.env;
  const url = environment[definition.urlVariable];
  if (url !== undefined && url !== '') {
    const server = configuredServer(definition, url);
    report(options, {
      type: 'configured',
      service: name,
      words: `${definition.title}: using ${definition.urlVariable}`,
    });
    return server;
  }
  const context = makeContext(definition, options, signal);
  const lockFile = join(context.folder, 'lock');
  const onWait = (pid: number): void =>
    context.progress('waiting', `${definition.title} is being started by process ${String(pid)}; waiting for it`);
  return withLock(lockFile, { waitMs: LOCK_WAIT_MS, signal, onWait }, () => findOrStart(definition, options, context));
}

async function findOrStart(
  definition: ServerDefinition,
  options: StartOptions,
  context: ServiceContext,
): Promise<Service> {
  const { name, title } = definition;
  const running = findRunning(options.directory, name);
  if (running !== undefined) {
    const words = `${title} ${running.serverVersion} is up on port ${String(running.port)} already; using it`;
    report(options, { type: 'reused', service: name, words });
    return new ForeignServer(running);
  }
  await endStale(options.directory, name);
  const installed = await definition.install(context);
  const server = new PrivateServer({ directory: options.directory, definition, installed, context });
  context.progress('starting', `starting ${title}`);
  const startedAt = performance.now();
  await server.start();
  const tookMs = Math.round(performance.now() - startedAt);
  const seconds = (tookMs / 1000).toFixed(1);
  const words = `${title} ${server.version} is up on port ${String(server.port)} after ${seconds} s`;
  report(options, { type: 'ready', service: name, words, tookMs });
  return server;
}

function makeContext(definition: ServerDefinition, options: StartOptions, signal: AbortSignal): ServiceContext {
  const { name } = definition;
  return {
    name,
    folder: makePrivateFolder(join(options.directory, name)),
    provision: options.provision ?? {},
    progress: (type, words) => report(options, { type, service: name, words }),
    signal,
  };
}

function collect(started: readonly Service[], options: StartOptions): Services {
  let closing: Promise<void> | undefined;
  const byName = Object.fromEntries(started.map((server) => [server.name, server]));
  return { ...byName, close: () => (closing ??= stopAll(started, options)) };
}

async function stopAll(servers: readonly Service[], options: StartOptions): Promise<void> {
  const owned = servers.filter((server) => server.owned);
  await Promise.all(
    owned.map(async (server) => {
      await server.stop();
      report(options, { type: 'stopped', service: server.name, words: `${definitions[server.name].title} is stopped` });
    }),
  );
}

function report(options: StartOptions, event: ServiceProgress): void {
  options.onProgress?.(event);
}
