/** What a process got from outside while a command ran. */
export interface Signalled {
  readonly signal: AbortSignal;
  /** The exit code that a shell expects after the signal; undefined when there was none. */
  readonly exitCode: () => number | undefined;
  /** stdout took no more: `EPIPE` aborts, as SIGPIPE would have ended the process, which Node ignores; others are noted. */
  readonly unwritten: (code: string | undefined) => void;
  /** Whether stdout lost something that somebody waits for: on a full disk, not where nobody reads on. */
  readonly hasLostOutput: () => boolean;
  readonly release: () => void;
}

const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** 128 and the number of SIGPIPE. */
const UNREAD_CODE = 141;
const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts the signal at the first SIGINT, SIGTERM or SIGHUP, for an orderly end; a second one ends the process. */
export function signalled(): Signalled {
  const abort = new AbortController();
  let exitCode: number | undefined;
  let hasLostOutput = false;
  const release = (): void => {
    for (const name of NAMES) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    exitCode = CODES[name as keyof typeof CODES];
    // n.b. without a listener the next signal has its usual effect: it ends the process.
    release();
    abort.abort();
  };
  const unwritten = (code: string | undefined): void => {
    if (code !== 'EPIPE') {
      hasLostOutput = true;
      return;
    }
    exitCode ??= UNREAD_CODE;
    abort.abort();
  };
  for (const name of NAMES) process.on(name, onSignal);
  return { signal: abort.signal, exitCode: () => exitCode, unwritten, hasLostOutput: () => hasLostOutput, release };
}

/** A stream of the process; others, as tests have, emit no errors. */
interface Pipe {
  write(text: string): unknown;
  on?(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * Without a reader of stdout (`beds status | head -3`) the command ends early, as a shell expects it. On a full disk it does what it is
 * there for, and fails at the end. What stderr does not take is nothing that a command depends on. The listeners stay: what was written
 * last can fail after the command has ended. https://nodejs.org/api/process.html#a-note-on-process-io
 */
export function watchPipes(stdout: Pipe, stderr: Pipe, onUnwritten: (code: string | undefined) => void): void {
  stdout.on?.('error', ({ code }) => onUnwritten(code));
  stderr.on?.('error', () => undefined);
}
