/** A stream of the process; others, as tests have, emit no errors. */
interface Pipe {
  write(text: string): unknown;
  on?(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * Without a reader of stdout (`beds status | head -3`) the command ends early, and without one of stderr it goes on in
 * silence. The listeners stay: what was written last can fail after the command has ended.
 * https://nodejs.org/api/process.html#a-note-on-process-io
 */
export function watchPipes(stdout: Pipe, stderr: Pipe, onUnread: () => void): void {
  stdout.on?.('error', (error) => {
    if (error.code !== 'EPIPE') throw error;
    onUnread();
  });
  stderr.on?.('error', (error) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
