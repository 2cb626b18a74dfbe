import { parentPort, workerData } from 'node:worker_threads';
import { threadErrors } from '../errors/thread.js';
import type { ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { serveCommands } from './serve-commands.js';

/** Entry of a broker thread: connects the supervisor's port to the thread's composition root. */
async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw threadErrors.make('BEDS_THREAD_START_FAILED', 'This file must be started as a worker.');
  await serveCommands(workerData as ThreadData, {
    postMessage: (message: ThreadMessage) => port.postMessage(message),
    onRequest: (take) => port.on('message', (request: ThreadRequest) => take(request)),
    close: () => port.close(),
  });
}

await main();
