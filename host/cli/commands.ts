import { AUTHOR_COMMANDS } from '#sdk/cli';
import { type CommandName, COMMANDS as ADMIN_COMMANDS } from '../admin/commands.js';
import type { Command, CommandRegistry } from './command.js';

/** Commands of the protocol with words of their own: `deploy` reads files, `check` is the author's, `lift` a part of `quarantine`, three of `dead`. */
const OWN_FILE: ReadonlySet<string> = new Set<CommandName>([
  'deploy',
  'check',
  'lift',
  'deadLetter',
  'deadResend',
  'deadDrop',
]);
const derived = (Object.keys(ADMIN_COMMANDS) as CommandName[])
  .filter((name) => !OWN_FILE.has(name))
  .map(
    (name) => [name, async (): Promise<Command> => (await import('./admin-command.js')).adminCommand(name)] as const,
  );

/** One line for each file of commands/, the commands of the protocol by themselves, and those of the author from the SDK. */
export const COMMANDS: CommandRegistry = new Map([
  ['demo', async (): Promise<Command> => (await import('./commands/demo.js')).demoCommand],
  ['start', async (): Promise<Command> => (await import('./commands/start.js')).startCommand],
  ['status', async (): Promise<Command> => (await import('./commands/status.js')).statusCommand],
  ['versions', async (): Promise<Command> => (await import('./commands/versions.js')).versionsCommand],
  ['deploy', async (): Promise<Command> => (await import('./commands/deploy.js')).deployCommand],
  ...derived,
  ['history', async (): Promise<Command> => (await import('./commands/history.js')).historyCommand],
  ['metrics', async (): Promise<Command> => (await import('./commands/metrics.js')).metricsCommand],
  ['logs', async (): Promise<Command> => (await import('./commands/logs.js')).logsCommand],
  ['faults', async (): Promise<Command> => (await import('./commands/faults.js')).faultsCommand],
  ['graph', async (): Promise<Command> => (await import('./commands/graph.js')).graphCommand],
  ['objects', async (): Promise<Command> => (await import('./commands/objects.js')).objectsCommand],
  ['diff', async (): Promise<Command> => (await import('./commands/diff.js')).diffCommand],
  ['quarantine', async (): Promise<Command> => (await import('./commands/quarantine.js')).quarantineCommand],
  ['dead', async (): Promise<Command> => (await import('./commands/dead.js')).deadCommand],
  ['call', async (): Promise<Command> => (await import('./commands/call.js')).callCommand],
  ['login', async (): Promise<Command> => (await import('./commands/login.js')).loginCommand],
  ['logout', async (): Promise<Command> => (await import('./commands/login.js')).logoutCommand],
  ['fleet', async (): Promise<Command> => (await import('./commands/fleet.js')).fleetCommand],
  ['audit', async (): Promise<Command> => (await import('./commands/audit.js')).auditCommand],
  ['users', async (): Promise<Command> => (await import('./commands/users.js')).usersCommand],
  ['dashboard', async (): Promise<Command> => (await import('./commands/dashboard.js')).dashboardCommand],
  ['url', async (): Promise<Command> => (await import('./commands/url.js')).urlCommand],
  ...AUTHOR_COMMANDS,
  ['config', async (): Promise<Command> => (await import('./commands/config.js')).configCommand],
  ['errors', async (): Promise<Command> => (await import('./commands/errors.js')).errorsCommand],
]);
