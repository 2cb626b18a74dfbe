import { isDeepStrictEqual } from 'node:util';
import type { JsonObject, Json } from '@beds/sdk';
import type { ObjectFinding, NamedObject, NamedValue } from '../../stores/contract.js';

/** One thing about a named object that is not as it was. */
export interface ObjectDifference {
  /** One sentence part for a person: `routine note_create: parameter text is varchar(50), was varchar(200)`. */
  readonly line: string;
  /** What the preflight calls it where the template cannot live with it. */
  readonly refusedAs: ObjectFinding['code'];
  /** The parameter, the column or the words by which a finding of the preflight is about the same; empty for the object. */
  readonly part: string;
}

/** Those of a list that the other does not have; anything that is no list has none. */
function newTexts(was: unknown, is: unknown): readonly string[] {
  const before: readonly unknown[] = Array.isArray(was) ? was : [];
  return Array.isArray(is)
    ? is.filter((text): text is string => typeof text === 'string' && !before.includes(text))
    : [];
}

type Code = ObjectFinding['code'];

/** What changed between two descriptions of one object, both narrowed to what a template uses. Empty when nothing did. */
export function diffObjects(was: NamedObject, is: NamedObject | undefined): readonly ObjectDifference[] {
  const title = `${was.kind === 'view' ? 'view' : 'routine'} ${was.name}`;
  if (is === undefined) return [difference(`${title} ${goneWords(was)}`, 'BEDS_PREFLIGHT_OBJECT_MISSING')];
  const broken = diffUsability(title, was.native, is.native);
  // What is said of an object that cannot be served at all is not worth comparing.
  if (broken.length > 0) return broken;
  if (was.kind !== is.kind) {
    return [difference(`${title} is a ${is.kind}, was a ${was.kind}`, 'BEDS_PREFLIGHT_KIND_MISMATCH')];
  }
  const [gave, gives] = [givenWords(was), givenWords(is)];
  const given = `${title}: it gives back ${gives}, gave back ${gave}`;
  return [
    ...diffValues(title, valuesOf(was), valuesOf(is)),
    ...(gave === gives ? [] : [difference(given, 'BEDS_PREFLIGHT_NOT_SUPPORTED')]),
    ...diffNative(title, was, is),
  ];
}

function givenWords(object: NamedObject): string {
  const gives = object.kind === 'view' ? [] : (object.gives ?? []);
  return gives.map(({ name, nativeType }) => `${name} (${nativeType})`).join(', ') || 'nothing';
}

/** The catalogues of MySQL and MariaDB do not tell what is gone from what may not be seen, or no longer works. */
function goneWords({ kind, native }: NamedObject): string {
  if (native['op'] !== undefined) return 'is gone from the catalogue, or the catalogue may no longer be read';
  return kind === 'view'
    ? 'is gone or no longer valid, or SELECT on it was revoked'
    : 'is gone, or EXECUTE on it was revoked';
}

function diffUsability(title: string, was: JsonObject, is: JsonObject): readonly ObjectDifference[] {
  const reason = is['notSupported'];
  if (typeof reason === 'string' && reason !== was['notSupported']) {
    return [difference(`${title} can no longer be served: ${reason}`, 'BEDS_PREFLIGHT_NOT_SUPPORTED', reason)];
  }
  return newTexts(was['problems'], is['problems']).map((text) =>
    difference(`${title}: its catalogue entry is wrong at ${text}`, 'BEDS_PREFLIGHT_NOT_SUPPORTED', text),
  );
}

interface Values {
  readonly noun: 'parameter' | 'column';
  readonly list: readonly NamedValue[];
}

function valuesOf(object: NamedObject): Values {
  return object.kind === 'view' ? { noun: 'column', list: object.columns } : { noun: 'parameter', list: object.args };
}

