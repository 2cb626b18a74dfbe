import { deflateRawSync, inflateRawSync } from 'node:zlib';
import {
  type BesideRecord,
  type CheckedSpecification,
  checkSpecification,
  documentLayout,
  type DocumentLayout,
} from '#sdk/spec';
import { Binary } from 'mongodb';
import { storeErrors } from '../../errors/store.js';

/** The rules of a domain: a specification that the DBA has put into the catalogue, as the host carries it out. */
export interface Domain {
  readonly specification: CheckedSpecification;
  readonly layout: DocumentLayout;
  /** What a version before still writes and does not know, by the names of records. */
  readonly beside: Readonly<Record<string, BesideRecord>>;
}

/** An entry of the catalogue. */
export interface RulesEntry {
  /** The specification. */
  readonly body: unknown;
  /** While a version before is used as well. */
  readonly beside?: unknown;
}

/** Those of the latest texts: all operations of a domain come with the same. */
const MOST_DOMAINS = 16;
const domains = new Map<string, Domain | null>();

function textOf(rules: RulesEntry | undefined): string {
  return JSON.stringify({ body: rules?.body ?? null, beside: rules?.beside ?? {} });
}

/** As they travel to other threads, in each of the operations. */
export function packRules(rules: RulesEntry | undefined): Binary {
  return new Binary(deflateRawSync(textOf(rules)));
}

/** Throws BEDS_STORE_OBJECT_CHANGED. */
export function unpackRules(packed: Binary): Domain {
  const domain = checkedOnce(inflateRawSync(packed.buffer).toString('utf8'));
  if (domain === null) throw storeErrors.make('BEDS_STORE_OBJECT_CHANGED');
  return domain;
}

/** What an operation of them needs, or why there is none. */
export function readRules(
  rules: RulesEntry | undefined,
  operation: string,
): { readonly problem: string } | { readonly collections: readonly string[] } {
  if (rules === undefined) return { problem: 'there is no entry of this name of the kind rules' };
  const domain = checkedOnce(textOf(rules));
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
  const { body, beside } = JSON.parse(text) as RulesEntry & { readonly beside: Domain['beside'] };
  const { checked } = checkSpecification(body);
  const made = checked === undefined ? null : { specification: checked, layout: documentLayout(checked), beside };
  const [oldest] = domains.keys();
  if (domains.size >= MOST_DOMAINS && oldest !== undefined) domains.delete(oldest);
  domains.set(text, made);
  return made;
}
