import type { HistoryEntry } from '../../supervisor/history.js';
import { askNodes } from '../ask-nodes.js';
import { EXIT, type Command } from '../command.js';
import { brokerOf } from '../broker-of.js';
import type { Output } from '../output.js';
import { timeoutOf, TIMEOUT_OPTION } from '../timeout-option.js';

interface NodeHistory {
  readonly node: string;
  readonly entries: readonly HistoryEntry[];
}

export const pluginsCommand: Command = {
  name: 'plugins',
  summary: 'Show the history of each domain, and why a version was refused.',
  usage: 'plugins [domain] [--timeout <ms>]',
  options: { timeout: TIMEOUT_OPTION },
  details: 'Asks every running node over AMQP. The newest change comes last.',
  run: async (context) => {
    const [domain] = context.args;
    const answers = await askNodes(
      { v: 1, op: 'history', ...(domain === undefined ? {} : { domain }) },
      { ...brokerOf(context), timeoutMs: timeoutOf(context), signal: context.signal },
    );
    const histories = answers.map(({ node, entries }) => ({ node, entries }));
    if (context.json) context.out.value(histories);
    else printHistories(histories, context.out);
    return EXIT.ok;
  },
};

function printHistories(histories: readonly NodeHistory[], out: Output): void {
  out.table({
    head: ['at', 'node', 'domain', 'version', 'state', 'after', 'bundle'],
    rows: histories.flatMap(({ node, entries }) =>
      entries.map(({ at, domain, version, state, ms, hash }) => [
        ...[at, node, domain, version, state],
        ...[ms === undefined ? '' : `${String(ms)} ms`, hash.slice(0, 12)],
      ]),
    ),
    numeric: [5],
  });
  for (const { entries } of histories) printFindings(entries, out);
}

/** The reasons of each domain's last refusal or wait, unless a later version went live. */
function printFindings(entries: readonly HistoryEntry[], out: Output): void {
  const last = new Map<string, HistoryEntry>();
  for (const entry of entries) {
    if (['rejected', 'waiting', 'active', 'quarantined'].includes(entry.state)) last.set(entry.domain, entry);
  }
  for (const { domain, version, state, findings = [] } of last.values()) {
    if (findings.length === 0) continue;
    out.line();
    out.line(out.paint('bold', `${domain} ${version} is ${state}:`));
    for (const { code, message, hint } of findings) {
      out.line(`  ${code}: ${message}`);
      if (hint !== undefined) out.line(`    ${hint}`);
    }
  }
}
