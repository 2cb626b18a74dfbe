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
