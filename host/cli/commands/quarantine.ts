import { commandErrors, EXIT } from '#sdk/cli';
import { askNodes } from '../../admin/client.js';
import { COMMANDS } from '../../admin/commands.js';
import { askOptions, NODE_OPTION, readArguments, runCommand } from '../admin-command.js';
import type { Command, CommandContext } from '../command.js';

export const quarantineCommand: Command = {
  name: 'quarantine',
  summary: 'Show the quarantined bundles, or lift one.',
  usage: 'quarantine [list] | quarantine lift <hash|domain>',
  options: { node: NODE_OPTION },
  details:
    'A bundle that ended broker threads repeatedly is refused by its hash, also after a restart and when it is dropped ' +
    'again. `lift` takes the hash or its first digits (at least 6), or a domain for all its bundles. Then they count as ' +
    'never tried: deploy or drop them again.',
  run: async (context) => {
    const [action = 'list', ...args] = context.args;
    if (action === 'list' && args.length === 0) return list(context);
    if (action === 'lift') return runCommand(context, 'lift', readArguments(COMMANDS.lift, { args }));
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Use `quarantine list` or `quarantine lift <hash|domain>`.');
  },
};

async function list(context: CommandContext): Promise<number> {
  const { out } = context;
  const answers = await askNodes('quarantine', {}, askOptions(context));
  const nodes = answers.map(({ node, result: { quarantined } }) => ({ node, quarantined }));
  if (context.json) {
    out.value(nodes);
    return EXIT.ok;
  }
  const rows = nodes.flatMap(({ node, quarantined }) =>
    quarantined.map(({ domain, version, hash, since, code, message }) => [
      node,
      domain,
      version,
      hash.slice(0, 12),
      since,
      `${code}: ${message}`,
    ]),
  );
  if (rows.length === 0) out.line('No bundle is quarantined.');
  else out.table({ head: ['node', 'domain', 'version', 'bundle', 'since', 'why'], rows });
  return EXIT.ok;
}
