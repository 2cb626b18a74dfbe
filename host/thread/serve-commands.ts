import { BedsError, isBedsError } from '@beds/sdk';
import type { SecretUrls } from '../config/take-urls.js';
import { RequestScope } from '../dispatch/request-scope.js';
import { RequestContext } from '../dispatch/template-context.js';
import { sealRealm } from '../generation/seal-realm.js';
import type { PlainError, ThreadData, ThreadMessage, ThreadRequest } from './protocol.js';
import { BrokerThread } from './thread.js';

/** The way to the supervisor, from a thread or from a process. */
export interface SupervisorPort {
  postMessage(message: ThreadMessage): void;
  onRequest(take: (request: ThreadRequest) => void): void;
  /** Nothing more will be asked or told. */
  close(): void;
}

/** Starts a broker thread and lets the supervisor's commands reach it. Rejects when it cannot connect. */
export async function serveCommands(data: ThreadData, urls: SecretUrls, port: SupervisorPort): Promise<void> {
  sealRealm([BedsError, RequestContext, RequestScope]);
  const thread = new BrokerThread(data, urls, port);
  // A template that forgot to await must not cost the requests of others: by default Node would end the thread.
  process.on('unhandledRejection', (error) => {
    thread.report('unhandled rejection', error);
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
  if (!(error instanceof Error)) return { code: 'BEDS_THREAD_PREPARE_FAILED', message: String(error) };
  const code = isBedsError(error) ? error.code : 'BEDS_THREAD_PREPARE_FAILED';
  return { code, message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }) };
}
