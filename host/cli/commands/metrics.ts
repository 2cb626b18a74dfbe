import { EXIT } from '#sdk/cli';
import { queryCommand } from '../admin-command.js';

export const metricsCommand = queryCommand('metrics', {
  details:
    'Asks every running node over AMQP; each sample names its node. For the textfile collector of the node_exporter, write ' +
    'to a temporary file in the same directory, then rename it. --json has the text of each node.',
  show: (answers, { json, out }) => {
    const nodes = answers.map(({ node, result: { text } }) => ({ node, text }));
    if (json) out.value(nodes);
    else out.line(mergeMetrics(nodes.map(({ text }) => text)));
    return EXIT.ok;
  },
});

/**
 * Several texts in the format of Prometheus as one: it allows the samples of a family only in one place. Their labels must
 * differ, as those of nodes do.
 */
export function mergeMetrics(texts: readonly string[]): string {
  const families = new Map<string, { readonly head: Set<string>; readonly samples: string[] }>();
  for (const text of texts) {
    let name = '';
    for (const line of text.split('\n').filter((each) => each !== '')) {
      name = /^# (?:HELP|TYPE) (\S+)/.exec(line)?.[1] ?? name;
      const family = families.get(name) ?? { head: new Set(), samples: [] };
      families.set(name, family);
      if (line.startsWith('#')) family.head.add(line);
      else family.samples.push(line);
    }
  }
  return [...families.values()].map(({ head, samples }) => [...head, ...samples].join('\n')).join('\n');
}
