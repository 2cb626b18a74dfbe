import { join, relative } from 'node:path';
import type { AuthorContext } from './author.js';
import { AuthorSources, loadTypeScript, type PlacedFinding } from './author-sources.js';
import { type Command, EXIT } from './command.js';
import { entryOf, findDomains } from './domains.js';
import { judge, type Judgement } from './judge.js';
import type { Output } from './output.js';
import { printable } from './print.js';

export const checkCommand: Command<AuthorContext> = {
  name: 'check',
  summary: 'List everything for which a host would refuse a domain, with the line of the template.',
  usage: 'check [domain…]',
  options: {},
  details:
    'Checks types, promises without await, imports and the definition. If the store has a url in the configuration, it also checks ' +
    'the database objects with their arguments, columns and types. If a host answers, it also checks the contract of the serving version. ' +
    'Lists all problems at once and exits with 1 when there is one; columns that no index serves are listed as well.  Name domains as for `beds build`.',
  run: async (context) => {
    const { cwd, out, json } = context;
    const domains = await findDomains(context, 'template');
    const judged: ({ readonly domain: string } & Pick<Judgement, 'findings' | 'notices' | 'skipped'>)[] = [];
    for (const { name, folder } of domains) {
      const entry = entryOf(folder) ?? join(folder, 'template.ts');
      const sources = new AuthorSources(await loadTypeScript(folder), entry);
      const { findings, notices, skipped, version = name } = await judge({ entry, sources, tools: context.tools });
      const fromHere = (finding: PlacedFinding): PlacedFinding =>
        finding.file === undefined ? finding : { ...finding, file: relative(cwd, join(folder, finding.file)) };
      judged.push({ domain: name, findings: findings.map(fromHere), notices: notices.map(fromHere), skipped });
      if (json) continue;
      for (const notice of notices.map(fromHere)) printPlaced(notice, out, 'yellow');
      for (const finding of findings.map(fromHere)) printPlaced(finding, out);
      for (const reason of skipped) out.note(`${name}: ${reason}`);
      const count = findings.length === 1 ? '1 problem' : `${findings.length} problems`;
      out.line(findings.length === 0 ? `${version}: no problems.` : `${name}: ${count}.`);
    }
    const isOk = judged.every(({ findings }) => findings.length === 0);
    if (json) out.value({ ok: isOk, domains: judged });
    return isOk ? EXIT.ok : EXIT.failed;
  },
};

/** `template.ts:3:8 BEDS_…`, what is wrong, and what to do about it. */
export function printPlaced(
  { file, line, column, code, message, hint }: PlacedFinding,
  { line: write, paint }: Output,
  style: 'red' | 'yellow' = 'red',
): void {
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  write(`${place === '' ? '' : `${paint('cyan', place)} `}${paint(style, code)}`);
  for (const text of message.split('\n')) write(`  ${printable(text)}`);
  if (hint !== undefined) write(`  ${paint('cyan', 'what to do:')} ${printable(hint)}`);
  write();
}
