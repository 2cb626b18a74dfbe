import { hostname, userInfo } from 'node:os';
import { cliErrors } from '../../errors/cli.js';
import type { AdminQuestion, OrderAnswer, RefusedAnswer } from '../../admin/protocol.js';
import type { AskOptions } from '../ask-nodes.js';
import { isRefused, type NodeSession, type OrderMessage, refusalError } from '../node-session.js';
import type { Accepted } from './stand.js';

/** What the nodes said to an order. */
export interface Sent {
  readonly accepted: readonly Accepted[];
  readonly refused: readonly RefusedAnswer[];
  /** Nodes that were there before and did not answer. */
  readonly silent: readonly string[];
  /** Nodes that answer questions. */
  readonly nodeCount: number;
}

/** A node accepts or refuses within a minute. */
const ANSWER_TIMEOUT_MS = 65_000;
const WHO_IS_THERE: AdminQuestion = { v: 1, op: 'quarantine' };

/**
 * Gives an order to all nodes, or to the one named. Throws BEDS_CLI_NO_NODES, BEDS_CLI_NODE_UNKNOWN, or what the nodes
 * refuse with when all of them refuse for the same reason.
 */
export async function sendOrder(session: NodeSession, order: OrderMessage, options: AskOptions): Promise<Sent> {
  const { node, timeoutMs } = options;
  const nodes = (await session.ask<{ readonly node: string }>(WHO_IS_THERE, timeoutMs)).map((answer) => answer.node);
  if (nodes.length === 0) throw cliErrors.make('BEDS_CLI_NO_NODES');
  if (node !== undefined && !nodes.includes(node)) {
    const message = `No node ${JSON.stringify(node)} answered; those that did: ${nodes.join(', ')}.`;
    throw cliErrors.make('BEDS_CLI_NODE_UNKNOWN', message);
  }
  const asked = node === undefined ? nodes : [node];
  const message = { ...order, by: whoAsks(), ...(node === undefined ? {} : { node }) };
  const answers = await session.order(message, ANSWER_TIMEOUT_MS, asked.length);
  return { ...sort(answers, asked), nodeCount: nodes.length };
}

function sort(answers: readonly OrderAnswer[], asked: readonly string[]): Omit<Sent, 'nodeCount'> {
  const accepted = answers.flatMap((answer) => (isRefused(answer) ? [] : [answer]));
  const refusals = answers.filter(isRefused);
  const silent = asked.filter((node) => !answers.some((answer) => answer.node === node));
  // A node of another role has nothing to do with the domain.
  const isElsewhere = ({ error }: RefusedAnswer): boolean => error.code === 'BEDS_ROLLOUT_NOT_SERVED';
  const refused = accepted.length > 0 ? refusals.filter((answer) => !isElsewhere(answer)) : refusals;
  const [first] = refused;
  const isUnanimous = refused.every(({ error }) => error.code === first?.error.code);
  const hasFindings = refused.some(({ error }) => (error.findings ?? []).length > 0);
  if (first !== undefined && accepted.length + silent.length === 0 && isUnanimous && !hasFindings) {
    throw refusalError(first);
  }
  return { accepted, refused, silent };
}

function whoAsks(): string {
  try {
    return `${userInfo().username}@${hostname()}`.slice(0, 200);
  } catch {
    return hostname().slice(0, 200);
  }
}
