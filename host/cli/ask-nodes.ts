import type { AdminAnswer, AdminQuestion } from '../admin/protocol.js';
import { cliErrors } from '../errors/cli.js';
import { openNodes, requireOneAnswer } from './node-session.js';

export interface AskOptions {
  readonly url: string;
  readonly prefix: string;
  /** Longest wait for the first answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Only what this node says. */
  readonly node?: string;
}

type AnswerTo<Q extends AdminQuestion> = Extract<AdminAnswer, { op: Q['op'] }>;

/**
 * Asks every node over AMQP. Throws BEDS_CLI_NO_NODES when none answers, or without RabbitMQ; BEDS_CLI_NODE_UNKNOWN when
 * the one named does not; and what the nodes refuse with when all of them refuse.
 */
export async function askNodes<Q extends AdminQuestion>(
  question: Q,
  options: AskOptions,
): Promise<readonly AnswerTo<Q>[]> {
  const session = await openNodes(options);
  try {
    const answers = await session.ask<AnswerTo<Q>>(question, options.timeoutMs);
    const { node } = options;
    const asked = node === undefined ? answers : answers.filter((answer) => nodeOf(answer) === node);
    if (answers.length > 0 && asked.length === 0) throw nodeUnknown(node ?? '', answers.map(nodeOf));
    return requireOneAnswer(asked);
  } finally {
    await session.close();
  }
}

/** The name of the node that answered. */
function nodeOf(answer: { readonly node: string } | { readonly status: { readonly node: string } }): string {
  return 'node' in answer ? answer.node : answer.status.node;
}

function nodeUnknown(node: string, others: readonly string[]): Error {
  const message = `No node ${JSON.stringify(node)} answered; those that did: ${others.join(', ')}.`;
  return cliErrors.make('BEDS_CLI_NODE_UNKNOWN', message);
}
