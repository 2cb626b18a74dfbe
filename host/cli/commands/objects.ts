import { EXIT, printable } from '#sdk/cli';
import { askNodes } from '../../admin/client.js';
import { adminDataIfAny } from '../admin-data.js';
import { askOptions, queryCommand } from '../admin-command.js';
import type { Command, CommandContext } from '../command.js';
import { ago, type Output } from '../output.js';
import { dateOf, type KeptUsage, type KnownUsage, usageKnown, verdictOf } from '../../admin/object-usage.js';

const base = queryCommand('objects', {
  details:
    'With a name it answers whether that view, procedure or function may be dropped: who has it in his code, live or kept for a ' +
    'rollback, and who called it, how often, and when last. Without a node of the role admin, calls are those of today since the nodes started.',
  show: () => EXIT.ok,
});

export const objectsCommand: Command = {
  ...base,
  run: async (context) => {
    const [name] = context.args;
    const known = await ask(context, name);
    if (context.json)
      context.out.value({ ...(name === undefined ? {} : { name, ...verdictOf(name, known, agoOf) }), ...known });
    else if (name === undefined) showAll(known, context.out);
    else showOne(name, known, context.out);
    return EXIT.ok;
  },
};

async function ask(context: CommandContext, name: string | undefined): Promise<KnownUsage> {
  const input = name === undefined ? {} : { name };
  const [answers, kept] = await Promise.all([
    askNodes('objects', input, askOptions(context)),
    adminDataIfAny(context, async (ask) => (await ask('objects', input)) as KeptUsage),
  ]);
  return usageKnown(answers, kept);
}

function agoOf(ms: number): string {
  return `${ago(new Date(ms).toISOString())} ago`;
}

function showOne(name: string, known: KnownUsage, out: Output): void {
  const { words } = verdictOf(name, known, agoOf);
  out.line(out.paint('bold', `May ${printable(name)} be dropped?`));
  for (const line of words) out.line(printable(line));
  out.line('Programs that use the database without BEDS are not counted here.');
  if (known.uses.length === 0) return;
  out.line();
  showAll(known, out);
}

function showAll({ uses, declared, since }: KnownUsage, out: Output): void {
  const days = Math.max(1, (Date.now() - since) / 86_400_000);
  const never = declared.filter(
    ({ state, ...each }) =>
      state === 'live' && !uses.some((use) => use.object === each.object && use.domain === each.domain),
  );
  const rows = [
    ...uses.map((use) => [
      ...[use.store, use.object, use.domain, use.version, use.operation, use.calls.toLocaleString('en')],
      ...[(use.callsPerDay ?? use.calls / days).toLocaleString('en', { maximumFractionDigits: 1 })],
      ...[ago(new Date(use.lastAt).toISOString()), use.p95Ms.toLocaleString('en', { maximumFractionDigits: 1 })],
    ]),
    ...[...new Map(never.map((each) => [`${each.object} ${each.domain}`, each])).values()].map((each) => [
      ...[each.store, each.object, each.domain, each.version, '', '0', '0', 'never', ''],
    ]),
  ];
  if (rows.length === 0) out.line('No version has an object of a store in its code, and none was called.');
  else {
    out.table({
      head: ['store', 'object', 'domain', 'version', 'operation', 'calls', 'a day', 'last, ago', 'p95 ms'],
      rows: rows.toSorted((a, b) => `${a[0]} ${a[1]} ${a[2]}`.localeCompare(`${b[0]} ${b[1]} ${b[2]}`)),
      numeric: [5, 6, 8],
    });
    out.line(`Calls since ${dateOf(since)}.`);
  }
}
