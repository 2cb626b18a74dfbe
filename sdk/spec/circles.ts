import type { Formula } from './checked.js';
import type { RecordDraft } from './check-records.js';
import type { Findings } from './findings.js';
import { partsOf } from './type-formula.js';

/**
 * What is computed, totalled or ends by itself must not come of itself. Records may name each other in a circle, and no rule of the
 * language keeps them from it: then such a value has no end, whoever computes it.
 */

/** What readers are shown of a field, what is stored of it, or whether a record has ended. */
interface Value {
  readonly record: string;
  /** Undefined: whether the record has ended. */
  readonly field?: string;
  /** As it is stored, before the record ends: what its end is made of. */
  readonly isStored: boolean;
}

const idOf = ({ record, field, isStored }: Value): string => `${record}.${field ?? ''}${isStored ? '!' : ''}`;
const nameOf = ({ record, field }: Value): string =>
  field === undefined ? `the end of ${record}` : `${record}.${field}`;

export function checkCircles(records: readonly RecordDraft[], findings: Findings): void {
  const known = new Map(records.map((record) => [record.name, record] as const));
  const done = new Set<string>();
  const visit = (value: Value, trail: readonly Value[]): void => {
    const at = trail.findIndex((one) => idOf(one) === idOf(value));
    if (at >= 0) report(trail.slice(at), known, findings);
    if (at >= 0 || done.has(idOf(value))) return;
    for (const next of madeOf(value, known)) visit(next, [...trail, value]);
    done.add(idOf(value));
  };
  for (const { name: record, fields } of records) {
    for (const { name: field } of fields) visit({ record, field, isStored: false }, []);
    visit({ record, isStored: false }, []);
  }
}

function report(circle: readonly Value[], known: ReadonlyMap<string, RecordDraft>, findings: Findings): void {
  const [first] = circle;
  if (first === undefined) return;
  const total = circle.find(
    ({ record, field }) => known.get(record)?.fields.find(({ name }) => name === field)?.rollup,
  );
  const { record, field } = total ?? first;
  const way = [...circle, first].map(nameOf).join(' from ');
  findings.error(field === undefined ? `records.${record}.expires` : `records.${record}.fields.${field}`, 'circle', {
    message: `${way}: it comes of itself, and where records name each other in a circle it has no end.`,
    example:
      total === undefined
        ? 'a formula over stored fields; or a managed field that actions write'
        : 'a total of what lies directly below; or a managed field that actions write',
  });
}

/** What a value is made of. */
function madeOf(
  { record: name, field: asked, isStored }: Value,
  known: ReadonlyMap<string, RecordDraft>,
): readonly Value[] {
  const record = known.get(name);
  const { expires } = record ?? {};
  const read = (formula: Formula | undefined, own: string, stored: boolean): readonly Value[] =>
    (formula === undefined ? [] : partsOf(formula))
      .flatMap((part) => readBy(part, { own, isStored: stored }))
      // n.b. a record that has ended is still there, unless its end is to be deleted.
      .filter((value) => value.field !== undefined || known.get(value.record)?.expires?.set === undefined);
  if (asked === undefined) return [...read(expires?.when, name, true), ...read(expires?.at, name, true)];
  const field = record?.fields.find((one) => one.name === asked);
  if (field?.computed !== undefined) return read(field.computed, name, isStored);
  const { rollup } = field ?? {};
  const total =
    rollup === undefined ? [] : [rollup.value, rollup.when].flatMap((part) => read(part, rollup.child, false));
  const ended = isStored ? undefined : expires?.set?.find((set) => set.name === asked);
  return ended === undefined ? total : [{ record: name, isStored: false }, ...read(ended.value, name, true), ...total];
}

/** What one part of a formula reads: fields, and whether the records on the way to them are still there. */
function readBy(
  part: Formula,
  { own, isStored }: { readonly own: string; readonly isStored: boolean },
): readonly Value[] {
  if (part.node === 'set') return [{ record: part.record, isStored: false }];
  if (part.node !== 'field') return [];
  const start = part.row === 'this' ? own : part.row;
  const hops = part.path.map((hop, index) => ({
    record: part.path[index - 1]?.to ?? start,
    field: hop.field,
    isStored: isStored && index === 0,
  }));
  const passed = part.path.map(({ to }) => ({ record: to, isStored: false }));
  const last = {
    record: part.record,
    field: part.field,
    isStored: isStored && part.path.length === 0 && part.row === 'this',
  };
  return [...hops, ...passed, last];
}
