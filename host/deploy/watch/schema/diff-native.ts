import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '@beds/sdk';
import type { NamedObject } from '../../../stores/contract.js';
import { newTexts, type ObjectDifference } from './difference.js';

/** What is said in words elsewhere, or is in the parameters and columns already. */
const KNOWN = new Set(['notSupported', 'uncarried', 'problems', 'missingGrants', 'args', 'fields']);
const WORDS: Readonly<Record<string, (is: Json | undefined, was: Json | undefined) => string>> = {
  database: (is, was) => `is in database ${text(is)}, was in ${text(was)}`,
  returns: (is, was) => `its result is ${text(is)}, was ${text(was)}`,
  op: (is, was) => `its operation is ${text(is)}, was ${text(was)}`,
  on: (is, was) => `works on collection ${text(is)}, worked on ${text(was)}`,
  body: () => 'its body was rewritten',
  servedBy: (is) => `is served by ${is === 'view' ? 'a view of the server' : 'the catalogue'} now`,
};

/** What changed in what only an adapter understands, as far as a template that uses the object may notice. */
export function diffNative(title: string, was: NamedObject, is: NamedObject): readonly ObjectDifference[] {
  const keys = new Set([...Object.keys(was.native), ...Object.keys(is.native)].filter((key) => !KNOWN.has(key)));
  const lines = [...keys]
    .filter((key) => !isDeepStrictEqual(was.native[key], is.native[key]))
    .map((key) => WORDS[key]?.(is.native[key], was.native[key]) ?? 'its definition was changed');
  return [
    ...revoked(title, was.native, is.native),
    ...[...lines, ...diffFields(was, is)].map((words) => ({
      line: `${title}: ${words}`,
      refusedAs: 'BEDS_PREFLIGHT_NOT_SUPPORTED' as const,
      part: '',
    })),
  ];
}

function revoked(title: string, was: JsonObject, is: JsonObject): readonly ObjectDifference[] {
  return newTexts(was['missingGrants'], is['missingGrants']).map((grant) => {
    const part = grant.replace(' ', ' on ');
    return { line: `${title}: ${part} was revoked`, refusedAs: 'BEDS_PREFLIGHT_GRANT_MISSING', part };
  });
}

/** Where columns and results come from in stored documents. A view's are those that the template uses. */
function diffFields(was: NamedObject, is: NamedObject): readonly string[] {
  const [before, now] = [was.native['fields'], is.native['fields']];
  if (!isFields(before) || !isFields(now)) {
    if (isDeepStrictEqual(before, now)) return [];
    return [isFields(now) ? 'returns the columns it names, returned whole documents' : 'returns whole documents now'];
  }
  const noun = was.kind === 'view' ? 'column' : 'result column';
  const names = was.kind === 'view' ? was.columns.map(({ name }) => name) : Object.keys({ ...before, ...now });
  return names.flatMap((name) => {
    const [old, fresh] = [before[name], now[name]];
    if (isDeepStrictEqual(old, fresh)) return [];
    // A view's columns that are gone are differences of the view.
    if (!isFields(fresh)) return was.kind === 'view' ? [] : [`${noun} ${name} is gone`];
    if (!isFields(old)) return [`${noun} ${name} is new`];
    if (old['from'] !== fresh['from']) {
      return [`${noun} ${name} comes from field ${text(fresh['from'])}, came from ${text(old['from'])}`];
    }
    return was.kind === 'view' ? [] : [`${noun} ${name} is ${typeWords(fresh)}, was ${typeWords(old)}`];
  });
}

function typeWords(field: JsonObject): string {
  return field['as'] === field['type'] ? text(field['type']) : `${text(field['type'])} (${text(field['as'])})`;
}

function isFields(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : value === undefined ? 'none' : JSON.stringify(value);
}
