import { commandErrors, type CommandOption, EXIT } from '#sdk/cli';
import { AdminClient, askNodes, type AskOptions, type CommandOutcome } from '../admin/client.js';
import { type CommandDefinition, type CommandInput, type CommandName, COMMANDS } from '../admin/commands.js';
import { followRollout } from '../admin/follow-rollout.js';
import {
  type Answer,
  type Definition,
  fieldHelp,
  type FieldHelp,
  type Fields,
  type InputOf,
} from '../admin/protocol.js';
import { QUERIES, type QueryDefinition, type QueryInput, type QueryName, type QueryResult } from '../admin/queries.js';
import { isDecided, isHeldUp, type RolloutStatus } from '../admin/rollout-status.js';
import { cliErrors } from '../errors/cli.js';
import { operatorOf } from './broker-of.js';
import type { Command, CommandContext } from './command.js';
import { parseDuration, parsePercent, TIMEOUT_OPTION, timeoutOf } from './options.js';
import { printFindings } from './output.js';
import { narrator } from './rollout-text.js';

export const NODE_OPTION: CommandOption = {
  type: 'string',
  value: '<name>',
  description: 'Only this node. Default: all.',
};

const FOLLOW_OPTIONS: Readonly<Record<string, CommandOption>> = {
  'no-wait': {
    type: 'boolean',
    description: 'Do not wait for the outcome: end when the nodes have accepted the command.',
  },
  timeout: {
    type: 'string',
    value: '<time>',
    description: 'Maximum wait for the outcome, in addition to the time of a canary: 30s, 5m. Default 60s.',
  },
};

/** Where and how long to ask, as the command line says. */
export function askOptions(context: CommandContext, timeoutMs = timeoutOf(context)): AskOptions {
  const node = context.options['node'];
  return {
    ...operatorOf(context),
    timeoutMs,
    signal: context.signal,
    ...(typeof node === 'string' ? { node } : {}),
  };
}

/** A command of `beds` for a command of the protocol: its arguments, options and help are those of the definition. */
export function adminCommand(name: CommandName): Command {
  const definition: CommandDefinition = COMMANDS[name];
  const options: Command['options'] = {
    ...optionsOf(definition),
    node: NODE_OPTION,
    ...(definition.isReached === undefined ? {} : FOLLOW_OPTIONS),
  };
  return {
    name,
    summary: definition.summary,
    ...(definition.details === undefined ? {} : { details: definition.details }),
    usage: usageOf(name, definition, options),
    options,
    run: (context) => {
      const input = { ...readArguments(definition, context), ...readOptions(definition, context) };
      return runCommand(context, name, input as CommandInput<CommandName>);
    },
  };
}

/** How `beds` shows what the nodes answer to a query. */
export interface QueryDisplay<N extends QueryName> {
  readonly details: string;
  readonly options?: Command['options'];
  /** Prints the answers, sorted by node, and gives the exit code. */
  readonly show: (answers: readonly Answer<QueryResult<N>>[], context: CommandContext) => number;
}

/** A command of `beds` for a query of the protocol: its arguments and its summary are those of the definition. */
export function queryCommand<N extends QueryName>(name: N, display: QueryDisplay<N>): Command {
  const definition: QueryDefinition = QUERIES[name];
  const options = { ...display.options, node: NODE_OPTION, timeout: TIMEOUT_OPTION };
  return {
    name,
    summary: definition.summary,
    details: display.details,
    usage: usageOf(name, definition, options),
    options,
    run: async (context) => {
      const input = readArguments(definition, context) as QueryInput<N>;
      const answers = await askNodes(name, input, askOptions(context));
      return display.show(
        answers.toSorted((a, b) => a.node.localeCompare(b.node)),
        context,
      );
    },
  };
}

function usageOf(name: string, definition: Definition, options: Command['options']): string {
  return [name, ...argumentNames(definition), ...Object.entries(options).map(optionUsage)].join(' ');
}

function optionUsage([name, { value }]: readonly [string, CommandOption]): string {
  return `[--${name}${value === undefined ? '' : ` ${value}`}]`;
}

interface Field extends FieldHelp {
  readonly name: string;
  readonly isOptional: boolean;
}

function fieldsOf({ fields }: Definition): readonly Field[] {
  return Object.entries(fields).map(([name, schema]) => ({
    name,
    isOptional: schema._zod.optin === 'optional',
    ...(fieldHelp.get(schema) ?? { description: '' }),
  }));
}

function argumentNames(definition: Definition): readonly string[] {
  return fieldsOf(definition)
    .filter(({ option }) => option === undefined)
    .map(({ name, isOptional }) => (isOptional ? `[${name}]` : `<${name}>`));
}

function optionsOf(definition: Definition): Readonly<Record<string, CommandOption>> {
  return Object.fromEntries(
    fieldsOf(definition).flatMap(({ option, value, description }) => {
      if (option === undefined) return [];
      return [[option, { type: value === undefined ? 'boolean' : 'string', description, ...(value && { value }) }]];
    }),
  );
}

