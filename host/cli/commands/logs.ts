import { commandErrors, type CommandOption, EXIT, printable, type Style } from '#sdk/cli';
import type { Channel, ConsumeMessage } from 'amqplib';
import { endConnection } from '#sdk/amqp';
import { sleep } from '#sdk/time';
import { accountOf } from '../../access/programs.js';
import { askNodes } from '../../admin/client.js';
import { connect } from '../../amqp/guarded-amqplib.js';
import { makeNames } from '../../amqp/names.js';
import { levelName, LOG_LEVELS, type LogLevelName, type TappedLine } from '../../observe/log-tap.js';
import { adminDataIfAny, withAdminData } from '../admin-data.js';
import { brokerOf, operatorOf } from '../broker-of.js';
import type { Command, CommandContext } from '../command.js';
import { NODE_OPTION } from '../admin-command.js';
import { parseDuration } from '../options.js';
import type { Output } from '../output.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;
const MAX_PAGE = 500;
/** Lines of several nodes come this late at most, and are put in order until then: each node tells its own every second. */
const ORDER_MS = 1_500;
const LOOK_MS = 200;
const CONNECT_MS = 5_000;
const CLOSE_MS = 500;
/** Which accounts nodes have. */
const ASK_MS = 3_000;
const ASK_AGAIN_MS = 10_000;
const MAX_SINCE_MS = 366 * 86_400_000;

export const SINCE_OPTION: CommandOption = {
  type: 'string',
  value: '<time>',
  description: 'Only from this long ago on: 30s, 10m, 2h, 7d.',
};

export const DOMAIN_OPTION: CommandOption = { type: 'string', value: '<name>', description: 'Only of this domain.' };

export const logsCommand: Command = {
  name: 'logs',
  summary: 'Show the log lines of all nodes, in order of time.',
  usage:
    'logs [--follow] [--domain <name>] [--level <level>] [--since <time>] [--request <id>] [--trace <id>] [--node <name>] [--limit <count>]',
  options: {
    follow: { type: 'boolean', short: 'f', description: 'Go on with what nodes say from now on, until it is stopped.' },
    domain: DOMAIN_OPTION,
    level: {
      type: 'string',
      value: '<level>',
      description: `Only this level and above: ${Object.keys(LOG_LEVELS).join(', ')}.`,
    },
    since: SINCE_OPTION,
    request: { type: 'string', value: '<id>', description: 'Only of the request with this id.' },
    trace: { type: 'string', value: '<id>', description: 'Only of the trace with this id.' },
    node: NODE_OPTION,
    limit: {
      type: 'string',
      value: '<count>',
      description: `Number of newest lines, at most ${MAX_LIMIT}. Default ${DEFAULT_LIMIT}.`,
    },
  },
  details:
    'What was said before is kept by a node of the role admin; --follow needs none, as nodes publish each line. (×12) means that so many ' +
    'lines like it were joined. With --json each line is one JSON object.',
  run: async (context) => {
    const wanted = wantedOf(context);
    if (context.options['follow'] === true) await follow(context, wanted);
    else for (const line of await search(context, wanted)) show(line, context);
    return EXIT.ok;
  },
};

/** A line, wherever it comes from. */
interface ShownLine extends TappedLine {
  readonly node: string;
}

interface Wanted {
  readonly domain?: string;
  readonly node?: string;
  readonly level?: number;
  readonly requestId?: string;
  readonly traceId?: string;
  readonly since?: number;
  readonly limit: number;
}

function wantedOf({ options, args }: CommandContext): Wanted {
  if (args.length > 0) throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'It takes options only: --domain cities.');
  const { domain, node, level, request, trace } = options;
  const number = typeof level === 'string' ? levelOf(level) : undefined;
  const since = sinceOf(options);
  return {
    ...(typeof domain === 'string' && { domain }),
    ...(typeof node === 'string' && { node }),
    ...(number !== undefined && { level: number }),
    ...(typeof request === 'string' && { requestId: request }),
    ...(typeof trace === 'string' && { traceId: trace }),
    ...(since !== undefined && { since }),
    limit: limitOf(options['limit'] ?? String(DEFAULT_LIMIT)),
  };
}

