import type { z } from 'zod';
import { expectation, fieldAt, sections } from './fields.js';
import { sourceOf, type Merged } from './layers.js';
import { didYouMean } from './nearest.js';
import type { ConfigProblem } from './problem.js';

type Issue = z.core.$ZodIssue;

/** The schema's findings in the words of this project. Values never appear in them. */
export function issueProblems(issues: readonly Issue[], merged: Merged): readonly ConfigProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey([...path, key], merged));
    return [{ source: sourceOf(merged.sources, path), path: path.join('.'), message: wrongValue(issue, path, merged) }];
  });
}

function unknownKey(path: readonly string[], merged: Merged): ConfigProblem {
  const key = path.at(-1) ?? '';
  const siblings = path.length === 1 ? sections.map((section) => section.key) : fieldKeys(path[0]);
  const meant = didYouMean(key, siblings) || belongsElsewhere(key);
  return {
    source: sourceOf(merged.sources, path),
    path: path.join('.'),
    message: `this ${path.length === 1 ? 'table' : 'key'} is not known.${meant}`,
  };
}

function fieldKeys(section: string | undefined): readonly string[] {
  return sections.find(({ key }) => key === section)?.fields.map(({ key }) => key) ?? [];
}

function belongsElsewhere(key: string): string {
  const homes = sections.filter((section) => section.fields.some((field) => field.key === key));
  const names = homes.map((section) => `[${section.key}${section.named ? '.<name>' : ''}]`);
  return names.length === 0 ? '' : ` It belongs in ${names.join(' or ')}.`;
}

function wrongValue(issue: Issue, path: readonly string[], merged: Merged): string {
  if (issue.code === 'invalid_key') return `the name ${issue.issues[0]?.message ?? 'cannot be used'}.`;
  const field = fieldAt(path);
  if (field === undefined) return `must be a table: [${path.join('.')}].`;
  const given = merged.sources.has(path.join('.'));
  if (issue.code === 'invalid_format') return `${issue.message}.`;
  return `${given || path.length > 3 ? 'must be' : 'is missing: it must be'} ${expectation(field)}.`;
}
