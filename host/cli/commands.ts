import { type CommandName, COMMANDS as ADMIN_COMMANDS } from '../admin/commands.js';
import type { Command, CommandRegistry } from './command.js';

/** Commands of the protocol that have a file of their own in commands/: one reads files, the other is part of `quarantine`. */
const OWN_FILE: ReadonlySet<string> = new Set<CommandName>(['deploy', 'lift']);
const derived = (Object.keys(ADMIN_COMMANDS) as CommandName[])
  .filter((name) => !OWN_FILE.has(name))
  .map(
    (name) => [name, async (): Promise<Command> => (await import('./admin-command.js')).adminCommand(name)] as const,
  );

/** One line for each file of commands/, and the commands of the protocol by themselves. */
export const COMMANDS: CommandRegistry = new Map([
  ['demo', async (): Promise<Command> => (await import('./commands/demo.js')).demoCommand],
  ['db', async (): Promise<Command> => (await import('./commands/db.js')).dbCommand],
  ['start', async (): Promise<Command> => (await import('./commands/start.js')).startCommand],
  ['status', async (): Promise<Command> => (await import('./commands/status.js')).statusCommand],
  ['versions', async (): Promise<Command> => (await import('./commands/versions.js')).versionsCommand],
  ['deploy', async (): Promise<Command> => (await import('./commands/deploy.js')).deployCommand],
  ...derived,
  ['history', async (): Promise<Command> => (await import('./commands/history.js')).historyCommand],
  ['metrics', async (): Promise<Command> => (await import('./commands/metrics.js')).metricsCommand],
  ['diff', async (): Promise<Command> => (await import('./commands/diff.js')).diffCommand],
  ['quarantine', async (): Promise<Command> => (await import('./commands/quarantine.js')).quarantineCommand],
  ['call', async (): Promise<Command> => (await import('./commands/call.js')).callCommand],
  ['url', async (): Promise<Command> => (await import('./commands/url.js')).urlCommand],
  ['create', async (): Promise<Command> => (await import('./commands/create.js')).createCommand],
  ['build', async (): Promise<Command> => (await import('./commands/build.js')).buildCommand],
  ['config', async (): Promise<Command> => (await import('./commands/config.js')).configCommand],
  ['errors', async (): Promise<Command> => (await import('./commands/errors.js')).errorsCommand],
  ['help', async (): Promise<Command> => (await import('./commands/help.js')).helpCommand],
]);
