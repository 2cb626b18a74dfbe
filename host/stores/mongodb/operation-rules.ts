import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { type CheckedSpecification, checkSpecification, documentLayout, type DocumentLayout } from '#sdk/spec';
import { Binary } from 'mongodb';
import { storeErrors } from '../../errors/store.js';

/** The rules of a domain: a specification that the DBA has put into the catalogue, as the host carries it out. */
export interface Domain {
  readonly specification: CheckedSpecification;
  readonly layout: DocumentLayout;
}

/** Those of the latest texts: all operations of a domain come with the same. */
const MOST_DOMAINS = 16;
const domains = new Map<string, Domain | null>();

/** As they travel to other threads, in each of the operations. */
export function packRules(rules: unknown): Binary {
  return new Binary(deflateRawSync(JSON.stringify(rules ?? null)));
}

/** Throws BEDS_STORE_OBJECT_CHANGED. */
export function unpackRules(packed: Binary): Domain {
  const domain = checkedOnce(inflateRawSync(packed.buffer).toString('utf8'));
  if (domain === null) throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
  return domain;
}

/** What an operation of them needs, or why there is none. */
export function readRules(
  rules: unknown,
  operation: string,
): { readonly problem: string } | { readonly collections: readonly string[] } {
  if (rules === undefined) return { problem: 'there is no entry of this name of the kind rules' };
  const domain = checkedOnce(JSON.stringify(rules));
  if (domain === null) return { problem: 'the rules have problems: beds spec check lists them' };
  const { specification, layout } = domain;
  const { records, queries, actions } = specification;
  const named = [...queries, ...actions, ...records.flatMap(({ operations }) => operations)].map(({ name }) => name);
  const swept = records.flatMap(({ name, expires }) => (expires === undefined ? [] : [`sweep_${name}`]));
  if (![...named, ...swept].includes(operation)) return { problem: `the rules have no operation ${operation}` };
  const kept = records.flatMap(({ name, spec }) => (spec.history === true ? [layout.historyOf(name)] : []));
  const collections = layout.roots.map(({ record }) => layout.placeOf(record.name).collection);
  return { collections: [...collections, layout.locks, layout.counters, ...kept] };
}

function checkedOnce(text: string): Domain | null {
  const known = domains.get(text);
  if (known !== undefined) return known;
  const { checked } = checkSpecification(JSON.parse(text));
  const made = checked === undefined ? null : { specification: checked, layout: documentLayout(checked) };
  const [oldest] = domains.keys();
  if (domains.size >= MOST_DOMAINS && oldest !== undefined) domains.delete(oldest);
  domains.set(text, made);
  return made;
}
