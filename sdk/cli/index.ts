import type { AuthorContext } from './author.js';
import type { Command } from './command.js';

export type {
  ApplyRequest,
  AuthorContext,
  AuthorSettings,
  AuthorTools,
  ChangePhase,
  ChangePlan,
  ChangeRequest,
  CollectionsRequest,
  CountedRows,
  DatabasePlan,
  DatabaseStatus,
  DescribedValue,
  DevHost,
  Finding,
  Generator,
  HostLine,
  Language,
  ModelAnswer,
  ModelRequest,
  ObjectUser,
  Opinion,
  PlannedStep,
  Proof,
  ProofStep,
  ProveRequest,
  StartHostOptions,
  StoreKind,
  StoreObject,
  TokenUse,
  ToolsPlace,
} from './author.js';
export { type Command, type CommandContext, type CommandOption, type CommandRegistry, EXIT } from './command.js';
export { checkErrors, commandErrors } from './command-errors.js';
export { createOutput, type Output, type OutputOptions, type Style } from './output.js';
export { printable } from './print.js';
export { type Invocation, runProgram } from './program.js';
export { signalled } from './signalled.js';

type LoadCommand = () => Promise<Command<AuthorContext>>;

/** The commands of an author, in the order of the help. A program that has them gives them an `AuthorContext`. */
export const AUTHOR_COMMANDS: readonly (readonly [string, LoadCommand])[] = [
  ['create', async (): Promise<Command<AuthorContext>> => (await import('./create-command.js')).createCommand],
  ['import', async (): Promise<Command<AuthorContext>> => (await import('./import-command.js')).importCommand],
  ['check', async (): Promise<Command<AuthorContext>> => (await import('./check-command.js')).checkCommand],
  ['test', async (): Promise<Command<AuthorContext>> => (await import('./test-command.js')).testCommand],
  ['build', async (): Promise<Command<AuthorContext>> => (await import('./build-command.js')).buildCommand],
  ['dev', async (): Promise<Command<AuthorContext>> => (await import('./dev-command.js')).devCommand],
  [
    'introspect',
    async (): Promise<Command<AuthorContext>> => (await import('./introspect-command.js')).introspectCommand,
  ],
  ['design', async (): Promise<Command<AuthorContext>> => (await import('./design-command.js')).designCommand],
  ['spec', async (): Promise<Command<AuthorContext>> => (await import('./spec-command.js')).specCommand],
  ['generate', async (): Promise<Command<AuthorContext>> => (await import('./generate-command.js')).generateCommand],
  ['prove', async (): Promise<Command<AuthorContext>> => (await import('./prove-command.js')).proveCommand],
  ['db', async (): Promise<Command<AuthorContext>> => (await import('./db-command.js')).dbCommand],
  ['describe', async (): Promise<Command<AuthorContext>> => (await import('./describe-command.js')).describeCommand],
  ['types', async (): Promise<Command<AuthorContext>> => (await import('./describe-command.js')).typesCommand],
];