function levelOf(name: string): number {
  if (Object.hasOwn(LOG_LEVELS, name)) return LOG_LEVELS[name as LogLevelName];
  const words = `--level ${JSON.stringify(name)} is none of ${Object.keys(LOG_LEVELS).join(', ')}.`;
  throw commandErrors.make('BEDS_CLI_OPTION_INVALID', words);
}

/** What --since says, milliseconds since 1970. */
export function sinceOf({ since }: CommandContext['options']): number | undefined {
  if (typeof since !== 'string') return undefined;
  const [, days] = /^(\d{1,3}) ?d$/.exec(since.trim()) ?? [];
  const ms = days === undefined ? parseDuration('since', since, MAX_SINCE_MS) : Number(days) * 86_400_000;
  return Date.now() - ms;
}

function limitOf(text: unknown): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit > 0 && limit <= MAX_LIMIT) return limit;
  throw commandErrors.make('BEDS_CLI_OPTION_INVALID', `--limit must be a whole number, at most ${MAX_LIMIT}.`);
}

/** The newest lines that are kept, oldest first: page by page into the past. */
function search(context: CommandContext, wanted: Wanted): Promise<readonly ShownLine[]> {
  return withAdminData(context, async (ask) => {
    const { limit, ...conditions } = wanted;
    let lines: ShownLine[] = [];
    let until: number | undefined;
    while (lines.length < limit) {
      const asked = Math.min(MAX_PAGE, limit - lines.length);
      const range = until === undefined ? {} : { until };
      const found = await ask('logs', { ...conditions, ...range, limit: asked });
      const known = new Set(lines.map(({ id }) => id));
      const older = (found as readonly ShownLine[]).filter(({ id }) => !known.has(id));
      lines = older.concat(lines);
      const [oldest] = older;
      if (oldest === undefined || older.length < asked) break;
      // n.b. others of the same millisecond may be on either side of the page.
      until = oldest.at + 1;
    }
    return lines.slice(-limit);
  });
}

/** What was kept, then what is said from now on. */
async function follow(context: CommandContext, wanted: Wanted): Promise<void> {
  const { url, prefix } = brokerOf(context);
  const model = await connect(url, { noDelay: true, timeout: CONNECT_MS });
  const lost = new AbortController();
  model.on('error', () => undefined);
  model.once('close', () => lost.abort());
  const signal = AbortSignal.any([context.signal, lost.signal]);
  try {
    const waiting: ShownLine[] = [];
    const accounts = new Accounts(context, url);
    await listen(await model.createChannel(), makeNames(prefix).happened, (message) => {
      if (!accounts.isOfNode(message)) return;
      waiting.push(...readLines(message.content).filter((line) => isWanted(line, wanted)));
    });
    await accounts.ask();
    const before = await adminDataIfAny(context, () => search(context, wanted));
    if (before === undefined) context.out.note('Nobody keeps log lines, or you may not read them: from now on only.');
    for (const line of before ?? []) show(line, context);
    const shown = new Set((before ?? []).map(({ id }) => id));
    while (!signal.aborted) {
      await sleep(LOOK_MS, signal);
      await accounts.sayLeftOut();
      const due = Date.now() - ORDER_MS;
      waiting.sort((a, b) => (a.id < b.id ? -1 : 1));
      const end = waiting.findIndex(({ at }) => at > due);
      const dueLines = waiting.splice(0, end === -1 ? waiting.length : end);
      for (const line of dueLines.filter(({ id }) => !shown.has(id))) show(line, context);
    }
    if (!context.signal.aborted) throw commandErrors.make('BEDS_CLI_FAULT', 'The connection to RabbitMQ was lost.');
  } finally {
    await endConnection(model, CLOSE_MS);
  }
}

/** Under which accounts nodes publish. RabbitMQ checks the account of each message; whoever else may publish is not believed. */
class Accounts {
  readonly #context: CommandContext;
  readonly #known: Set<string>;
  readonly #leftOut = new Map<string, number>();
  #askedAtMs = 0;

  /** `url`: of this command, which may have the account of the nodes. */
  constructor(context: CommandContext, url: string) {
    this.#context = context;
    this.#known = new Set([accountOf(url)].filter((account) => account !== ''));
  }

