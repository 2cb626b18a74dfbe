import { parentPort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads';
import { isBedsError } from '@beds/sdk';
import { BedsError } from '#sdk/template';
import { loadTokenReader } from '../access/openid.js';
import { loadBrokers } from '../brokers/pool.js';
import type { SecretUrls } from '../config/secrets.js';
import { threadErrors } from '../errors/thread.js';
import { textOf, wordsFor } from '../errors/thrown.js';
import { shorten } from '../observe/channels.js';
import { RequestContext, RequestDeadline } from '../request/template-context.js';
import { loadAdapters } from '../stores/factory.js';
import { framesOf } from '../template/map-stack.js';
import { sealRealm } from '../template/seal-realm.js';
import type { PlainError, ProcessMessage, ProcessStart, ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { CrashBreadcrumbs } from './trail.js';
import { BrokerThread } from './worker.js';

/*
 * Entry of a broker thread. Usually it is a worker thread of the host. Code that may end its process gets a process of its own:
 * then this file is the main program of that process.
 */

const FAILED = 'BEDS_THREAD_PREPARE_FAILED';
/** How long a thread that ends waits at most until the others know. */
const MAY_END_MS = 500;

/** The way to the supervisor, from a thread or from a process. */
interface SupervisorPort {
  postMessage(message: ThreadMessage): void;
  onRequest(take: (request: ThreadRequest) => void): void;
  /** An error that nobody caught ends the thread, or the process. */
  endFor(error: Error): void;
  /** Nothing more will be asked or told. */
  close(): void;
}

/** Starts a broker thread and lets the supervisor's commands reach it. Rejects when it cannot connect. */
async function serveCommands(data: ThreadData, urls: SecretUrls, port: SupervisorPort): Promise<void> {
  const opening = openThread(data, urls, port);
  // n.b. before anything is awaited: the messages of a process are lost while nobody listens.
  port.onRequest(({ seq, command }) => {
    opening
      .then((thread) => thread.command(command))
      .then(
        (value) => {
          port.postMessage({ kind: 'answer', seq, ok: true, value });
          if (command.kind === 'stop') port.close();
        },
        (error: unknown) => {
          port.postMessage({ kind: 'answer', seq, ok: false, error: toPlain(error) });
        },
      );
  });
  const thread = await opening;
  await thread.start();
}

/** Loads what the thread needs, seals it, and makes it ready to connect. */
async function openThread(data: ThreadData, urls: SecretUrls, port: SupervisorPort): Promise<BrokerThread> {
  const { stores, openid } = data.config;
  const loading = [loadBrokers(data.brokers), loadAdapters(stores), loadTokenReader(openid)] as const;
  const [types, makeAdapters, readToken] = await Promise.all(loading);
  sealRealm({ classes: [BedsError, RequestContext, RequestDeadline], isAdmitted: true });
  const thread = new BrokerThread(data, { urls, types, makeAdapters, readToken }, port);
  // A template that forgot to await must not cost the requests of others: by default Node would end the thread.
  process.on('unhandledRejection', (error) => {
    thread.strays.report('unhandled rejection', error);
  });
  const [print] = process.listeners('warning');
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    if (!thread.strays.warn(warning)) print?.(warning);
  });
  // Ends the thread as without it; what was thrown may be anything, and must not be the supervisor's to make sense of.
  process.on('uncaughtException', (error) => {
    port.endFor(thread.strays.describeUncaught(error));
  });
  return thread;
}

function toPlain(error: unknown): PlainError {
  const code = isBedsError(error) ? (textOf(error, 'code') ?? FAILED) : FAILED;
  const { message, stack } = bareError(error);
  return { code, message, ...(stack === undefined ? {} : { stack }) };
}

/**
 * An error as another thread is told of it: what hangs on one that code threw may be of any size. Its frames say whose it is. n.b. Node
 * copies all of an error that ends a thread.
 */
function bareError(thrown: unknown): Error {
  const error = new Error(shorten(wordsFor(thrown)));
  const stack = textOf(thrown, 'stack') ?? error.message;
  error.stack = stack === shorten(stack) ? stack : `Error: ${error.message}\n${shorten(framesOf(thrown))}`;
  return error;
}

async function runAsThread(port: NonNullable<typeof parentPort>): Promise<void> {
  const data = workerData as ThreadData;
  await serveCommands(data, takeSecrets(data), {
    postMessage: (message) => port.postMessage(message),
    onRequest: (take) => port.on('message', (request: ThreadRequest) => take(request)),
    endFor: (error) => {
      // The other threads must know before RabbitMQ gives them what this one had not finished.
      port.postMessage({ kind: 'ending' } satisfies ThreadMessage);
      new CrashBreadcrumbs(data.breadcrumbs).awaitEnd(MAY_END_MS);
      throw bareError(error);
    },
    close: () => port.close(),
  });
}

/** n.b. `workerData` stays in sight of the whole thread for as long as it lives. */
function takeSecrets({ secrets }: ThreadData): SecretUrls {
  if (secrets === undefined) throw threadErrors.make('BEDS_THREAD_START_FAILED', 'The thread was not given its URLs.');
  const { message } = receiveMessageOnPort(secrets) as { readonly message: SecretUrls };
  secrets.close();
  return message;
}

/** The process must not outlive the supervisor, even if that is killed while this one is busy: another thread looks after it. */
const WATCH_PARENT = `
  const { workerData } = require('node:worker_threads');
  setInterval(() => { if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL'); }, 500);
`;

function runAsProcess(): void {
  new Worker(WATCH_PARENT, { eval: true, workerData: process.ppid, env: {} }).unref();
  process.on('disconnect', endProcess);
  // Who stops a whole group of processes means the supervisor: it lets what is in flight here finish, and ends this process.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.once('message', ({ data, urls }: ProcessStart) => {
    setInterval(() => tellParent({ kind: 'beat' }), data.config.supervisor.heartbeatMs).unref();
    serveCommands(data, urls, {
      postMessage: tellParent,
      onRequest: (take) => process.on('message', (request: ThreadRequest) => take(request)),
      endFor: endProcessFor,
      // The supervisor ends this process.
      close: () => undefined,
    }).catch(endProcessFor);
  });
}

/** n.b. a supervisor that is gone is noticed by the watch; `send` must not throw for it. */
function tellParent(message: ProcessMessage, onSent: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, undefined, undefined, onSent);
}

function endProcessFor(error: unknown): void {
  const { message, stack = message } = bareError(error);
  tellParent({ kind: 'fatal', reason: stack }, endProcess);
}

/** n.b. `process.kill` is gone once the realm is sealed, and the way that it takes as well. */
function endProcess(): never {
  process.exit(1);
}

if (parentPort === null) runAsProcess();
else await runAsThread(parentPort);
