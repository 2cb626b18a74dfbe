import { parentPort, workerData } from 'node:worker_threads';
import { isBedsError } from '@beds/sdk';
import { threadErrors } from '../errors/thread.js';
import { textOf, wordsFor } from '../errors/thrown.js';
import { refuseObjectUrls } from '../generation/template-globals.js';
import type { PlainError, ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { BrokerThread } from './thread.js';

const FAILED = 'BEDS_THREAD_PREPARE_FAILED';

/** Entry of a broker thread: connects the supervisor's port to the thread's composition root. */
async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw threadErrors.make('BEDS_THREAD_START_FAILED', 'This file must be started as a worker.');
  refuseObjectUrls(true);
  const thread = new BrokerThread(workerData as ThreadData, port);
  // A template that forgot to await must not cost the requests of others: by default Node would end the thread.
  process.on('unhandledRejection', (error) => {
    thread.strays.report('unhandled rejection', error);
  });
  // Ends the thread as without it; what was thrown may be anything, and must not be the supervisor's to make sense of.
  process.on('uncaughtException', (error) => {
    throw thread.strays.lastWords(error);
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

function toPlain(error: unknown): PlainError {
  const code = isBedsError(error) ? (textOf(error, 'code') ?? FAILED) : FAILED;
  const stack = textOf(error, 'stack');
  return { code, message: wordsFor(error), ...(stack === undefined ? {} : { stack }) };
}

await main();
