import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { PackageNames, ProvisionOptions } from '../contract.js';
import { spawn } from 'node:child_process';
import { servicesErrors } from '../../errors/dev-servers.js';

/** Servers are often installed where the PATH of a plain user does not look. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin', '/usr/libexec'];
const BREW_FOLDERS = ['/opt/homebrew/sbin', '/opt/homebrew/bin', '/home/linuxbrew/.linuxbrew/sbin'];

export function searchPath(options: ProvisionOptions): readonly string[] {
  if (options.searchPath !== undefined) return options.searchPath;
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...new Set([...path, ...SYSTEM_FOLDERS, ...BREW_FOLDERS])];
}

/** The first of `names` (in this order) that is an executable file in one of `folders`. */
export function findProgram(names: readonly string[], folders: readonly string[]): string | undefined {
  for (const name of names) {
    for (const folder of folders) {
      const file = join(folder, name);
      if (isExecutable(file)) return file;
    }
  }
  return undefined;
}

/** Folders `<parent>/<child matching pattern>`, newest version last; empty when the parent is absent. */
export function subfolders(parent: string, pattern: RegExp): readonly string[] {
  try {
    const names = readdirSync(parent).filter((name) => pattern.test(name));
    return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((name) => join(parent, name));
  } catch {
    return [];
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

const INSTALL_COMMANDS: readonly (readonly [string, keyof PackageNames, string])[] = [
  ['apt-get', 'apt', 'sudo apt-get update && sudo apt-get install -y'],
  ['dnf', 'dnf', 'sudo dnf install -y'],
  ['apk', 'apk', 'sudo apk add'],
  ['pacman', 'pacman', 'sudo pacman -S --needed'],
  ['brew', 'brew', 'brew install'],
];

/** The one command that installs a server on this platform. */
export function installCommand(names: PackageNames): string {
  const folders = searchPath({});
  const known = INSTALL_COMMANDS.find(([program]) => findProgram([program], folders) !== undefined);
  if (known === undefined) return process.platform === 'darwin' ? `brew install ${names.brew}` : `install ${names.dnf}`;
  const [, manager, command] = known;
  const needsNoSudo = process.getuid?.() === 0;
  return `${needsNoSudo ? command.replaceAll('sudo ', '') : command} ${names[manager]}`;
}

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
