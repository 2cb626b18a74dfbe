import { spawn } from 'node:child_process';
import { servicesErrors } from '../../errors/dev-servers.js';

export interface CommandOptions {
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/**
 * Runs a program to its end and resolves to what it printed. Throws BEDS_SERVICES_COMMAND_FAILED if it cannot be run or
 * ends with a status other than 0, BEDS_SERVICES_COMMAND_TIMEOUT if it is not done in time.
 */
export function runCommand(command: string, options: CommandOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown): void =>
      reject(servicesErrors.make('BEDS_SERVICES_COMMAND_FAILED', `${command}: ${reason}`, { cause }));
    const child = spawn(command, options.args, {
      env: { ...(options.env ?? process.env) },
      stdio: 'pipe',
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined).end(options.input ?? '');
    child.once('error', (cause) => fail(cause.message, cause));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(stdout);
      else if (child.killed) {
        const message = `${command}: it was ended after ${String(options.timeoutMs)} ms`;
        reject(servicesErrors.make('BEDS_SERVICES_COMMAND_TIMEOUT', message));
      } else if (signal !== null) fail(`it was ended by ${signal}`);
      else fail(`status ${String(code)}: ${lastLines(stderr.trim() === '' ? stdout : stderr)}`);
    });
  });
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-12).join('\n');
}
