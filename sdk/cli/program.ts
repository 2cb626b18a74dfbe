import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Command, type CommandContext, type CommandRegistry, EXIT, findCommand } from './command.js';
import { commandText, overviewText } from './help-text.js';
import { parseOptions } from './options.js';
import type { Environment, Output, OutputOptions } from './output.js';
import { printError } from './print.js';
import { signalled, watchPipes } from './signalled.js';

export interface Invocation {
  /** The command line after `beds`. */
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Environment;
  /** Default: those of the process. */
  readonly streams?: Pick<OutputOptions, 'stdout' | 'stderr'>;
}

/** A set of commands, and what they are given beside the command line. */
export interface Program<Context extends CommandContext, O extends Output = Output> {
  readonly commands: CommandRegistry<Context>;
  /** The sentences of the help before and after the list of commands. */
  readonly help: { readonly before: readonly string[]; readonly after: string };
  readonly createOutput: (options: OutputOptions) => O;
  readonly contextOf: (base: Omit<CommandContext, 'out'> & { readonly out: O }) => Context;
}

/** Runs one command. Resolves to the exit code; never rejects. */
export async function runProgram<Context extends CommandContext, O extends Output>(
  program: Program<Context, O>,
  invocation: Invocation,
): Promise<number> {
  const { args, env, streams = process } = invocation;
  const out = program.createOutput({ stdout: streams.stdout, stderr: streams.stderr, env });
  const stop = signalled();
  watchPipes(streams.stdout, streams.stderr, (code) => {
    if (code !== 'EPIPE' && !stop.hasLostOutput())
      out.note(`beds: cannot write to standard output (${code ?? 'unknown'}).`);
    stop.unwritten(code);
  });
  try {
    const code = await runCommand(program, invocation, { out, signal: stop.signal });
    // n.b. what a stream could not write it tells in the next turn.
    await nextTurn();
    return stop.hasLostOutput() ? EXIT.failed : code;
  } catch (error) {
    return stop.exitCode() ?? printError(error, { out, env, json: args.includes('--json') });
  } finally {
    stop.release();
  }
}

async function runCommand<Context extends CommandContext, O extends Output>(
  program: Program<Context, O>,
  { args: [name = 'help', ...line], cwd, env }: Invocation,
  { out, signal }: { readonly out: O; readonly signal: AbortSignal },
): Promise<number> {
  const command = isHelp(name) ? helpCommand(program, out) : await findCommand(name, program.commands);
  const { args, options } = parseOptions(command, line);
  if (options['help'] === true) {
    out.line(commandText(command, out));
    return EXIT.ok;
  }
  return command.run(program.contextOf({ cwd, env, args, options, out, signal, json: options['json'] === true }));
}

/** `beds --help` and `beds -h` are `beds help`. */
function isHelp(name: string): boolean {
  return name === 'help' || name === '--help' || name === '-h';
}

function helpCommand<Context extends CommandContext, O extends Output>(
  { commands: registry, help }: Program<Context, O>,
  out: O,
): Command<Context> {
  const own: Command<Context> = {
    name: 'help',
    summary: 'List the commands, or explain one.',
    usage: 'help [command]',
    options: {},
    run: async ({ args: [name], json }) => {
      const find = async (wanted: string): Promise<Command<Context>> =>
        wanted === 'help' ? own : findCommand(wanted, registry);
      const names = name === undefined ? [...registry.keys(), 'help'] : [name];
      const commands = await Promise.all(names.map(find));
      if (json)
        out.value(
          commands.map(({ name: command, summary, usage, options }) => ({ name: command, summary, usage, options })),
        );
      else if (name === undefined) out.line(overviewText(commands, help, out));
      else out.line(commands.map((command) => commandText(command, out)).join('\n'));
      return EXIT.ok;
    },
  };
  return own;
}