/** The arguments by position, as the fields of a definition that are no options. Throws BEDS_CLI_ARGUMENT_INVALID. */
export function readArguments<F extends Fields>(
  definition: Definition<F>,
  { args }: Pick<CommandContext, 'args'>,
): InputOf<F> {
  const fields = fieldsOf(definition).filter(({ option }) => option === undefined);
  const missing = fields.filter(({ isOptional }, index) => args[index] === undefined && !isOptional);
  if (missing.length > 0) throw invalidArgument(`Name the ${missing.map(({ name }) => name).join(' and the ')}.`);
  const extra = args[fields.length];
  if (extra !== undefined) throw invalidArgument(`${JSON.stringify(extra)} is one argument too many.`);
  const given = fields.slice(0, args.length).map(({ name }, index) => {
    const checked = definition.fields[name]?.safeParse(args[index]);
    if (checked?.success === true) return [name, checked.data];
    throw invalidArgument(`${JSON.stringify(args[index])} ${checked?.error.issues[0]?.message ?? 'cannot be used'}.`);
  });
  return Object.fromEntries(given) as InputOf<F>;
}

function invalidArgument(message: string): Error {
  return commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}

/** What the options say, as the fields of a definition. Throws BEDS_CLI_OPTION_INVALID. */
export function readOptions(
  definition: Definition,
  { options }: Pick<CommandContext, 'options'>,
): Readonly<Record<string, unknown>> {
  const given = fieldsOf(definition).flatMap(({ name, option = '', value }): [string, unknown][] => {
    const text = options[option];
    if (text === undefined) return [];
    if (typeof text !== 'string') return [[name, text]];
    return [[name, value === '<percent>' ? parsePercent(option, text) : parseDuration(option, text)]];
  });
  return Object.fromEntries(given);
}

const FOLLOW_TIMEOUT_MS = 60_000;
const ASK_TIMEOUT_MS = 3_000;

/** Gives a command to the nodes, follows it to its outcome and prints that. Resolves to the exit code. */
export async function runCommand<N extends CommandName>(
  context: CommandContext,
  name: N,
  input: CommandInput<N>,
): Promise<number> {
  const { timeout } = context.options;
  const timeoutMs = typeof timeout === 'string' ? parseDuration('timeout', timeout) : FOLLOW_TIMEOUT_MS;
  const options = askOptions(context, ASK_TIMEOUT_MS);
  const { out, json, signal } = context;
  const write = json ? out.note : out.line;
  const definition: CommandDefinition = COMMANDS[name];
  const isThere = (status: RolloutStatus): boolean => definition.isReached?.(status, input) ?? true;
  const client = await AdminClient.open(options);
  try {
    const outcome = await client.command(name, input, options);
    printOutcome(outcome, write);
    const isAccepted = outcome.accepted.length > 0 && outcome.refused.length + outcome.silent.length === 0;
    const isFollowed =
      definition.isReached !== undefined && context.options['no-wait'] !== true && outcome.accepted.length > 0;
    const statuses = isFollowed
      ? await followRollout(client, outcome, { signal, timeoutMs, onLook: narrator(write) })
      : [];
    const isOk = isAccepted && statuses.every(isThere);
    if (json) out.value({ ok: isOk, ...summary(outcome, statuses) });
    const isUnfinished = statuses.some((status) => !isDecided(status, statuses));
    if (signal.aborted && isUnfinished)
      out.note('The rollout goes on in the hosts: `beds status` and `beds history` show it.');
    signal.throwIfAborted();
    for (const status of statuses) if (!isThere(status)) printStatus(status, statuses, write);
    if (isUnfinished && !json) throw cliErrors.make('BEDS_CLI_ROLLOUT_UNFINISHED');
    return isOk ? EXIT.ok : EXIT.failed;
  } finally {
    await client.close();
  }
}

function summary({ accepted, refused, silent }: CommandOutcome, statuses: readonly RolloutStatus[]): object {
  return {
    accepted: accepted.map(({ node, at, receipts }) => ({ node, at, receipts })),
    refused: refused.map(({ node, error }) => ({ node, error })),
    silent,
    outcomes: statuses.map(({ node, domain, version, hash, state, findings, canary }) => ({
      node,
      domain,
      version,
      hash,
      state,
      findings,
      ...(canary === undefined ? {} : { canary }),
    })),
  };
}

function printOutcome({ accepted, refused, silent }: CommandOutcome, write: (text: string) => void): void {
  for (const { node, receipts } of accepted) for (const { words } of receipts) write(`${node}: ${words}`);
  for (const { node, error } of refused) {
    write(`${node} refused:`);
    printFindings([error, ...(error.findings ?? [])], write);
  }
  for (const node of silent) write(`${node} did not answer.`);
}

function printStatus(status: RolloutStatus, all: readonly RolloutStatus[], write: (text: string) => void): void {
  const { node, domain, version, state, findings } = status;
  const words = isHeldUp(status, all) ? `${state} and takes over together with the waiting versions` : state;
  write('');
  write(`${node}: ${domain} ${version} is ${words}${findings.length === 0 ? '.' : ':'}`);
  printFindings(findings, write);
}
