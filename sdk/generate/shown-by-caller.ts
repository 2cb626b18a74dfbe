import type { CheckedRecord, CheckedSpecification } from '../spec/index.js';

/** Whether a computed field of a record is another one for another caller. */
export function showsByCaller(
  record: CheckedRecord,
  { records }: Pick<CheckedSpecification, 'records'>,
  trail: readonly string[] = [],
): boolean {
  if (trail.includes(record.name)) return false;
  const around = [...trail, record.name];
  const isOther = (name: string, all: boolean): boolean => {
    const other = records.find((one) => one.name === name);
    if (other === undefined) return false;
    if ((other.rowAccess !== undefined && !all) || showsByCaller(other, { records }, around)) return true;
    return other.spec.per_tenant === true && record.spec.per_tenant !== true;
  };
  // n.b. inside of a set with `all` nothing is hidden.
  const looks = (value: unknown, isInside: boolean): boolean => {
    if (typeof value !== 'object' || value === null) return false;
    const part = value as {
      readonly node?: string;
      readonly record?: string;
      readonly all?: boolean;
      readonly path?: readonly { readonly to: string }[];
    };
    const all = isInside || part.all === true;
    if (part.node === 'caller' || part.node === 'has_role') return true;
    if (part.node === 'set' && isOther(part.record ?? '', all)) return true;
    if (part.node === 'field' && part.path?.some(({ to }) => isOther(to, all)) === true) return true;
    return Object.entries(value).some(([key, inner]) => key !== 'type' && looks(inner, all));
  };
  return record.fields.some(({ computed }) => looks(computed, false));
}
