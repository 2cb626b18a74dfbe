import type { OutgoingMessage } from '../../sdk/client/broker-link.js';
import type { RequestPipeline } from '../../sdk/client/request-pipeline.js';
import { PAYLOAD } from '../context/serve-echo.js';

/** What the client itself does for calls, with nothing behind it. */
export interface ClientProbe {
  /** Makes `BATCH` calls in one turn, as one message; resolves when each has its reply. */
  burst(): Promise<unknown>;
  readonly stop: () => Promise<void>;
}

/** Calls of a burst. */
export const BATCH = 100;

/** n.b. the pipeline is not behind a door of the SDK, so it is taken from where the SDK is compiled to. */
const PIPELINE = new URL('../../../sdk/dist/client/request-pipeline.js', import.meta.url).href;
const BOUNDS = { maxCount: BATCH, maxBytes: 262_144, retries: 3 };
const DEADLINE_MS = 10_000;

export async function makeClientProbe(): Promise<ClientProbe> {
  const { RequestPipeline: Pipeline } = (await import(PIPELINE)) as {
    readonly RequestPipeline: typeof RequestPipeline;
  };
  const ids = Array.from({ length: BATCH }, (_, n) => `bench-${String(n)}`);
  const replies = Buffer.from(JSON.stringify(ids.map((id) => ({ v: 1, id, ok: true, data: PAYLOAD }))));
  const publish = ({ id }: OutgoingMessage): boolean => {
    queueMicrotask(() => {
      pipeline.reply(replies, id);
    });
    return true;
  };
  const pipeline = new Pipeline({ isReady: true, publish }, BOUNDS);
  const call = (id: string): Promise<unknown> =>
    pipeline.submit({
      id,
      routingKey: 'echo.echo',
      head: `{"v":1,"domain":"echo","op":"echo","id":"${id}","payload":${JSON.stringify(PAYLOAD)}`,
      meta: ',"client":"bench"',
      deadlineMs: DEADLINE_MS,
      isRead: true,
      mayResend: true,
      signal: undefined,
      take: (reply) => reply,
    });
  return { burst: () => Promise.all(ids.map(call)), stop: () => pipeline.drain(0) };
}
