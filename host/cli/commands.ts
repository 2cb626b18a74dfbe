import type { Command, CommandRegistry } from './command.js';

/** One line for each file of commands/. */
export const COMMANDS: CommandRegistry = new Map([
  ['demo', async (): Promise<Command> => (await import('./commands/demo.js')).demoCommand],
  ['db', async (): Promise<Command> => (await import('./commands/db.js')).dbCommand],
  ['start', async (): Promise<Command> => (await import('./commands/start.js')).startCommand],
  ['status', async (): Promise<Command> => (await import('./commands/status.js')).statusCommand],
  ['plugins', async (): Promise<Command> => (await import('./commands/plugins.js')).pluginsCommand],
  ['deploy', async (): Promise<Command> => (await import('./commands/deploy.js')).deployCommand],
  ['rollback', async (): Promise<Command> => (await import('./commands/rollback.js')).rollbackCommand],
  ['promote', async (): Promise<Command> => (await import('./commands/promote.js')).promoteCommand],
  ['pause', async (): Promise<Command> => (await import('./commands/pause.js')).pauseCommand],
  ['retire', async (): Promise<Command> => (await import('./commands/retire.js')).retireCommand],
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