function diffValues(title: string, { noun, list: was }: Values, { list: is }: Values): readonly ObjectDifference[] {
  const isColumn = noun === 'column';
  const gone = was
    .filter(({ name }) => !is.some((value) => value.name === name))
    .map(({ name }) => {
      const code = isColumn ? 'BEDS_PREFLIGHT_COLUMN_MISSING' : 'BEDS_PREFLIGHT_ARGUMENT_UNKNOWN';
      return difference(`${title}: ${noun} ${name} is gone`, code, name);
    });
  const added = is
    .filter(({ name }) => !was.some((value) => value.name === name))
    // What nobody has to name changes nothing for a template that does not.
    .filter((value) => isColumn || !(value.optional === true || value.default !== undefined))
    .map(({ name, nativeType }) =>
      difference(`${title}: ${noun} ${name} (${nativeType}) is new`, 'BEDS_PREFLIGHT_ARGUMENT_MISSING', name),
    );
  const changed = was.flatMap((before) => {
    const now = is.find(({ name }) => name === before.name);
    const changes = now === undefined ? [] : diffValue(before, now);
    return changes.map(({ words, code }) => difference(`${title}: ${noun} ${before.name} ${words}`, code, before.name));
  });
  return [...gone, ...added, ...changed, ...(isColumn ? [] : diffOrder(title, was, is))];
}

interface ValueChange {
  readonly words: string;
  readonly code: Code;
}

function diffValue(was: NamedValue, is: NamedValue): readonly ValueChange[] {
  const changes: ValueChange[] = [];
  const note = (words: string, code: Code): void => void changes.push({ words, code });
  if (was.nativeType !== is.nativeType)
    note(`is ${is.nativeType}, was ${was.nativeType}`, 'BEDS_PREFLIGHT_TYPE_MISMATCH');
  else if (was.type !== is.type) note(`is ${is.type}, was ${was.type}`, 'BEDS_PREFLIGHT_TYPE_MISMATCH');
  else {
    for (const limit of ['maxLength', 'min', 'max'] as const) {
      if (was[limit] === is[limit]) continue;
      note(`has ${limit} ${is[limit] ?? 'none'}, had ${was[limit] ?? 'none'}`, 'BEDS_PREFLIGHT_TYPE_MISMATCH');
    }
  }
  if ((was.nullable ?? false) !== (is.nullable ?? false)) {
    note(
      is.nullable === true ? 'may be null, was never' : 'is never null, might be',
      'BEDS_PREFLIGHT_ARGUMENT_MISSING',
    );
  }
  if ((was.optional ?? false) !== (is.optional ?? false)) {
    note(is.optional === true ? 'may be left out now' : 'has to be given now', 'BEDS_PREFLIGHT_ARGUMENT_MISSING');
  }
  if (!isDeepStrictEqual(was.default, is.default)) note('has another default', 'BEDS_PREFLIGHT_ARGUMENT_MISSING');
  return changes;
}

function diffOrder(title: string, was: readonly NamedValue[], is: readonly NamedValue[]): readonly ObjectDifference[] {
  const common = (list: readonly NamedValue[], other: readonly NamedValue[]): string =>
    list.flatMap(({ name }) => (other.some((value) => value.name === name) ? [name] : [])).join(', ');
  const [before, now] = [common(was, is), common(is, was)];
  if (before === now) return [];
  return [difference(`${title}: parameters are (${now}), were (${before})`, 'BEDS_PREFLIGHT_TYPE_MISMATCH')];
}

function difference(line: string, refusedAs: Code, part = ''): ObjectDifference {
  return { line, refusedAs, part };
}

/** Facts that are reported elsewhere, or are in the parameters and columns already. */
const KNOWN = new Set(['notSupported', 'uncarried', 'problems', 'missingGrants', 'args', 'fields']);
const WORDS: Readonly<Record<string, (is: Json | undefined, was: Json | undefined) => string>> = {
  database: (is, was) => `is in database ${text(is)}, was in ${text(was)}`,
  returns: (is, was) => `its result is ${text(is)}, was ${text(was)}`,
  onlyReads: (is) => (is === true ? 'is declared to read only' : 'is no longer declared to read only'),
  op: (is, was) => `its operation is ${text(is)}, was ${text(was)}`,
  on: (is, was) => `works on collection ${text(is)}, worked on ${text(was)}`,
  body: () => 'its body was rewritten',
  servedBy: (is) => `is served by ${is === 'view' ? 'a view of the server' : 'the catalogue'} now`,
};

/** What changed in what only an adapter understands, as far as a template that uses the object may notice. */
function diffNative(title: string, was: NamedObject, is: NamedObject): readonly ObjectDifference[] {
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
