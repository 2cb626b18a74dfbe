import type { RolloutWish } from '../../deploy/plan.js';
import { NODE_OPTION } from '../ask-context.js';
import type { Command, CommandContext } from '../command.js';
import type { OrderMessage } from '../node-session.js';
import { parseDuration, parsePercent } from '../quantities.js';
import { readBundles } from '../rollout/read-bundles.js';
import { FOLLOW_OPTIONS, runOrder } from '../rollout/run-order.js';

export const deployCommand: Command = {
  name: 'deploy',
  summary: 'Send built domains to the running hosts and follow them until they serve.',
  usage: 'deploy <file|folder>... [--canary <percent>] [--for <time>] [--shadow <percent>] [--hold] [--allow-breaking]',
  options: {
    canary: { type: 'string', value: '<percent>', description: 'Share of the callers that it answers at first: 5%.' },
    for: { type: 'string', value: '<time>', description: 'How long it must hold as a canary: 30s, 5m.' },
    shadow: { type: 'string', value: '<percent>', description: 'Share of the reads that it gets a copy of: 10%.' },
    hold: { type: 'boolean', description: 'Stay a canary until `beds promote`.' },
    'allow-breaking': { type: 'boolean', description: 'Also when it breaks the contract of the version that serves.' },
    node: NODE_OPTION,
    ...FOLLOW_OPTIONS,
  },
  details:
    'Takes what `beds build` wrote, over RabbitMQ: no access to the plugin directory is needed. Several domains take over ' +
    'together or not at all. What is not said comes from [rollout] of the configuration of each host. Exits with 0 only ' +
    'when every version serves on every node (with --hold: is a canary there; with --no-wait: was accepted).',
  run: async (context) => {
    const wish = wishOf(context.options);
    const bundles = await readBundles({ cwd: context.cwd, paths: context.args }, context.config().plugins);
    const order: OrderMessage = {
      v: 1,
      op: 'deploy',
      wish,
      bundles: bundles.map(({ files }) =>
        Object.fromEntries(Object.entries(files).map(([name, content]) => [name, content.toString('base64')])),
      ),
    };
    return runOrder(context, {
      order,
      follows: true,
      isReached: ({ state, canary }) =>
        state === 'active' || (wish.hold === true && state === 'canary' && canary !== undefined),
    });
  },
};

/** How the versions are to take over, as the options say. Throws BEDS_CLI_OPTION_INVALID. */
export function wishOf(options: CommandContext['options']): RolloutWish {
  const { canary, for: hold, shadow } = options;
  return {
    ...(typeof canary === 'string' ? { canaryPercent: parsePercent('canary', canary) } : {}),
    ...(typeof shadow === 'string' ? { shadowPercent: parsePercent('shadow', shadow) } : {}),
    ...(typeof hold === 'string' ? { forMs: parseDuration('for', hold) } : {}),
    ...(options['hold'] === true ? { hold: true } : {}),
    ...(options['allow-breaking'] === true ? { allowBreaking: true } : {}),
  };
}
