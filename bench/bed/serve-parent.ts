import type { Answer, Call } from './protocol.js';

export interface Served {
  /** Functions that the parent may call, by name. */
  readonly calls: Readonly<Record<string, (input: never) => Promise<unknown>>>;
  /** Lets go of everything that keeps the process alive. */
  readonly stop: () => Promise<unknown>;
}

/** Of all threads of the process; every program answers them. */
const USAGE: Served['calls'] = {
  cpu: () => Promise.resolve(process.cpuUsage()),
  memory: () => Promise.resolve(process.memoryUsage.rss()),
};

/** Answers the parent's calls until it goes or says so; then the process ends by itself. */
export function serveParent({ calls, stop }: Served): void {
  const answer = (message: Answer): void => {
    if (process.connected) process.send?.(message);
  };
  process.on('message', ({ seq, name, input }: Call) => {
    const call = USAGE[name] ?? calls[name];
    const work = call?.(input as never) ?? Promise.resolve(undefined);
    work.then(
      (value) => {
        answer({ seq, ok: true, value: value ?? null });
      },
      (error: unknown) => {
        answer({ seq, ok: false, message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      },
    );
  });
  process.once('disconnect', () => {
    void stop();
  });
  // The terminal sends Ctrl-C to the whole group; the parent decides when we end.
  process.on('SIGINT', () => undefined);
}
