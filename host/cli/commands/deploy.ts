import { COMMANDS } from '../../admin/commands.js';
import { adminCommand, readOptions, runCommand } from '../admin-command.js';
import type { Command } from '../command.js';
import { encodeBundle, readBundles } from '../../author/read-bundles.js';

const command = adminCommand('deploy');

/** Options and help are those of the protocol; the bundles are read from files. */
export const deployCommand: Command = {
  ...command,
  usage: command.usage.replace('<bundles>', '<file|folder>...'),
  run: async (context) => {
    const options = readOptions(COMMANDS.deploy, context);
    const bundles = await readBundles({ cwd: context.cwd, paths: context.args }, context.config().plugins);
    return runCommand(context, 'deploy', { ...options, bundles: bundles.map(encodeBundle) });
  },
};
