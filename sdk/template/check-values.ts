import { compileFits } from './fits.js';
import type { Json, JsonObject } from './json.js';
import { readValue, type ReadValue } from './read-value.js';
import { isPlainName } from './unknown-names.js';
import { hasLive, isLive, takesNull, type ValueDescription, type ValueFields } from './values.js';

/** What is wrong with a value: `field` is the way to it (`cities[3].name`), `message` reads on from it (`must be a string`). */
export interface ValueProblem {
  readonly field: string;
  readonly message: string;
}

/** `value` is the given object itself where no default was filled in and every value had its one form already. */
export type CheckedValues =
  | { readonly ok: true; readonly value: JsonObject }
  | {
      readonly ok: false;
      /** The first of them. */
      readonly problem: ValueProblem;
      readonly problems: readonly ValueProblem[];
    };

/** Checks named values; pure, and never repeats a value in a message. */
export type ValuesChecker = (values: JsonObject) => CheckedValues;

/** Unknown names that are written out in one message. */
const MOST_NAMES = 8;

/** Undefined where every name is known. Of a name that is no identifier only that is said. */
function unknownName(values: JsonObject, fields: ValueFields): ValueProblem | undefined {
  const unknown = Object.keys(values).filter((name) => !Object.hasOwn(fields, name));
  if (unknown.length === 0) return undefined;
  const known = Object.keys(fields);
  const plain = unknown.filter(isPlainName);
  const [field = '?', ...others] = plain.slice(0, MOST_NAMES);
  const beside = others.length === 0 ? '' : `, as are ${others.join(', ')}`;
  const is = plain.length === 0 ? 'is a name that is no identifier' : `is unknown${beside}`;
  const given = new Set(unknown.map((name) => name.toLowerCase()));
  const meant = known.filter((name) => given.has(name.toLowerCase()));
  const hint = meant.length === 0 ? '' : `; did you mean ${meant.join(', ')}`;
  const message = known.length === 0 ? `${is}: no values are accepted` : `${is}${hint}; known are ${known.join(', ')}`;
  return { field, message };
}

/** Every problem, found once it is known that there is one. */
function problemsOf(values: JsonObject, fields: ValueFields): CheckedValues {
  const problems: ValueProblem[] = [];
  // n.b. first, because what is missing was mostly given under another name.
  const unknown = unknownName(values, fields);
  if (unknown !== undefined) problems.push(unknown);
  for (const [name, description] of Object.entries(fields)) {
    const given = Object.hasOwn(values, name) ? values[name] : undefined;
    const read = readNamed(given, description);
    if (read !== undefined && 'problem' in read) problems.push(...namedProblems(name, read));
  }
  const [problem = { field: '?', message: 'is refused' }] = problems;
  return { ok: false, problem, problems };
}

function namedProblems(name: string, read: Extract<ReadValue, { problem: string }>): readonly ValueProblem[] {
  return (read.problems ?? [{ at: '', problem: read.problem }]).map(({ at, problem }) => ({
    field: name + at,
    message: problem,
  }));
}

/** A named value, or undefined where it may be absent and is. */
function readNamed(given: Json | undefined, description: ValueDescription): ReadValue | undefined {
  if (given !== undefined && given !== null) return readValue(given, description);
  if (isLive(description)) return readValue(given as Json, description);
  if (description.default !== undefined) return { value: description.default };
  if (description.optional === true && (given === undefined || takesNull(description))) return undefined;
  return { problem: given === null ? 'must not be null' : 'is required' };
}

/** Prepares a checker once, for use on every request. */
export function compileChecker(spec: ValueFields): ValuesChecker {
  const fields = Object.fromEntries(
    Object.entries(spec).map(([name, description]) => [name, withReadDefault(description)] as const),
  );
  const entries = Object.entries(fields);
  const fits = compileFits({ type: 'object', fields });
  return (values) => {
    if (fits(values)) return { ok: true, value: values };
    let value = values;
    let present = 0;
    for (const [name, description] of entries) {
      const isPresent = Object.hasOwn(values, name);
      if (isPresent) present += 1;
      const given = isPresent ? values[name] : undefined;
      const read = readNamed(given, description);
      if (read === undefined) continue;
      if ('problem' in read) return problemsOf(values, fields);
      if (read.value !== given) value = { ...value, [name]: read.value };
    }
    return Object.keys(values).length === present ? { ok: true, value } : problemsOf(values, fields);
  };
}

/** On arguments that the template has checked already: a schema may make of a value what it would not take again. */
const CHECKED: unique symbol = Symbol.for('beds.checked') as never;

/** The arguments of a routine: the four check them for their callers, and the call of the routine for all others. */
export function compileArguments(spec: ValueFields): ValuesChecker {
  const check = compileChecker(spec);
  if (!Object.values(spec).some(hasLive)) return check;
  return (values) => {
    if (CHECKED in values) return { ok: true, value: values };
    const checked = check(values);
    return checked.ok
      ? { ok: true, value: Object.defineProperty({ ...checked.value }, CHECKED, { value: true }) }
      : checked;
  };
}

function withReadDefault(description: ValueDescription): ValueDescription {
  if (description.default === undefined) return description;
  const read = readValue(description.default, description);
  return 'value' in read ? { ...description, default: read.value } : description;
}

/** Prepares a checker of a whole input: an object of named values, or what a schema accepts. */
export function compileInput(input: ValueDescription): ValuesChecker {
  if (input.type === 'object') return compileChecker(input.fields ?? {});
  return (values) => {
    const read = readValue(values, input);
    if ('value' in read) return { ok: true, value: read.value as JsonObject };
    const problems = (read.problems ?? [{ at: '', problem: read.problem }]).map(({ at, problem }) => ({
      field: at.replace(/^\./, ''),
      message: problem,
    }));
    const [problem = { field: '', message: read.problem }] = problems;
    return { ok: false, problem, problems };
  };
}

/** A result that fits, or what is wrong with it: `field` begins with `result`. */
export type CheckedResult = { readonly value: Json } | { readonly problems: readonly ValueProblem[] };

/** Prepares the check of what an operation gives; without a description it must be JSON, whatever it says. */
export function compileResult(output: ValueDescription = { type: 'json' }): (value: unknown) => CheckedResult {
  const fits = compileFits(output, true);
  return (value) => {
    const isAbsent = !isLive(output) && (value === undefined || value === null);
    if (!isAbsent && fits(value)) return { value: value as Json };
    if (isAbsent && (output.optional === true || (value === null && output.type === 'json'))) return { value: null };
    const absent = value === null ? 'must not be null' : 'must be given';
    const read: ReadValue = isAbsent ? { problem: absent } : readValue(value as Json, output, true);
    if ('value' in read) return { value: read.value ?? null };
    const problems = read.problems ?? [{ at: '', problem: read.problem }];
    return { problems: problems.map(({ at, problem }) => ({ field: `result${at}`, message: problem })) };
  };
}

/** Checks once. Code that checks often keeps the checker of `compileChecker`. */
export function checkValues(spec: ValueFields, values: JsonObject): CheckedValues {
  return compileChecker(spec)(values);
}
