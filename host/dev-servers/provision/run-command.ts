import { spawn } from 'node:child_process';
import { servicesErrors } from '../../errors/services.js';

export interface CommandOptions {
  readonly args: readonly string[];
  readonly timeoutMs: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string;
  readonly signal?: AbortSignal;
}

interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, bounded. Throws BEDS_SERVICES_COMMAND_FAILED only if it cannot be run or takes too long. */
function runCommand(command: string, options: CommandOptions): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
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
    child.once('error', (cause) => reject(failed(command, cause.message, cause)));
    child.once('close', (code, signal) => {
      if (signal === null) resolve({ code, stdout, stderr });
      else reject(failed(command, `it was ended by ${signal} (limit ${String(options.timeoutMs)} ms)`));
    });
  });
}

/** As `runCommand`, and throws BEDS_SERVICES_COMMAND_FAILED for a status other than 0. */
export async function runChecked(command: string, options: CommandOptions): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, options);
  if (code === 0) return stdout;
  const said = (stderr.trim() === '' ? stdout : stderr).trim().split('\n').slice(-12).join('\n');
  throw failed(command, `status ${String(code)}: ${said}`);
}

function failed(command: string, reason: string, cause?: unknown): Error {
  return servicesErrors.make('BEDS_SERVICES_COMMAND_FAILED', `${command}: ${reason}`, { cause });
}
