import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { BedsError, isBedsError } from '@beds/sdk';
import type { SecretUrls } from '../config/take-urls.js';
import { RequestScope } from '../dispatch/request-scope.js';
import { RequestContext } from '../dispatch/template-context.js';
import { threadErrors } from '../errors/thread.js';
import { sealRealm } from '../generation/seal-realm.js';
import type { PlainError, ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { BrokerThread } from './thread.js';

/** Entry of a broker thread: connects the supervisor's port to the thread's composition root. */
async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw threadErrors.make('BEDS_THREAD_START_FAILED', 'This file must be started as a worker.');
  sealRealm([BedsError, RequestContext, RequestScope]);
  const data = workerData as ThreadData;
  const thread = new BrokerThread(data, takeSecrets(data), port);
  // A template that forgot to await must not cost the requests of others: by default Node would end the thread.
  process.on('unhandledRejection', (error) => {
    thread.report('unhandled rejection', error);
  });
  const answer = (message: ThreadMessage): void => {
    port.postMessage(message);
  };
  port.on('message', ({ seq, command }: ThreadRequest) => {
    thread.command(command).then(
      (value) => {
        answer({ kind: 'answer', seq, ok: true, value });
        if (command.kind === 'stop') port.close();
      },
      (error: unknown) => {
        answer({ kind: 'answer', seq, ok: false, error: toPlain(error) });
      },
    );
  });
  await thread.start();
}

/** n.b. `workerData` stays in sight of the whole thread for as long as it lives. */
function takeSecrets({ secrets }: ThreadData): SecretUrls {
  const { message } = receiveMessageOnPort(secrets) as { readonly message: SecretUrls };
  secrets.close();
  return message;
}

function toPlain(error: unknown): PlainError {
  if (!(error instanceof Error)) return { code: 'BEDS_THREAD_PREPARE_FAILED', message: String(error) };
  const code = isBedsError(error) ? error.code : 'BEDS_THREAD_PREPARE_FAILED';
  return { code, message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
}

await main();
