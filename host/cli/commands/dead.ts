import { createInterface } from 'node:readline';
import { commandErrors, type CommandOption, EXIT, printable } from '#sdk/cli';
import { AdminClient, askNodes } from '../../admin/client.js';
import { MAX_LETTER_IDS, MAX_LETTERS } from '../../admin/commands.js';
import type { LetterFilter } from '../../admin/dead-letters.js';
import { MAX_LISTED_LETTERS, type QueryResult } from '../../admin/queries.js';
import { adminErrors } from '../../errors/admin.js';
import { askOptions, NODE_OPTION, runCommand } from '../admin-command.js';
import type { Command, CommandContext } from '../command.js';
import { timeoutOf } from '../options.js';
import { ago, type Output } from '../output.js';
import type { DeadLetterView, DeadLetterDetail, LetterCaution } from '../../admin/shown.js';

const filter = (value: `<${string}>`, description: string): CommandOption => ({ type: 'string', value, description });

/** There may be many: RabbitMQ hands over thousands of letters in seconds. */
const TIMEOUT_MS = 15_000;
const SHOWN = 20;

export const deadCommand: Command = {
  name: 'dead',
  summary: 'List the dead letters with their reasons, look into one, send some again, or drop them.',
  usage: 'dead [list] | dead show <id> | dead resend [id]... | dead drop [id]...',
  options: {
    domain: filter('<name>', 'Only those of this domain.'),
    operation: filter('<name>', 'Only those of this operation.'),
    reason: filter('<code>', 'Only those with this reason.'),
    limit: filter('<number>', `Letters in a list (default ${SHOWN}), or in one order (default: all that fit).`),
    after: filter('<id>', 'Begin the list behind this letter.'),
    yes: { type: 'boolean', description: 'Do not ask for confirmation.' },
    node: NODE_OPTION,
    timeout: { ...filter('<time>', 'Maximum wait for an answer: 500ms, 5s. Default 15s.') },
  },
  details:
    'Requests that nobody carried out, and whose callers could not be told, stay in the queue `<prefix>.dead` with the reason. ' +
    '`show` prints headers and body, with tokens and passwords hidden. `resend` publishes the request as if it were made now: it has all its ' +
    'time again, and nobody waits for the answer. If it fails again, it is a dead letter again. `drop` is for good. Both say how many letters ' +
    'they are about and ask first; none that came since is among them. What may have been carried out is marked: read before you send it again.',
  run: async (context) => {
    const [verb = 'list', ...args] = context.args;
    if (verb === 'list' && args.length === 0) return list(context);
    const [id] = args;
    if (verb === 'show' && id !== undefined && args.length === 1) return show(context, id);
    if (verb === 'resend') return order(context, 'deadResend', args);
    if (verb === 'drop') return order(context, 'deadDrop', args);
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `Use \`${deadCommand.usage}\`.`);
  },
};

async function list(context: CommandContext): Promise<number> {
  const { out, options } = context;
  const limit = Math.min(limitOf(context) ?? SHOWN, MAX_LISTED_LETTERS);
  const after = typeof options['after'] === 'string' ? { after: options['after'] } : {};
  const found = await ask(context, { limit, ...after });
  if (context.json) {
    out.value(found);
    return EXIT.ok;
  }
  const { letters, total, seen, matching, kinds } = found;
  if (total === 0) {
    out.line('There are no dead letters.');
    return EXIT.ok;
  }
  const counts = kinds.map(({ domain, operation, reason, count }) => [count, nameOf({ domain, operation }), reason]);
  out.table({ head: ['letters', 'for', 'reason'], rows: counts, numeric: [0] });
  out.line();
  if (letters.length > 0) {
    out.table({
      head: ['id', 'for', 'reason', 'from', 'since', 'bytes', 'delivered', 'sent again', 'note'],
      rows: letters.map((letter) => [
        ...[letter.id, nameOf(letter), letter.reason, letter.from ?? ''],
        letter.diedAt === undefined ? '' : ago(letter.diedAt),
        ...[letter.bytes, letter.deliveries ?? '', letter.resent === 0 ? '' : letter.resent],
        letter.caution === undefined ? '' : CAUTIONS[letter.caution],
      ]),
      numeric: [5, 6, 7],
    });
  }
  const more = matching - letters.length;
  if (more > 0) out.line(`${more.toLocaleString('en')} more fit; --after ${letters.at(-1)?.id ?? ''} goes on.`);
  if (seen < total)
    out.line(`Only the oldest ${seen.toLocaleString('en')} of ${total.toLocaleString('en')} were looked at.`);
  return EXIT.ok;
}

const CAUTIONS: Readonly<Record<LetterCaution, string>> = {
  'may-have-run': 'may have been carried out',
  'ended-its-thread': 'ended its thread',
  unreadable: 'cannot be read',
};

function nameOf({ domain, operation }: Pick<DeadLetterView, 'domain' | 'operation'>): string {
  return domain === '' ? '-' : `${domain}.${operation}`;
}

