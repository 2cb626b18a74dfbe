import { commandErrors, EXIT, printable } from '#sdk/cli';
import type { FaultGroup } from '../../dashboard/contract.js';
import { withAdminData } from '../admin-data.js';
import type { Command } from '../command.js';
import { ago } from '../output.js';
import { DOMAIN_OPTION, SINCE_OPTION, sinceOf } from './logs.js';

const DAY_MS = 86_400_000;

export const faultsCommand: Command = {
  name: 'faults',
  summary: 'Show what failed, by cause: where, how often, and since when.',
  usage: 'faults [--domain <name>] [--since <time>]',
  options: {
    domain: DOMAIN_OPTION,
    since: { ...SINCE_OPTION, description: `${SINCE_OPTION.description} Default 1d.` },
  },
  details:
    'Faults with the same cause are one row: the same line of the same version. A node of the role admin keeps them. ' +
    '`beds logs --domain <name> --level error` shows each of them.',
  run: async (context) => {
    const { options, out, json, args } = context;
    if (args.length > 0)
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'It takes options only: --domain cities.');
    const domain = typeof options['domain'] === 'string' ? options['domain'] : '';
    const since = sinceOf(options) ?? Date.now() - DAY_MS;
    const groups = await withAdminData(
      context,
      async (ask) => (await ask('faults', { domain, since })) as readonly FaultGroup[],
    );
    if (json) out.value(groups);
    else if (groups.length === 0) out.line('Nothing failed in this time.');
    else {
      const rows = groups.map((group) => [
        group.count.toLocaleString('en'),
        agoOf(group.lastAt),
        agoOf(group.firstAt),
        `${group.domain} ${group.version}`.trim(),
        printable(group.message.replace(/: [\d,]+ more like it in .*$/, '')),
        [group.code, group.place].filter((text) => text !== '').join(' at '),
      ]);
      out.table({ head: ['count', 'last, ago', 'first, ago', 'version', 'what', 'where'], rows, numeric: [0] });
    }
    return EXIT.ok;
  },
};

function agoOf(ms: number): string {
  return ago(new Date(ms).toISOString());
}
