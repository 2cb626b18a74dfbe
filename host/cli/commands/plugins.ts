import type { HistoryEntry } from '../../supervisor/history.js';
import { askNodes } from '../ask-nodes.js';
import { EXIT, type Command } from '../command.js';
import { brokerOf } from '../broker-of.js';
import type { Output } from '../output.js';
import { timeoutOf, TIMEOUT_OPTION } from '../timeout-option.js';

/** What one host says of its domains, oldest first. */
export interface NodeHistory {
  readonly node: string;
  readonly entries: readonly HistoryEntry[];
}

/** Of each domain, so that the newest stays on the screen. */
const SHOWN_REFUSALS = 5;
const REFUSALS: ReadonlySet<string> = new Set(['rejected', 'waiting', 'quarantined']);

export const pluginsCommand: Command = {
  name: 'plugins',
  summary: 'Show the history of each domain, and why a version was refused.',
  usage: 'plugins [domain] [--timeout <ms>]',
  options: { timeout: TIMEOUT_OPTION },
  details:
    'Asks every running node over AMQP. The newest change comes last; below the table, the reasons of the last ' +
    `${String(SHOWN_REFUSALS)} refused or waiting versions of each domain. --json has the reasons of all.`,
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

/** The table of all changes, and below it why versions are not live. */
export function printHistories(histories: readonly NodeHistory[], out: Output): void {
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

/** The reasons why versions were refused or wait, those that went live since excepted; the newest last. */
function printFindings(entries: readonly HistoryEntry[], out: Output): void {
  const refusals = refusalsOf(entries);
  for (const name of new Set(refusals.map(({ domain }) => domain))) {
    const ofDomain = refusals.filter(({ domain }) => domain === name);
    const shown = ofDomain.slice(-SHOWN_REFUSALS);
    for (const refusal of shown) printRefusal(refusal, out);
    const hidden = ofDomain.length - shown.length;
    if (hidden === 0) continue;
    out.line();
    out.line(`${String(hidden)} older of ${name}: \`beds plugins ${name} --json\` shows all.`);
  }
}

/** Where each refused or waiting version stands, by its bytes. */
function refusalsOf(entries: readonly HistoryEntry[]): readonly HistoryEntry[] {
  const refusals = new Map<string, HistoryEntry>();
  for (const entry of entries) {
    const version = `${entry.domain} ${entry.hash === '' ? entry.version : entry.hash}`;
    const isRefusal = REFUSALS.has(entry.state) && entry.findings !== undefined && entry.findings.length > 0;
    // n.b. deleted first: a key that is set again would keep its old place.
    if (isRefusal || entry.state === 'active') refusals.delete(version);
    if (isRefusal) refusals.set(version, entry);
  }
  return [...refusals.values()];
}

function printRefusal({ domain, version, state, at, findings = [] }: HistoryEntry, out: Output): void {
  out.line();
  out.line(out.paint('bold', `${domain} ${version} is ${state}, since ${at}:`));
  for (const { code, message, hint } of findings) {
    out.line(`  ${code}: ${message}`);
    if (hint !== undefined) out.line(`    ${hint}`);
  }
}
