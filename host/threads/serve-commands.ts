import { BedsError, isBedsError } from '@beds/sdk';
import type { SecretUrls } from '../config/secrets.js';
import { RequestScope } from '../request/request-scope.js';
import { RequestContext } from '../request/template-context.js';
import { textOf, wordsFor } from '../errors/thrown.js';
import { sealRealm } from '../template/seal-realm.js';
import type { PlainError, ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { BrokerThread } from './thread.js';

const FAILED = 'BEDS_THREAD_PREPARE_FAILED';

/** The way to the supervisor, from a thread or from a process. */
export interface SupervisorPort {
  postMessage(message: ThreadMessage): void;
  onRequest(take: (request: ThreadRequest) => void): void;
  /** An error that nobody caught ends the thread, or the process. */
  endFor(error: Error): void;
  /** Nothing more will be asked or told. */
  close(): void;
}

/** Starts a broker thread and lets the supervisor's commands reach it. Rejects when it cannot connect. */
export async function serveCommands(data: ThreadData, urls: SecretUrls, port: SupervisorPort): Promise<void> {
  sealRealm({ classes: [BedsError, RequestContext, RequestScope], isAdmitted: true });
  const thread = new BrokerThread(data, urls, port);
  // A template that forgot to await must not cost the requests of others: by default Node would end the thread.
  process.on('unhandledRejection', (error) => {
    thread.strays.report('unhandled rejection', error);
  });
  // Ends the thread as without it; what was thrown may be anything, and must not be the supervisor's to make sense of.
  process.on('uncaughtException', (error) => {
    port.endFor(thread.strays.lastWords(error));
  });
  const answer = (message: ThreadMessage): void => {
    port.postMessage(message);
  };
  port.onRequest(({ seq, command }) => {
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
