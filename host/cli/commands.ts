import type { Command, CommandRegistry } from './command.js';

/** One line for each file of commands/. */
export const COMMANDS: CommandRegistry = new Map([
  ['demo', async (): Promise<Command> => (await import('./commands/demo.js')).demoCommand],
  ['db', async (): Promise<Command> => (await import('./commands/db.js')).dbCommand],
  ['start', async (): Promise<Command> => (await import('./commands/start.js')).startCommand],
  ['status', async (): Promise<Command> => (await import('./commands/status.js')).statusCommand],
  ['plugins', async (): Promise<Command> => (await import('./commands/plugins.js')).pluginsCommand],
  ['call', async (): Promise<Command> => (await import('./commands/call.js')).callCommand],
  ['url', async (): Promise<Command> => (await import('./commands/url.js')).urlCommand],
  ['create', async (): Promise<Command> => (await import('./commands/create.js')).createCommand],
  ['build', async (): Promise<Command> => (await import('./commands/build.js')).buildCommand],
  ['config', async (): Promise<Command> => (await import('./commands/config.js')).configCommand],
  ['errors', async (): Promise<Command> => (await import('./commands/errors.js')).errorsCommand],
  ['help', async (): Promise<Command> => (await import('./commands/help.js')).helpCommand],
]);
