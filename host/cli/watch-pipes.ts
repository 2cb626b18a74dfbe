/** A stream of the process; others, as tests have, emit no errors. */
interface Pipe {
  write(text: string): unknown;
  on?(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * What stdout does not take ends the command early: without a reader (`beds status | head -3`) as a shell expects it, on a full disk as a
 * failure. What stderr does not take is nothing that a command depends on. The listeners stay: what was written last can fail after the
 * command has ended. https://nodejs.org/api/process.html#a-note-on-process-io
 */
export function watchPipes(stdout: Pipe, stderr: Pipe, onUnwritten: (code: string | undefined) => void): void {
  stdout.on?.('error', ({ code }) => onUnwritten(code));
  stderr.on?.('error', () => undefined);
}
