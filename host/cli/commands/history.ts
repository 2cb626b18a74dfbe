import { commandErrors, EXIT } from '#sdk/cli';
import { describeLeftovers } from '../../template/template-timers.js';
import type { HistoryEntry } from '../../deploy/history.js';
import { queryCommand } from '../admin-command.js';
import type { CommandContext } from '../command.js';
import type { Output } from '../output.js';

/** What happened to the versions of one host, oldest first. */
export interface NodeHistory {
  readonly node: string;
  readonly entries: readonly HistoryEntry[];
}

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

export const historyCommand = queryCommand('history', {
  options: {
    limit: {
      type: 'string',
      value: '<count>',
      description: `Number of newest entries of each node, at most ${MAX_LIMIT}. Default ${DEFAULT_LIMIT}.`,
    },
  },
  details: 'The newest change comes last. `cause` is the first reason; `beds versions <domain>` and --json show all.',
  show: (answers, context) => {
    const limit = limitOf(context);
    const histories = answers.map(({ node, result: { entries } }) => ({ node, entries: entries.slice(-limit) }));
    if (context.json) context.out.value(histories);
    else printHistories(histories, context.out);
    return EXIT.ok;
  },
});

function limitOf({ options }: Pick<CommandContext, 'options'>): number {
  const given = options['limit'] ?? String(DEFAULT_LIMIT);
  const limit = Number(given);
  if (Number.isInteger(limit) && limit > 0 && limit <= MAX_LIMIT) return limit;
  throw commandErrors.make('BEDS_CLI_OPTION_INVALID', `--limit must be a whole number, at most ${MAX_LIMIT}.`);
}

export function printHistories(histories: readonly NodeHistory[], out: Output): void {
  const rows = histories.flatMap(({ node, entries }) =>
    entries.map(({ at, domain, version, state, findings, left, ms, hash }) => [
      at,
      node,
      domain,
      version,
      state,
      findings?.[0]?.code ?? (left && `left ${describeLeftovers(left)}`),
      ms === undefined ? '' : `${ms} ms`,
      hash.slice(0, 12),
    ]),
  );
  if (rows.length === 0) out.line('Nothing has happened yet.');
  else
    out.table({ head: ['at', 'node', 'domain', 'version', 'state', 'cause', 'after', 'bundle'], rows, numeric: [6] });
}
