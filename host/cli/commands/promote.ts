import { argumentsOf, NODE_OPTION } from '../ask-context.js';
import type { Command } from '../command.js';
import { FOLLOW_OPTIONS, runOrder } from '../rollout/run-order.js';

export const promoteCommand: Command = {
  name: 'promote',
  summary: 'Let a canary, or a version that waits because of a pause, take over now.',
  usage: 'promote <domain> [--no-wait] [--timeout <time>]',
  options: { node: NODE_OPTION, ...FOLLOW_OPTIONS },
  details: 'Ends a pause as well. Follows the version until it serves on every node.',
  run: async (context) => {
    const [domain] = argumentsOf(context, 'domain');
    return runOrder(context, {
      order: { v: 1, op: 'promote', domain },
      follows: true,
      isReached: ({ state }) => state === 'active',
    });
  },
};
