import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { SecretUrls } from '../config/secrets.js';
import { threadErrors } from '../errors/thread.js';
import type { ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { serveCommands } from './serve-commands.js';

/** Entry of a broker thread: connects the supervisor's port to the thread's composition root. */
async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw threadErrors.make('BEDS_THREAD_START_FAILED', 'This file must be started as a worker.');
  const data = workerData as ThreadData;
  await serveCommands(data, takeSecrets(data), {
    postMessage: (message: ThreadMessage) => port.postMessage(message),
    onRequest: (take) => port.on('message', (request: ThreadRequest) => take(request)),
    endFor: (error) => {
      throw error;
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

await main();
