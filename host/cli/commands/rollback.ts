import { argumentsOf, NODE_OPTION } from '../ask-context.js';
import type { Command } from '../command.js';
import { FOLLOW_OPTIONS, runOrder } from '../rollout/run-order.js';

export const rollbackCommand: Command = {
  name: 'rollback',
  summary: 'End a canary, or go back to a version that served before.',
  usage: 'rollback <domain> [version] [--no-wait] [--timeout <time>]',
  options: { node: NODE_OPTION, ...FOLLOW_OPTIONS },
  details:
    'Without a version: ends a canary, or goes to the version that served before the present one. Works also when the plugin ' +
    'directory is empty or read-only: each host keeps the last versions (`beds plugins <domain>` lists them).',
  run: async (context) => {
    const [domain, version] = argumentsOf(context, 'domain', 'version?');
    return runOrder(context, {
      order: { v: 1, op: 'rollback', domain, ...(version === undefined ? {} : { version }) },
      follows: true,
      // The receipt of an ended canary may name the canary.
      isReached: ({ state, findings }) =>
        state === 'active' || findings.some(({ code }) => code === 'BEDS_ROLLOUT_ROLLED_BACK'),
    });
  },
};
