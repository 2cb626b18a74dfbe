import type { ContractChange } from './contract.js';

/** A change of one operation, before it is known which. */
export type Difference = Omit<ContractChange, 'operation'>;

export function breaking(message: string): Difference {
  return { breaking: true, message };
}

export function compatible(message: string): Difference {
  return { breaking: false, message };
}

/** The names of two tables in the order of the first, then what only the second has. */
export function namesOfBoth(live: object, next: object): readonly string[] {
  return [...new Set([...Object.keys(live), ...Object.keys(next)])];
}

/** Names come from authors: `toString` is one as well, and not of the table. */
export function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
