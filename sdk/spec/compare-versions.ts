import type { Problem } from './checked.js';
import type { ActionSpec, ArgumentSpec, QuerySpec, Specification } from './language.js';

/**
 * What is gone between two versions of a specification, and what callers would have to give that they do not give today. A change says what it changes: what it does not mention stays, and what has
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
      const place = `${list}.${operation.name}.args`;
      const taken = (operation.args ?? []).filter(
        ({ name }) => gone(place, name, next?.args ?? []) && problems.at(-1)?.path !== `${place}.${name}`,
      );
      for (const { name } of taken)
        problems.push({
          path: `${place}.${name}`,
          code: 'callers',
          message: `callers of today give ${name}, and would be refused.`,
          example: 'keep it as an argument with "optional": true, and let it do what it still can',
          severity: 'error',
        });
      const answers = answerOf(next).map((name) => ({ name }));
      for (const name of answerOf(operation)) gone(`${list}.${operation.name}.${PLACE[list]}`, name, answers);
      for (const { name } of newlyNeeded(operation.args ?? [], next?.args ?? [])) {
        problems.push({
          path: `${list}.${operation.name}.args.${name}`,
          code: 'callers',
          message: `callers of today do not give ${name}, which must be given now.`,
          example: '"optional": true, or a default that stands for what callers of today mean',
          severity: 'error',
        });
      }
    }
  }
  return problems;
}

const PLACE = { queries: 'columns', actions: 'returns' } as const;

/** What callers read by name. */
function answerOf(operation: QuerySpec | ActionSpec | undefined): readonly string[] {
  if (operation === undefined) return [];
  const items = 'columns' in operation ? operation.columns : (operation.returns ?? []);
  return items.map((item) => (item.split('=')[0] ?? '').trim().split('.').at(-1) ?? '');
}

function newlyNeeded(before: readonly ArgumentSpec[], after: readonly ArgumentSpec[]): readonly ArgumentSpec[] {
  return after.filter((argument) => {
    const was = before.find(({ name }) => name === argument.name);
    return !isLoose(argument) && (was === undefined || isLoose(was));
  });
}

function isLoose({ optional, default: given }: ArgumentSpec): boolean {
  return optional === true || given !== undefined;
}

function words(name: string): readonly string[] {
  return name.split('_').filter((word) => word.length > 2);
}
