import type { Problem } from './checked.js';
import type { Specification } from './language.js';

/**
 * What is gone between two versions of a specification. A change says what it changes: what it does not mention stays, and what has
 * another name says so in `was`. `request` is what was asked for, in plain words.
 */
export function compareVersions(before: Specification, after: Specification, request: string): readonly Problem[] {
  const problems: Problem[] = [];
  const asked = request.toLowerCase();
  const gone = (
    path: string,
    name: string,
    kept: readonly { readonly name: string; readonly was?: string }[],
  ): boolean => {
    if (kept.some((one) => one.name === name || one.was === name)) return false;
    if (words(name).every((word) => asked.includes(word))) return true;
    problems.push({
      path: `${path}.${name}`,
      code: 'gone',
      message: `${name} is gone, and the request does not ask for it.`,
      example: `keep it; where it has a new name, "was": "${name}" in the new one`,
      severity: 'error',
    });
    return true;
  };
  for (const record of before.records) {
    if (gone('records', record.name, after.records)) continue;
    const next = after.records.find(({ name, was }) => name === record.name || was === record.name);
    for (const field of record.fields) gone(`records.${record.name}.fields`, field.name, next?.fields ?? []);
  }
  for (const list of ['queries', 'actions'] as const) {
    for (const operation of before[list] ?? []) {
      if (gone(list, operation.name, after[list] ?? [])) continue;
      const next = (after[list] ?? []).find(({ name, was }) => name === operation.name || was === operation.name);
      for (const argument of operation.args ?? [])
        gone(`${list}.${operation.name}.args`, argument.name, next?.args ?? []);
    }
  }
  return problems;
}

function words(name: string): readonly string[] {
  return name.split('_').filter((word) => word.length > 2);
}
