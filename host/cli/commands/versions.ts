import { EXIT } from '#sdk/cli';
import { describeLeftovers } from '../../template/template-timers.js';
import type { HistoryEntry } from '../../deploy/history.js';
import type { QuarantineView } from '../../admin/contract.js';
import type { DomainView, HeldView, LeftView, StrikeView } from '../../admin/views.js';
import { queryCommand } from '../admin-command.js';
import { type Output, printReasons } from '../output.js';
import { canaryText, strayText } from '../rollout-text.js';

/** What one host says of its domains. */
export interface NodeVersions {
  readonly node: string;
  readonly domains: readonly DomainView[];
  readonly quarantined: readonly QuarantineView[];
  /** The newest last. */
  readonly refusals: readonly HistoryEntry[];
}

/** Of each domain, so that the newest stays on the screen. */
const SHOWN_REFUSALS = 5;

export const versionsCommand = queryCommand('versions', {
  details:
    'Asks every running node over AMQP. Below the table: differences in the database, columns that no index serves, the versions to roll back to, ' +
    'strikes, leftovers of retired versions, and the reasons of the last ' +
    `${SHOWN_REFUSALS} refused or waiting versions of each domain. --json has everything. Exits with 1 when no node knows the domain.`,
  show: (answers, { args, json, out }) => {
    const nodes = answers.map(({ node, result }) => ({ node, ...result }));
    if (json) out.value(nodes);
    else printVersions(nodes, out);
    const isKnown = nodes.some((each) => each.domains.length + each.quarantined.length + each.refusals.length > 0);
    return args.length === 0 || isKnown ? EXIT.ok : EXIT.failed;
  },
});

export function printVersions(nodes: readonly NodeVersions[], out: Output): void {
  const rows = nodes.flatMap(({ node, domains }) =>
    domains.map((view) => [
      node,
      view.domain,
      view.live?.version ?? '-',
      wordsOf(view),
      view.live?.since,
      view.live?.hash.slice(0, 12),
      beside(view),
    ]),
  );
  if (rows.length === 0) out.line('There are no domains.');
  else out.table({ head: ['node', 'domain', 'live', 'state', 'since', 'bundle', 'beside it'], rows });
  for (const each of nodes) printDetails(each, out);
}

/** Everything that is to be said of the version that serves, in a few words. */
function wordsOf({ live, degraded = [], paused, withheld, apart }: DomainView): string {
  const state = live?.state ?? (withheld === true ? 'withheld' : 'not served');
  const marks = [degraded.length > 0 && 'degraded', paused === true && 'paused', apart === true && 'tried apart'];
  return [state, ...marks.filter((mark) => mark !== false)].join(', ');
}

function beside({ candidate, canary }: DomainView): string {
  const [version, state] = [canary?.version ?? candidate?.version, canary === undefined ? candidate?.state : 'canary'];
  return version === undefined ? '' : `${version} ${state ?? ''}`;
}

function printDetails({ node, domains, quarantined, refusals }: NodeVersions, out: Output): void {
  for (const view of domains) {
    const { domain, live, degraded = [], notices = [], canary } = view;
    if (canary !== undefined) out.line(`\n${node}: ${domain} ${canary.version} ${canaryText(canary)}`);
    if (degraded.length > 0) printReasons(`${domain} ${live?.version ?? ''} is degraded on ${node}:`, degraded, out);
    if (notices.length > 0) printReasons(`${domain} ${live?.version ?? ''} could be better on ${node}:`, notices, out);
    for (const line of remarks(view)) out.line(`${node}: ${domain} ${line}`);
  }
  printRefusals(refusals, out);
  for (const { domain, version, hash, since, code, message } of quarantined) {
    printReasons(
      `${domain} ${version} (${hash.slice(0, 12)}) is quarantined on ${node}, since ${since}:`,
      [{ code, message, hint: `\`beds quarantine lift ${hash.slice(0, 12)}\` allows it again.` }],
      out,
    );
  }
}

function remarks({ live, kept = [], strikes = [], left = [], held = [], strays = 0 }: DomainView): readonly string[] {
  const versions = kept.map(({ version, hash }) => `${version} (${hash.slice(0, 12)})`);
  return [
    ...(versions.length === 0 ? [] : [`may be rolled back to ${versions.join(', ')}`]),
    ...(strays === 0 ? [] : [`${live?.version ?? ''} left ${strayText(strays)}, which ended no request`]),
    ...strikes.map(strikeText),
    ...left.map(leftText),
    ...held.map(heldText),
  ];
}

function strikeText({ version, hash, count, last, strays = 0 }: StrikeView): string {
  const threads = count - strays;
  const harm = [
    ...(threads === 0 ? [] : [`ended ${threads} broker thread${threads === 1 ? '' : 's'}`]),
    ...(strays === 0 ? [] : [`left stray faults in ${strays} look${strays === 1 ? '' : 's'}`]),
  ];
  return `${version} (${hash.slice(0, 12)}) ${harm.join(' and ')}, last at ${last}`;
}

function leftText({ version, generation, left }: LeftView): string {
  return `${version} (generation ${generation}) left behind when it retired: ${describeLeftovers(left)}`;
}

function heldText({ version, generation, threads, sinceMs }: HeldView): string {
  const where = `${threads} broker thread${threads === 1 ? '' : 's'}`;
  const since = `it retired ${Math.round(sinceMs / 1_000)} s ago`;
  return `${version} (generation ${generation}) is still referenced in memory, in ${where}; ${since}`;
}

/** The reasons why versions were refused or wait; the newest last. */
function printRefusals(refusals: readonly HistoryEntry[], out: Output): void {
  for (const name of new Set(refusals.map(({ domain }) => domain))) {
    const ofDomain = refusals.filter(({ domain }) => domain === name);
    const shown = ofDomain.slice(-SHOWN_REFUSALS);
    for (const { domain, version, state, at, findings = [] } of shown) {
      printReasons(`${domain} ${version} is ${state}, since ${at}:`, findings, out);
    }
    const hidden = ofDomain.length - shown.length;
    if (hidden === 0) continue;
    out.line();
    out.line(`${hidden} older of ${name}: \`beds versions ${name} --json\` shows all.`);
  }
}
