import { argumentsOf, NODE_OPTION } from '../ask-context.js';
import type { Command } from '../command.js';
import { runOrder } from '../rollout/run-order.js';

export const pauseCommand: Command = {
  name: 'pause',
  summary: 'Keep a domain as it is: a canary keeps its share, and no new version takes over.',
  usage: 'pause <domain> [--node <name>]',
  options: { node: NODE_OPTION },
  details: '`beds promote` ends the pause and lets what waits take over; `beds rollback` abandons it.',
  run: async (context) => {
    const [domain] = argumentsOf(context, 'domain');
    return runOrder(context, {
      order: { v: 1, op: 'pause', domain },
      follows: false,
      isReached: ({ state }) => state === 'active',
    });
  },
};
