import type { JsonObject } from '../template/json.js';
import type { CheckedField, CheckedRecord, CheckedSpecification, CheckedUnique } from './checked.js';

/**
 * How the records of a specification are kept as documents: a collection for each type of record, and parts as a list inside of the
 * document of their whole. A generator makes collections and indexes by it, a host reads and writes by it.
 */
export interface DocumentPlace {
  readonly record: CheckedRecord;
  /** The record whose document it is. */
  readonly root: CheckedRecord;
  readonly collection: string;
  /** The list in the document; absent where the record is the document. */
  readonly list?: string;
  /** Where a field is in the document: `_id`, `title`, `line.amount`. */
  readonly pathOf: (field: string) => string;
}

export interface DocumentLayout {
  readonly placeOf: (record: string) => DocumentPlace;
  /** Records that are documents, each with the parts that are in it. */
  readonly roots: readonly { readonly record: CheckedRecord; readonly parts: readonly CheckedRecord[] }[];
  /** Locks of what has no document, and numbers that were given. */
  readonly locks: string;
  readonly counters: string;
  readonly historyOf: (record: string) => string;
  /** Fields that are stored, in their order: all but those that are computed on reading. */
  readonly storedFields: (record: CheckedRecord) => readonly CheckedField[];
}

export function documentLayout({ domain, records }: CheckedSpecification): DocumentLayout {
  const recordOf = (name: string): CheckedRecord => {
    const found = records.find((record) => record.name === name);
    if (found === undefined) throw new TypeError(`there is no record ${name}`);
    return found;
  };
  const rootOf = (record: CheckedRecord): CheckedRecord =>
    record.parent === undefined ? record : rootOf(recordOf(record.parent));
  const places = new Map(
    records.map((record): readonly [string, DocumentPlace] => {
      const root = rootOf(record);
      const collection = `${domain}_${root.name}`;
      const inRoot = (field: string): string => {
        if (!keyFields(root).includes(field)) return field;
        return isKeyWhole(root) ? '_id' : `_id.${field}`;
      };
      if (root === record) return [record.name, { record, root, collection, pathOf: inRoot }];
      const list = record.name;
      const isInside = record.parent === root.name;
      const pathOf = (field: string): string =>
        isInside && field === record.parent ? inRoot(root.key[0] ?? 'id') : `${list}.${field}`;
      return [record.name, { record, root, collection, list, pathOf }];
    }),
  );
  const placeOf = (name: string): DocumentPlace => {
    const found = places.get(name);
    if (found === undefined) throw new TypeError(`there is no record ${name}`);
    return found;
  };
  return {
    placeOf,
    roots: records
      .filter(({ parent }) => parent === undefined)
      .map((record) => ({
        record,
        parts: records.filter((one) => one !== record && placeOf(one.name).root === record),
      })),
    locks: `${domain}_lock`,
    counters: `${domain}_counter`,
    historyOf: (record) => `${domain}_${record}_history`,
    storedFields: (record) => record.fields.filter(({ computed }) => computed === undefined),
  };
}

/** What identifies a document: two tenants may have records of one name. */
export function keyFields({ key, keyKind, spec }: CheckedRecord): readonly string[] {
  return spec.per_tenant === true && keyKind === 'fields' ? ['tenant', ...key] : key;
}

/** Whether `_id` is the value of one field, not a document of several. */
export function isKeyWhole(record: CheckedRecord): boolean {
  return keyFields(record).length === 1;
}

/** How a unique rule is kept: by an index over its fields, or over a field that holds what they come to. */
export interface UniqueIndex {
  readonly name: string;
  /** `_u_email`: the field of the document. A part's is a list, of all the parts in it. Absent: the fields themselves. */
  readonly keyField?: string;
  readonly fields: readonly string[];
}

/** Undefined where one document holds all that must differ: whoever writes it knows them. */
export function uniqueIndex(
  { record, list }: Pick<DocumentPlace, 'record' | 'list'>,
  { name, fields, when }: CheckedUnique,
): UniqueIndex | undefined {
  const plain = fields.flatMap((field) => (field.node === 'field' && field.path.length === 0 ? [field.field] : []));
  if (list !== undefined && record.parent !== undefined && plain.includes(record.parent)) return undefined;
  const changed = record.expires?.set?.map((one) => one.name) ?? [];
  const isPlain =
    list === undefined &&
    when === undefined &&
    record.spec.soft_delete !== true &&
    plain.length === fields.length &&
    fields.every(({ nullable }) => !nullable) &&
    !plain.some((one) => changed.includes(one));
  const tenant = record.spec.per_tenant === true ? ['tenant'] : [];
  return isPlain ? { name, fields: [...tenant, ...plain] } : { name, keyField: `_u_${name}`, fields: [] };
}

/** What a version before still writes to the documents of a record and does not know: part of the entry of the rules, as `beside`. */
export interface BesideRecord {
  /** Names of fields in the documents, by the names that they have now: both are written, the older one counts. */
  readonly renamed: Readonly<Record<string, string>>;
  /** Of these those that may be absent: where the older name is not there, there is no value. */
  readonly olderOnly: readonly string[];
  /** What stands for a field that is not there, as callers write it. */
  readonly absent: JsonObject;
  /** Totals that the version before does not count: they are counted on reading. */
  readonly totals: readonly string[];
}

/** The place of a field in a document under the name that it had. */
export function besidePath(path: string, older: string): string {
  return [...path.split('.').slice(0, -1), older].join('.');
}
