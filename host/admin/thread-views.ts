import type { ThreadPool } from '../threads/pool.js';
import type { NodeStatus } from './views.js';

export type ThreadView = NodeStatus['threads'][number];

const TIMEOUT_MS = 1_000;

/** Faults that no request of a generation ended with, on all threads. */
export function straysOf(threads: readonly ThreadView[], generation: number | undefined): number {
  const all = threads.flatMap(({ status }) => status?.generations ?? []);
  return all.reduce((total, { id, strays }) => total + (id === generation ? strays : 0), 0);
}

/** Every thread with what it says of itself, as far as it answers within a second. Never rejects. */
export function threadViews(pool: ThreadPool): Promise<readonly ThreadView[]> {
  return Promise.all(
    pool.all.map(async ({ group, handle }) => {
      const status = await handle.status(TIMEOUT_MS).catch(() => undefined);
      return { thread: handle.name, group, state: handle.state, ...(status === undefined ? {} : { status }) };
    }),
  );
}