async function show(context: CommandContext, id: string): Promise<number> {
  const options = askOptions(context, timeoutOfDead(context));
  const client = await AdminClient.open(options);
  let letter: DeadLetterDetail | undefined;
  try {
    const { accepted } = await client.command('deadLetter', { id }, options);
    letter = accepted[0]?.receipts[0]?.letter;
  } finally {
    await client.close();
  }
  if (letter === undefined) throw adminErrors.make('BEDS_ADMIN_LETTERS_UNAVAILABLE');
  if (context.json) context.out.value(letter);
  else print(letter, context.out);
  return EXIT.ok;
}

function print(letter: DeadLetterDetail, out: Output): void {
  const { properties, headers, body, isCut, ...view } = letter;
  out.line(out.paint('bold', `${nameOf(view)}  ${view.id}`));
  out.line(printable(`${view.reason}: ${view.message}`));
  if (view.caution !== undefined) out.line(`Note: it ${CAUTIONS[view.caution]}.`);
  const facts: [string, unknown][] = [
    ...[['since', view.since] as const, ['dead since', view.diedAt] as const, ['from', view.from] as const],
    ...[['delivered', view.deliveries] as const, ['sent again', view.resent] as const, ['bytes', view.bytes] as const],
  ].map(([name, value]) => [name, value]);
  const rows = [
    ...facts.filter(([, value]) => value !== undefined),
    ...Object.entries(properties),
    ...Object.entries(headers),
  ];
  out.line();
  for (const [name, value] of rows) {
    out.line(`${printable(name)}  ${printable(typeof value === 'string' ? value : JSON.stringify(value))}`);
  }
  out.line();
  out.line(printable(body));
  if (isCut) out.line('… (the rest is not shown)');
}

/** Counts what it is about, asks, and gives the order for no more than that. */
async function order(
  context: CommandContext,
  name: 'deadResend' | 'deadDrop',
  ids: readonly string[],
): Promise<number> {
  const { out, json, options } = context;
  const which = filterOf(context);
  if (ids.length === 0 && Object.keys(which).length === 0) {
    const words = 'Name the letters: by their ids, or with --reason, --domain or --operation.';
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', words);
  }
  if (ids.length > MAX_LETTER_IDS) {
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `Name at most ${MAX_LETTER_IDS} letters.`);
  }
  const count = ids.length > 0 ? ids.length : (await ask(context, { limit: 1 })).matching;
  const most = Math.min(count, limitOf(context) ?? MAX_LETTERS, MAX_LETTERS);
  if (most === 0) {
    if (json) out.value({ ok: true, accepted: [], refused: [], silent: [], outcomes: [] });
    else out.line('No dead letter fits.');
    return EXIT.ok;
  }
  const did = name === 'deadResend' ? 'Send again' : 'Drop for good';
  const question = `${did}: ${aboutText(ids, which, most)}?`;
  if (options['yes'] !== true && !(await confirmed(question, context))) {
    out.note('Nothing was done.');
    return EXIT.failed;
  }
  return runCommand(context, name, { ...which, ...(ids.length > 0 ? { ids: [...ids] } : {}), most });
}

function aboutText(ids: readonly string[], { domain, operation, reason }: LetterFilter, count: number): string {
  const letters = count === 1 ? 'letter' : 'letters';
  if (ids.length > 0) return `${count} ${letters} (${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''})`;
  const about = [domain && `of ${domain}`, operation && `for ${operation}`, reason && `with ${reason}`];
  return `the oldest ${count.toLocaleString('en')} ${letters} ${about.filter((words) => words !== undefined).join(' ')}`;
}

/** At a terminal only: nobody else can answer. */
async function confirmed(question: string, { out, signal }: CommandContext): Promise<boolean> {
  if (!process.stdin.isTTY) {
    const words = `${question} Give --yes where nobody can be asked.`;
    throw commandErrors.make('BEDS_CLI_OPTION_INVALID', words);
  }
  const lines = createInterface({ input: process.stdin });
  signal.addEventListener('abort', () => lines.close(), { once: true });
  out.note(`${question} [y/N]`);
  try {
    for await (const line of lines) return /^y(es)?$/i.test(line.trim());
    return false;
  } finally {
    lines.close();
  }
}

async function ask(
  context: CommandContext,
  page: { readonly limit: number; readonly after?: string },
): Promise<QueryResult<'dead'>> {
  const options = askOptions(context, timeoutOfDead(context));
  const [answer] = await askNodes('dead', { ...filterOf(context), ...page }, options);
  return answer?.result ?? { letters: [], total: 0, seen: 0, matching: 0, kinds: [] };
}

function timeoutOfDead(context: CommandContext): number {
  return context.options['timeout'] === undefined ? TIMEOUT_MS : timeoutOf(context);
}

function filterOf({ options }: CommandContext): { domain?: string; operation?: string; reason?: string } {
  const given = (['domain', 'operation', 'reason'] as const).map((name) => [name, options[name]] as const);
  return Object.fromEntries(given.filter(([, value]) => typeof value === 'string'));
}

function limitOf({ options }: CommandContext): number | undefined {
  const given = options['limit'];
  if (typeof given !== 'string') return undefined;
  const limit = Number(given);
  if (Number.isInteger(limit) && limit > 0) return limit;
  throw commandErrors.make('BEDS_CLI_OPTION_INVALID', '--limit must be a whole number above 0.');
}
