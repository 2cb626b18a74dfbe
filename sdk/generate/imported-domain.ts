import { checkSpecification, FORMULA_WORDS, type Specification, WIRE_WORDS } from '../spec/index.js';
import type { FieldSpec, RecordSpec } from '../spec/index.js';

/** What imports from all databases have in common: names, notes, and the checker as the last judge. */

/** Something of a database, and why the specification does not say it, or says it in another way. */
export interface ImportNote {
  readonly name: string;
  readonly reason: string;
}

export interface ImportedDomain {
  readonly specification: Specification;
  readonly leftOut: readonly ImportNote[];
  readonly changed: readonly ImportNote[];
}

export type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
export type Draft = Mutable<RecordSpec> & { fields: FieldSpec[] };

const MOST_NAME = 30;
export const MOST_FIELDS = 80;
export const MOST_CHARACTERS = 100_000;
/** Parameters of generated procedures are called so. */
export const TAKEN: readonly string[] = ['caller_id', 'caller_roles', 'clears', ...FORMULA_WORDS, ...WIRE_WORDS];

/** What a database has that the language has no word for. */
export class Unsaid extends Error {}

export function reasonOf(error: unknown): string {
  if (error instanceof Unsaid) return error.message;
  throw error;
}

/** What a database says of itself is data: on one line, without what nobody sees, and no formula in it. */
export function oneLine(text: string, most = 500): string {
  const plain = text.replaceAll(/[\p{C}\p{Z}{}]+/gu, ' ').trim();
  const letters = Array.from(plain);
  return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : plain;
}

/** A name in the language that no other has. */
export function nameFor(original: string, taken: readonly string[]): string {
  const plain = original
    .normalize('NFKD')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, '_')
    .replace(/^[^a-z]+/, '');
  const base = (plain === '' ? 'value' : plain).slice(0, MOST_NAME);
  for (let number = 1; ; number += 1) {
    const end = number === 1 ? '' : `_${number}`;
    const name = `${base.slice(0, MOST_NAME - end.length)}${end}`;
    if (!taken.includes(name)) return name;
  }
}

/** What is said beside the specification. */
export class ImportNotes {
  readonly #leftOut: ImportNote[] = [];
  readonly #changed: ImportNote[] = [];

  get all(): Pick<ImportedDomain, 'leftOut' | 'changed'> {
    return { leftOut: this.#leftOut, changed: this.#changed };
  }

  leaveOut(name: string, reason: string): void {
    this.#leftOut.push({ name: oneLine(name, 200), reason: oneLine(reason) });
  }

  change(name: string, reason: string): void {
    this.#changed.push({ name: oneLine(name, 200), reason: oneLine(reason) });
  }
}

/** What the language refuses for a reason of its own is left out, until the whole is accepted. Throws a TypeError where nothing is left. */
export function repairImported(
  specification: Mutable<Specification>,
  records: readonly Draft[],
  notes: ImportNotes,
): void {
  for (;;) {
    const { problems, checked } = checkSpecification(specification);
    if (checked !== undefined) return;
    const [problem] = problems.filter(({ severity }) => severity === 'error');
    const [, name, part = ''] = /^records\.([a-z0-9_]+)\.(.+)$/.exec(problem?.path ?? '') ?? [];
    const record = records.find((each) => each.name === name);
    if (problem === undefined || record === undefined || !drop(record, { part, reason: problem.message }, notes))
      throw new TypeError(`${problem?.path ?? ''}: ${problem?.message ?? 'what is there cannot be said.'}`);
  }
}

function drop(
  record: Draft,
  { part, reason }: { readonly part: string; readonly reason: string },
  notes: ImportNotes,
): boolean {
  const [, list, place] = /^(rules|unique)\[(\d+)\]/.exec(part) ?? [];
  if (list === 'rules' || list === 'unique') {
    const all: readonly object[] = record[list] ?? [];
    const lost = all[Number(place)];
    if (lost === undefined) return false;
    notes.leaveOut(`${record.name}: ${JSON.stringify(lost)}`, reason);
    const kept = all.filter((each) => each !== lost);
    if (kept.length > 0) Object.assign(record, { [list]: kept });
    else if (list === 'rules') delete record.rules;
    else delete record.unique;
    return true;
  }
  if (part.startsWith('expires') && record.expires !== undefined) {
    notes.leaveOut(`${record.name}: ${JSON.stringify(record.expires)}`, reason);
    delete record.expires;
    return true;
  }
  if (/^key\b/.test(part) && record.key !== 'auto') {
    notes.change(`the key of ${record.name}`, reason);
    record.key = 'auto';
    return true;
  }
  const [, name, property] =
    /^fields\.([a-z0-9_]+)(?:\.(default|computed|mask|multiple_of|min|max)\b)?/.exec(part) ?? [];
  const field = record.fields.find((each) => each.name === name);
  if (field === undefined || (record.fields.length === 1 && property === undefined)) return false;
  if (property !== undefined && property !== 'computed' && property in field) {
    const { [property as 'default']: lost, ...rest } = field;
    notes.leaveOut(`${property} of ${record.name}.${field.name}: ${String(lost)}`, reason);
    record.fields = record.fields.map((each) => (each === field ? (rest as FieldSpec) : each));
    return true;
  }
  notes.leaveOut(`${record.name}.${field.name}`, reason);
  record.fields = record.fields.filter((each) => each !== field);
  return true;
}