  isOfNode({ properties }: ConsumeMessage): boolean {
    const account: unknown = properties.userId;
    const name = typeof account === 'string' ? account : '';
    if (this.#known.has(name)) return true;
    this.#leftOut.set(name, (this.#leftOut.get(name) ?? 0) + 1);
    return false;
  }

  /** n.b. who may not ask has his own account, and what it is worth. */
  async ask(): Promise<void> {
    this.#askedAtMs = performance.now();
    const options = { ...operatorOf(this.#context), timeoutMs: ASK_MS, signal: this.#context.signal };
    const answers = await askNodes('status', { queues: false }, options).catch(() => []);
    for (const { result } of answers) if (result.account !== '') this.#known.add(result.account);
  }

  /** Asks again first: a node may have come with an account of its own. */
  async sayLeftOut(): Promise<void> {
    if (this.#leftOut.size === 0 || performance.now() - this.#askedAtMs < ASK_AGAIN_MS) return;
    await this.ask();
    for (const [account, count] of this.#leftOut) {
      const whose = account === '' ? 'nobody whom RabbitMQ knows' : `the account ${printable(account)}`;
      const words = `${count === 1 ? 'A message' : `${count.toLocaleString('en')} messages`} of ${whose}`;
      if (this.#known.has(account)) this.#context.out.note(`${words} came before it was known as that of a node.`);
      else this.#context.out.note(`${words} left out: no node has that account, whatever they say.`);
    }
    this.#leftOut.clear();
  }
}

async function listen(channel: Channel, exchange: string, onMessage: (message: ConsumeMessage) => void): Promise<void> {
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, maxLength: 10_000 });
  await channel.bindQueue(queue, exchange, 'log.#');
  await channel.consume(
    queue,
    (message) => {
      if (message !== null) onMessage(message);
    },
    { noAck: true },
  );
}

const NUMBERS = ['at', 'level'] as const;
const TEXTS = ['domain', 'version', 'requestId', 'traceId', 'cause', 'code', 'place', 'fields'] as const;

/** n.b. whoever may publish may publish anything. */
function isLine(line: TappedLine): boolean {
  return (
    [line.id, line.message].every((text) => typeof text === 'string') &&
    NUMBERS.every((name) => Number.isSafeInteger(line[name]) && line[name] >= 0) &&
    TEXTS.every((name) => ['string', 'undefined'].includes(typeof line[name])) &&
    ['number', 'undefined'].includes(typeof line.count)
  );
}

function readLines(content: Buffer): readonly ShownLine[] {
  try {
    const { node, data } = JSON.parse(content.toString()) as {
      readonly node: unknown;
      readonly data: { readonly lines: readonly TappedLine[] };
    };
    if (typeof node !== 'string') return [];
    // n.b. a later instant no date has.
    return data.lines.filter((line) => isLine(line) && line.at < 8.64e15).map((line) => ({ ...line, node }));
  } catch {
    return [];
  }
}

function isWanted(line: ShownLine, { domain, node, level = 0, requestId, traceId }: Wanted): boolean {
  return (
    (domain === undefined || line.domain === domain) &&
    (node === undefined || line.node === node) &&
    line.level >= level &&
    (requestId === undefined || line.requestId === requestId) &&
    (traceId === undefined || line.traceId === traceId)
  );
}

const STYLES: Partial<Record<LogLevelName, Style>> = {
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
  debug: 'dim',
  trace: 'dim',
};

function show(line: ShownLine, { out, json }: Pick<CommandContext, 'json'> & { readonly out: Output }): void {
  const level = levelName(line.level);
  if (json) {
    // n.b. one value for each line, so that a reader need not wait for the end.
    out.line(JSON.stringify({ ...line, time: new Date(line.at).toISOString(), level }));
    return;
  }
  const time = new Date(line.at).toISOString().replace('T', ' ').slice(0, -1);
  const style = STYLES[level];
  const word = level.padEnd(5);
  const of = [line.domain, line.version].filter((text) => text !== undefined && text !== '').join(' ');
  const count = (line.count ?? 1) > 1 ? ` (×${(line.count ?? 1).toLocaleString('en')})` : '';
  const request = line.requestId === undefined || line.requestId === '' ? '' : ` [${line.requestId}]`;
  const parts = [
    time,
    style === undefined ? word : out.paint(style, word),
    line.node,
    of,
    `${line.message}${count}${request}`,
  ];
  out.line(
    parts
      .map((part, index) => (index === 1 ? part : printable(part)))
      .filter((part) => part !== '')
      .join('  '),
  );
  if (line.place !== undefined && line.place !== '') out.line(`    at ${printable(line.place)}`);
}
