import { Worker } from 'node:worker_threads';
import { textOf, wordsFor } from '../errors/thrown.js';
import type { ProcessMessage, ProcessStart, ThreadRequest } from './protocol.js';
import { serveCommands } from './serve-commands.js';

/*
 * Entry of a broker thread that has a process of its own, because it runs code that may end its process. It must not outlive
 * the supervisor, even if that is killed while this process is busy: so another thread looks after it.
 */

const WATCH_PARENT = `
  const { workerData } = require('node:worker_threads');
  setInterval(() => { if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL'); }, 500);
`;

/** n.b. `process.kill` is gone once the realm is sealed, and the way that it takes as well. */
function end(): never {
  process.exit(1);
}

/** n.b. a supervisor that is gone is noticed by the watch; `send` must not throw for it. */
function tell(message: ProcessMessage, onSent: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, undefined, undefined, onSent);
}

function endFor(error: unknown): void {
  const reason = textOf(error, 'stack') ?? wordsFor(error);
  tell({ kind: 'fatal', reason }, end);
}

function begin({ data, urls }: ProcessStart): void {
  setInterval(() => tell({ kind: 'beat' }), data.config.supervisor.heartbeatMs).unref();
  serveCommands(data, urls, {
    postMessage: tell,
    onRequest: (take) => process.on('message', (request: ThreadRequest) => take(request)),
    endFor,
    // The supervisor ends this process.
    close: () => undefined,
  }).catch(endFor);
}

new Worker(WATCH_PARENT, { eval: true, workerData: process.ppid, env: {} }).unref();
process.on('disconnect', end);
// Who stops a whole group of processes means the supervisor: it lets what is in flight here finish, and ends this process.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.once('message', (start: ProcessStart) => begin(start));
