import { EXIT } from '#sdk/cli';
import { once } from 'node:events';
import type { Command, CommandContext } from '../command.js';
import { isFlawless, Narrator, printSummary, summaryValue } from '../demo/report.js';
import { type Demo, type Endings, runDemo } from '../demo/run-demo.js';
import type { Output } from '../output.js';

const STEPS = 6;

export const demoCommand: Command = {
  name: 'demo',
  summary: 'Set everything up, load real data, swap a domain under load, and go on serving (npm start runs this).',
  usage: 'demo [--exit]',
  options: { exit: { type: 'boolean', description: 'Stop after the summary; status 0 only if nothing failed.' } },
  details:
    'Starts private servers, applies the objects of the DBA, builds and drops the domains cities, countries, users, sessions and audit, starts a ' +
    'host, loads 135,000 cities and 250 countries over AMQP, and swaps cities 1.0.0 for 1.1.0 while requests flow. A second ' +
    'run finds the data in place. Ctrl-C ends everything in order.',
  run: async (context) => {
    const endings: Endings = [];
    const { out, json } = context;
    try {
      const narrator = new Narrator(json ? onStderr(out) : out, STEPS);
      const demo = await runDemo(context, narrator, endings);
      if (json) out.value(summaryValue(demo.report));
      else printSummary(demo.report, out);
      if (context.options['exit'] !== true && !json) await serve(demo, context);
      return isFlawless(demo.report) ? EXIT.ok : EXIT.failed;
    } finally {
      await endAll(endings, context);
    }
  },
};

async function serve({ host }: Demo, { out, signal }: CommandContext): Promise<void> {
  const run = 'npm run beds --';
  out.line();
  out.line(out.paint('bold', 'The host goes on serving. In another terminal:'));
  out.line();
  out.line(`  ${run} status`);
  out.line(
    `  ${run} call cities.fetch '{"query":{"where":{"country":"IS"},"order":[{"column":"population","direction":"desc"}],"limit":3}}'`,
  );
  out.line(`  ${run} call cities.nearest '{"latitude":48.8584,"longitude":2.2945,"limit":3}'`);
  out.line(`  ${run} call countries.profile '{"code":"JP"}'`);
  out.line();
  out.line('Change plugins/cities/next/template.ts (and its version) and watch the host swap it in:');
  out.line();
  out.line(`  ${run} build plugins/cities/next --file --out plugins`);
  out.line(`  ${run} versions cities`);
  out.line();
  if (host.dashboard !== undefined) {
    out.line('The dashboard, for this start and this user:');
    out.line();
    out.line(`  ${host.dashboard.urlWithKey}`);
    out.line();
  }
  out.line('Ctrl-C stops everything in order.');
  if (!signal.aborted) await Promise.race([once(signal, 'abort'), host.failed]);
}

/** The last started first; each is bounded by itself, and one that fails does not keep the others. */
async function endAll(endings: Endings, { out }: CommandContext): Promise<void> {
  if (endings.length === 0) return;
  out.note('');
  out.note('Stopping: the host finishes its requests in flight, then the servers stop …');
  for (const end of endings.toReversed()) {
    await end().catch((error: unknown) => out.note(error instanceof Error ? error.message : String(error)));
  }
  out.note('Everything has stopped.');
}

function onStderr(out: Output): Output {
  return { ...out, interactive: false, line: (text = '') => out.note(text) };
}
