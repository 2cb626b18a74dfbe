import { cliErrors } from '../../errors/cli.js';
import type { RefusedAnswer } from '../../admin/protocol.js';
import { askOptions } from '../ask-context.js';
import type { AskOptions } from '../ask-nodes.js';
import { EXIT, type CommandContext, type CommandOption } from '../command.js';
import { type NodeSession, openNodes, type OrderMessage } from '../node-session.js';
import { printFindings } from '../print-findings.js';
import { parseDuration } from '../quantities.js';
import { follow } from './follow.js';
import { narrator } from './narrate.js';
import { type Sent, sendOrder } from './send-order.js';
import { isDecided, isHeldUp, type Stand } from './stand.js';

export const FOLLOW_OPTIONS: Readonly<Record<string, CommandOption>> = {
  'no-wait': { type: 'boolean', description: 'Do not wait for the outcome: it is enough that the nodes accept.' },
  timeout: {
    type: 'string',
    value: '<time>',
    description: 'Longest wait for the outcome, beside the time of a canary: 30s, 5m. Default 60s.',
  },
};

export interface OrderRun {
  readonly order: OrderMessage;
  /** Whether the outcome is waited for; without it, it is enough that the nodes accept. */
  readonly follows: boolean;
  /** Whether a version stands where the order wanted it. */
  readonly isReached: (stand: Stand) => boolean;
}

const FOLLOW_TIMEOUT_MS = 60_000;
const ASK_TIMEOUT_MS = 3_000;
const MAX_FOLLOW_MS = 86_400_000;

/** Gives an order, follows it to its outcome and prints that. Resolves to the exit code. */
export async function runOrder(context: CommandContext, run: OrderRun): Promise<number> {
  const { timeout } = context.options;
  const timeoutMs = typeof timeout === 'string' ? parseDuration('timeout', timeout, MAX_FOLLOW_MS) : FOLLOW_TIMEOUT_MS;
  const options = { ...askOptions({ ...context, options: { ...context.options, timeout: undefined } }), timeoutMs };
  const session = await openNodes(options);
  try {
    return await obey(session, run, { context, options });
  } finally {
    await session.close();
  }
}

interface Surroundings {
  readonly context: CommandContext;
  readonly options: AskOptions;
}

async function obey(session: NodeSession, run: OrderRun, { context, options }: Surroundings): Promise<number> {
  const { out, json, signal } = context;
  const write = json ? out.note : out.line;
  const sent = await sendOrder(session, run.order, { ...options, timeoutMs: ASK_TIMEOUT_MS });
  for (const { node, receipts } of sent.accepted) for (const { words } of receipts) write(`${node}: ${words}`);
  for (const refusal of sent.refused) printRefusal(refusal, write);
  for (const node of sent.silent) write(`${node} did not answer.`);
  const isAccepted = sent.accepted.length > 0 && sent.refused.length + sent.silent.length === 0;
  const mayFollow = run.follows && context.options['no-wait'] !== true && sent.accepted.length > 0;
  const stands = mayFollow
    ? await follow(session, sent, { signal, timeoutMs: options.timeoutMs, onLook: narrator(write) })
    : [];
  const isOk = isAccepted && stands.every(run.isReached);
  if (json) out.value({ ok: isOk, ...summary(sent, stands) });
  const isUnfinished = stands.some((stand) => !isDecided(stand, stands));
  if (signal.aborted && isUnfinished)
    out.note('The rollout goes on in the hosts: `beds status` and `beds history` show it.');
  signal.throwIfAborted();
  for (const stand of stands) if (!run.isReached(stand)) printStand(stand, stands, write);
  if (isUnfinished && !json) throw cliErrors.make('BEDS_CLI_ROLLOUT_UNFINISHED');
  return isOk ? EXIT.ok : EXIT.failed;
}

function summary({ accepted, refused, silent }: Sent, stands: readonly Stand[]): object {
  return {
    accepted: accepted.map(({ node, at, receipts }) => ({ node, at, receipts })),
    refused: refused.map(({ node, error }) => ({ node, error })),
    silent,
    outcomes: stands.map(({ node, domain, version, hash, state, findings, canary }) => ({
      ...{ node, domain, version, hash, state, findings },
      ...(canary === undefined ? {} : { canary }),
    })),
  };
}

function printRefusal({ node, error }: RefusedAnswer, write: (text: string) => void): void {
  write(`${node} refused:`);
  printFindings([error, ...(error.findings ?? [])], write);
}

function printStand(stand: Stand, all: readonly Stand[], write: (text: string) => void): void {
  const { node, domain, version, state, findings } = stand;
  const words = isHeldUp(stand, all) ? `${state} and takes over together with what waits` : state;
  write('');
  write(`${node}: ${domain} ${version} is ${words}${findings.length === 0 ? '.' : ':'}`);
  printFindings(findings, write);
}
