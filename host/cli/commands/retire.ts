import { argumentsOf, NODE_OPTION } from '../ask-context.js';
import type { Command } from '../command.js';
import { runOrder } from '../rollout/run-order.js';

export const retireCommand: Command = {
  name: 'retire',
  summary: 'Take a domain out of service after everything that was asked of it is answered.',
  usage: 'retire <domain> [--node <name>]',
  options: { node: NODE_OPTION },
  details:
    'Its file in the plugin directory counts again only when it changes; `beds deploy` or `beds rollback` brings the domain back.',
  run: async (context) => {
    const [domain] = argumentsOf(context, 'domain');
    return runOrder(context, {
      order: { v: 1, op: 'retire', domain },
      follows: false,
      isReached: ({ state }) => state === 'active',
    });
  },
};
