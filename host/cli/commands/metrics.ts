import { argumentsOf, askOptions, NODE_OPTION } from '../ask-context.js';
import { askNodes } from '../ask-nodes.js';
import { EXIT, type Command } from '../command.js';
import { mergeMetrics } from '../merge-metrics.js';
import { TIMEOUT_OPTION } from '../timeout-option.js';

export const metricsCommand: Command = {
  name: 'metrics',
  summary: "Print what is counted and measured, in Prometheus' text format.",
  usage: 'metrics [--node <name>] [--timeout <time>]',
  options: { node: NODE_OPTION, timeout: TIMEOUT_OPTION },
  details:
    'Asks every running node over AMQP; each sample names its node. For the textfile collector of the node_exporter, write ' +
    'to a file beside the one that it reads, then rename it. --json has the text of each node.',
  run: async (context) => {
    argumentsOf(context);
    const answers = await askNodes({ v: 1, op: 'metrics' }, askOptions(context));
    const nodes = answers.map(({ node, text }) => ({ node, text })).sort((a, b) => a.node.localeCompare(b.node));
    if (context.json) context.out.value(nodes);
    else context.out.line(mergeMetrics(nodes.map(({ text }) => text)));
    return EXIT.ok;
  },
};
