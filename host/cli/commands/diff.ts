import { EXIT } from '#sdk/cli';
import { WHOLE_DOMAIN } from '../../deploy/compatibility/compare-manifests.js';
import type { Caller } from '../../deploy/compatibility/caller-ledger.js';
import type { JoinedChange, VersionDiff } from '../../deploy/compatibility/gate.js';
import { queryCommand } from '../admin-command.js';
import type { Output } from '../output.js';

/** What one node says of the change. */
export interface NodeDiff {
  readonly node: string;
  readonly diff: VersionDiff;
}

const SHOWN_CALLERS = 5;

export const diffCommand = queryCommand('diff', {
  details:
    'Compares the serving version with the newest other version that is kept, unless versions (or the first digits of hashes) are ' +
    'named. Each change names who called that operation in the last days. LOOSENS marks a change by which somebody may do or see more. ' +
    'Exits with 1 when a change is breaking.',
  show: (answers, { json, out }) => {
    const diffs = answers.map(({ node, result: { diff } }) => ({ node, diff }));
    if (json) out.value(diffs);
    else for (const each of diffs) printDiff(each, out);
    const isBreaking = diffs.some(({ diff }) => diff.changes.some(({ breaking }) => breaking));
    return isBreaking ? EXIT.failed : EXIT.ok;
  },
});

function printDiff({ node, diff }: NodeDiff, out: Output): void {
  const { domain, from, to, changes, files } = diff;
  const name = ({ version, hash }: VersionDiff['from']): string => `${version} (${hash.slice(0, 12)})`;
  out.line(`${node}: ${domain} ${name(from)} → ${name(to)}`);
  if (changes.length === 0) out.line('Nothing changes for callers.');
  else out.table({ head: ['', 'operation', 'change', 'calls a day'], rows: changes.map(row) });
  if (files.length > 0) out.line(`Files: ${files.map((file) => `${file.name} ${file.change}`).join(', ')}`);
  out.line();
}

function row({ breaking, loosens, operation, message, callers, countedDays }: JoinedChange): readonly string[] {
  const isWhole = operation === WHOLE_DOMAIN;
  const calls = isWhole ? '' : callersText(callers, countedDays);
  const effect = loosens === true ? 'LOOSENS' : 'compatible';
  return [breaking ? 'breaking' : effect, isWhole ? '(domain)' : operation, message, calls];
}

/** `billing 1,204, (no name) 3`; a count of less than a day is not shown as no calls. */
function callersText(callers: readonly Caller[], countedDays: number): string {
  if (callers.length === 0)
    return countedDays < 1 ? 'none yet, counted for less than a day' : `none in ${Math.floor(countedDays)} d`;
  const shown = callers.slice(0, SHOWN_CALLERS).map(({ client, callsPerDay }) => {
    const calls = callsPerDay < 1 ? '< 1' : Math.round(callsPerDay).toLocaleString('en');
    return `${client === '' ? '(no name)' : client === '*' ? '(others)' : client} ${calls}`;
  });
  const hidden = callers.length - shown.length;
  return [...shown, ...(hidden > 0 ? [`${hidden} more`] : [])].join(', ');
}
