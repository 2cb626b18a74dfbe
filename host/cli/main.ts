import { setImmediate as nextTurn } from 'node:timers/promises';
import { loadConfig } from '../config/load.js';
import type { Environment } from '../config/environment.js';
import type { Config } from '../config/schema.js';
import { COMMANDS } from './commands.js';
import { EXIT, findCommand, type CommandContext } from './command.js';
import { commandText } from './help-text.js';
import { createOutput, type Output, type OutputOptions } from './output.js';
import { parseOptions } from './options.js';
import { printError } from './print.js';
import { signalled, watchPipes } from './signalled.js';

export interface Invocation {
  /** The command line after `beds`. */
  readonly args: readonly string[];
  readonly projectRoot: string;
  readonly cwd: string;
  readonly env: Environment;
  /** Default: those of the process. */
  readonly streams?: Pick<OutputOptions, 'stdout' | 'stderr'>;
}

/** Runs one `beds` command. Resolves to the exit code; never rejects. */
export async function main(invocation: Invocation): Promise<number> {
  const { args, env, streams = process } = invocation;
  const out = createOutput({ stdout: streams.stdout, stderr: streams.stderr, env });
  const stop = signalled();
  watchPipes(streams.stdout, streams.stderr, (code) => {
    if (code !== 'EPIPE' && !stop.hasLostOutput())
      out.note(`beds: standard output is not taken (${code ?? 'unknown'}).`);
    stop.unwritten(code);
  });
  try {
    const code = await runCommand(invocation, out, stop.signal);
    // n.b. what a stream could not write it tells in the next turn.
    await nextTurn();
    return stop.hasLostOutput() ? EXIT.failed : code;
  } catch (error) {
    return stop.exitCode() ?? printError(error, { out, env, json: args.includes('--json') });
  } finally {
    stop.release();
  }
}

async function runCommand(invocation: Invocation, out: Output, signal: AbortSignal): Promise<number> {
  const { projectRoot, cwd, env } = invocation;
  const [name = 'help', ...line] = invocation.args.map((arg, index) => (index === 0 ? commandName(arg) : arg));
  const command = await findCommand(name, COMMANDS);
  const { args, options } = parseOptions(command, line);
  if (options['help'] === true) {
    out.line(commandText(command, out));
    return EXIT.ok;
  }
  let config: Config | undefined;
  const context: CommandContext = {
    projectRoot,
    cwd,
    env,
    args,
    options,
    out,
    signal,
    json: options['json'] === true,
    commands: COMMANDS,
    config: () => (config ??= loadConfig({ projectRoot, env })),
  };
  return command.run(context);
}

/** `beds --help` and `beds -h` are `beds help`. */
function commandName(arg: string): string {
  return arg === '--help' || arg === '-h' ? 'help' : arg;
}
