import { cliErrors } from '../../errors/cli.js';
import { askOptions, NODE_OPTION } from '../ask-context.js';
import { askNodes } from '../ask-nodes.js';
import { EXIT, type Command, type CommandContext } from '../command.js';
import { runOrder } from '../rollout/run-order.js';

export const quarantineCommand: Command = {
  name: 'quarantine',
  summary: 'Show the bundles that are refused for the harm they did, or allow one again.',
  usage: 'quarantine [list] | quarantine lift <hash|domain>',
  options: { node: NODE_OPTION },
  details:
    'A bundle that ended broker threads again and again is refused by its hash, also after a restart and when it is dropped ' +
    'again. `lift` takes the hash or its first digits (at least 6), or a domain for all of its bundles; it then counts as ' +
    'never tried: deploy or drop it again.',
  run: async (context) => {
    const [action = 'list', name, ...more] = context.args;
    if (action === 'list' && name === undefined) return list(context);
    if (action === 'lift' && name !== undefined && more.length === 0) {
      return runOrder(context, { order: { v: 1, op: 'lift', name }, follows: false, isReached: () => true });
    }
    throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'It reads `quarantine list` or `quarantine lift <hash|domain>`.');
  },
};

async function list(context: CommandContext): Promise<number> {
  const { out } = context;
  const answers = await askNodes({ v: 1, op: 'quarantine' }, askOptions(context));
  const nodes = answers.map(({ node, quarantined }) => ({ node, quarantined }));
  if (context.json) {
    out.value(nodes);
    return EXIT.ok;
  }
  const rows = nodes.flatMap(({ node, quarantined }) =>
    quarantined.map(({ domain, version, hash, since, code, message }) => [
      ...[node, domain, version, hash.slice(0, 12), since],
      `${code}: ${message}`,
    ]),
  );
  if (rows.length === 0) out.line('Nothing is quarantined.');
  else out.table({ head: ['node', 'domain', 'version', 'bundle', 'since', 'why'], rows });
  return EXIT.ok;
}
