import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '@beds/sdk';
import type { NamedObject, NamedValue, ObjectFinding } from '../../../stores/contract.js';
import { diffNative } from './diff-native.js';
import { newTexts, type ObjectDifference } from './difference.js';

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
  return [...diffValues(title, valuesOf(was), valuesOf(is)), ...diffNative(title, was, is)];
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
