export interface Stop {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** What to exit with because of a signal; undefined when there was none. */
  readonly exitCode: () => number | undefined;
  /** Gives the signals back. */
  readonly release: () => void;
}

/** Turns SIGINT and SIGTERM into an orderly end: the servers must be stopped first. */
export function stopOnSignals(): Stop {
  const abort = new AbortController();
  let exitCode: number | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    exitCode = name === 'SIGINT' ? 130 : 143;
    abort.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return {
    signal: abort.signal,
    exitCode: () => exitCode,
    release: () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal),
  };
}
