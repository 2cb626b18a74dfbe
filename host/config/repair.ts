import type { z } from 'zod';
import { fieldAt } from './fields.js';
import { isTable, type Table } from './layers.js';

/**
 * The values without what the schema refuses, so that what is wrong between the remaining keys can be told in the same
 * breath. A value that must be given but is wrong or missing is replaced by some allowed one.
 */
export function withoutFaults(values: Table, issues: readonly z.core.$ZodIssue[]): Table {
  const copy = structuredClone(values) as Record<string, unknown>;
  for (const issue of issues) {
    const path = issue.path.map(String);
    const keys = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path];
    for (const fault of keys) mend(copy, fault);
  }
  return copy;
}

function mend(root: Record<string, unknown>, path: readonly string[]): void {
  const parent = path.slice(0, -1).reduce<unknown>((table, key) => (isTable(table) ? table[key] : undefined), root);
  const key = path.at(-1);
  if (key === undefined) return;
  if (!isTable(parent)) {
    // An item of a list: the whole list goes.
    mend(root, path.slice(0, -1));
    return;
  }
  const choice = fieldAt(path)?.choices[0];
  const table = parent as Record<string, unknown>;
  if (choice === undefined) Reflect.deleteProperty(table, key);
  else table[key] = choice;
}
