import type { OutgoingMessage } from '../../sdk/client/broker-link.js';
import type { RequestPipeline } from '../../sdk/client/request-pipeline.js';
import type { Target } from '../../sdk/client/target.js';
import { PAYLOAD } from '../context/serve-echo.js';

/** What the client itself does for calls, with nothing behind it. */
export interface ClientProbe {
  /** Makes `BATCH` calls in one turn, as one message; resolves when each has its reply. */
  burst(): Promise<unknown>;
  readonly stop: () => Promise<void>;
}

/** Calls of a burst. */
export const BATCH = 100;

/** n.b. these are not behind a door of the SDK, so they are taken from where the SDK is compiled to. */
const PIPELINE = new URL('../../../sdk/dist/client/request-pipeline.js', import.meta.url).href;
const TARGET = new URL('../../../sdk/dist/client/target.js', import.meta.url).href;
const BOUNDS = { maxCount: BATCH, maxBytes: 262_144, retries: 3, ask: () => Promise.resolve() };
const DEADLINE_MS = 10_000;

export async function makeClientProbe(): Promise<ClientProbe> {
  const { RequestPipeline: Pipeline } = (await import(PIPELINE)) as {
    readonly RequestPipeline: typeof RequestPipeline;
  };
  const { Target: OfTarget } = (await import(TARGET)) as { readonly Target: typeof Target };
  const target = new OfTarget('echo', 'echo');
  const ids = Array.from({ length: BATCH }, (_, n) => `bench-${String(n)}`);
  const replies = Buffer.from(
    JSON.stringify(ids.map((id) => ({ v: 1, id, ok: true, data: PAYLOAD, by: { mode: 'read' } }))),
  );
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
      target,
      head: `${target.head},"id":"${id}","payload":${JSON.stringify(PAYLOAD)}`,
      meta: ',"client":"bench"',
      caller: undefined,
      deadlineMs: DEADLINE_MS,
      signal: undefined,
      take: (reply) => reply,
    });
  return { burst: () => Promise.all(ids.map(call)), stop: () => pipeline.drain(0) };
}
