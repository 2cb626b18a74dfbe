import type { IndexDescription } from 'mongodb';
import { dbaErrors } from '../../errors/dba.js';
import type { ObjectFile } from '../contract.js';

type PlainDocument = Readonly<Record<string, unknown>>;

/** What a JSON file of `db/` holds: a collection with its indexes, or one entry of the catalogue of named objects. */
export type MongodbObject =
  | { readonly type: 'collection'; readonly name: string; readonly indexes: readonly IndexDescription[] }
  | { readonly type: 'entry'; readonly entry: PlainDocument & { readonly _id: string } };

/** Throws BEDS_DBA_FILE_INVALID. */
export function parseObjectFile({ name, text }: ObjectFile): MongodbObject {
  const content = parse(name, text);
  if (typeof content['collection'] === 'string') {
    const indexes = Array.isArray(content['indexes']) ? (content['indexes'] as readonly IndexDescription[]) : [];
    return { type: 'collection', name: content['collection'], indexes };
  }
  const id = content['_id'];
  if (typeof id !== 'string' || id === '') {
    throw invalid(name, 'must have `collection` (and `indexes`), or `_id`, `kind` and what else an entry has');
  }
  return { type: 'entry', entry: { ...content, _id: id } };
}

function parse(name: string, text: string): PlainDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_FILE_INVALID', `${name} is not JSON.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(name, 'must be an object');
  return value as PlainDocument;
}

function invalid(name: string, problem: string): Error {
  return dbaErrors.make('BEDS_DBA_FILE_INVALID', `${name} ${problem}.`);
}
