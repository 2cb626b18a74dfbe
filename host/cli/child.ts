import { main } from './main.js';

/**
 * `beds` for a project of which a host takes care, as a child of that host: the project, then the command line. It ends when the host does, also when that is killed;
 * what it was about goes on when it is run again.
 */
const UNHEEDED_MS = 30_000;
const LEFT_OPEN_MS = 5_000;

process.setSourceMapsEnabled(true);
process.once('disconnect', () => {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.exit(), UNHEEDED_MS).unref();
});
process.channel?.unref();
const [projectRoot = '', ...args] = process.argv.slice(2);
process.exitCode = await main({ args, projectRoot, cwd: process.cwd(), env: process.env });
// n.b. what a command forgot to close must not keep the next one waiting.
setTimeout(() => process.exit(), LEFT_OPEN_MS).unref();
