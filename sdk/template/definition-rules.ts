import { CORE_OPERATIONS } from '../wire/envelope.js';
import { readValue } from './read-value.js';
import type { ValueDescription, ValueType } from './values.js';
import { VALUE_TYPES } from './values.js';

/** One thing that is wrong with a definition or a manifest; `field` is a path in it. */
export interface DefinitionProblem {
  readonly field: string;
  readonly message: string;
}

type Fields = Readonly<Record<string, unknown>>;

const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

/** What names must look like, and how to say so. */
export const NAME_RULES = {
  domain: { pattern: /^[a-z][a-z0-9-]{0,62}$/, message: 'must be lower-case letters, digits and -, a letter first' },
  store: { pattern: /^[A-Za-z][A-Za-z0-9_-]{0,62}$/, message: 'must be letters, digits, _ and -, a letter first' },
  alias: { pattern: /^[A-Za-z][A-Za-z0-9_]{0,62}$/, message: 'must be letters, digits and _, a letter first' },
  operation: { pattern: /^[a-z][A-Za-z0-9_-]{0,62}$/, message: 'must be letters, digits, _ and -, lower case first' },
  value: { pattern: /^[A-Za-z_][A-Za-z0-9_]{0,63}$/, message: 'must be letters, digits and _, no digit first' },
  object: { pattern: /^[A-Za-z_][A-Za-z0-9_$.-]{0,127}$/, message: 'must be the name of an object, never a query' },
  version: {
    // https://semver.org/#is-there-a-suggested-regular-expression-regex-to-check-a-semver-string
    pattern:
      /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$/,
    message: 'must be a semantic version such as 1.0.0',
  },
} as const;

/** Collects everything that is wrong, so that an author mends it in one round. */
export class DefinitionProblems {
  readonly found: DefinitionProblem[] = [];

  add(field: string, message: string): void {
    this.found.push({ field, message });
  }

  /** Whether `value` is an object with named members; says so where not. */
  record(field: string, value: unknown): value is Fields {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return true;
    this.add(field, 'must be an object');
    return false;
  }

  name(field: string, value: unknown, rule: keyof typeof NAME_RULES): void {
    const { pattern, message } = NAME_RULES[rule];
    const fits = typeof value === 'string' && value.length <= 128 && pattern.test(value) && !FORBIDDEN_NAMES.has(value);
    if (!fits) this.add(field, message);
  }

  unknownKeys(field: string, value: Fields, known: readonly string[]): void {
    for (const key of Object.keys(value)) {
      if (!known.includes(key)) this.add(`${field}${field === '' ? '' : '.'}${key}`, 'is unknown');
    }
  }
}

function checkBound(problems: DefinitionProblems, field: string, value: unknown): void {
  if (value !== undefined && (typeof value !== 'number' || !Number.isFinite(value))) {
    problems.add(field, 'must be a number');
  }
}

function checkDefault(problems: DefinitionProblems, field: string, description: ValueDescription): void {
  if (description.default === undefined) return;
  const read = readValue(description.default, description);
  if ('problem' in read) problems.add(`${field}.default`, read.problem);
}

function checkDescription(problems: DefinitionProblems, field: string, value: unknown): void {
  if (!problems.record(field, value)) return;
  problems.unknownKeys(field, value, ['type', 'optional', 'default', 'maxLength', 'min', 'max']);
  if (value['optional'] !== undefined && typeof value['optional'] !== 'boolean') {
    problems.add(`${field}.optional`, 'must be true or false');
  }
  for (const bound of ['maxLength', 'min', 'max']) checkBound(problems, `${field}.${bound}`, value[bound]);
  if (VALUE_TYPES.includes(value['type'] as ValueType)) {
    checkDefault(problems, field, value as unknown as ValueDescription);
  } else {
    problems.add(field, `must be one of ${VALUE_TYPES.join(', ')} (with ? where it may be left out)`);
  }
}

/** Checks named values in their long form. */
export function checkDescriptions(problems: DefinitionProblems, field: string, values: unknown): void {
  if (!problems.record(field, values)) return;
  for (const [name, description] of Object.entries(values)) {
    problems.name(`${field}.${name}`, name, 'value');
    checkDescription(problems, `${field}.${name}`, description);
  }
}

function checkObject(problems: DefinitionProblems, field: string, object: unknown): void {
  if (!problems.record(field, object)) return;
  problems.name(`${field}.name`, object['name'], 'object');
  if (object['kind'] === 'routine') {
    problems.unknownKeys(field, object, ['kind', 'name', 'args']);
    checkDescriptions(problems, `${field}.args`, object['args']);
  } else if (object['kind'] === 'view') {
    problems.unknownKeys(field, object, ['kind', 'name', 'columns', 'share', 'fetchable']);
    checkDescriptions(problems, `${field}.columns`, object['columns']);
    for (const name of ['share', 'fetchable']) {
      const flag = object[name];
      if (flag !== undefined && typeof flag !== 'boolean') problems.add(`${field}.${name}`, 'must be true or false');
    }
  } else {
    problems.add(field, 'must be made with routine(…) or view(…)');
  }
}

/** Checks the named objects, and that the core aliases can serve their operations. */
export function checkObjects(problems: DefinitionProblems, objects: unknown, key: unknown): void {
  if (!problems.record('objects', objects)) return;
  for (const [alias, object] of Object.entries(objects)) {
    problems.name(`objects.${alias}`, alias, 'alias');
    checkObject(problems, `objects.${alias}`, object);
  }
  for (const alias of CORE_OPERATIONS) checkCoreObject(problems, { alias, object: objects[alias], key });
}

function checkCoreObject(
  problems: DefinitionProblems,
  { alias, object, key }: { readonly alias: string; readonly object: unknown; readonly key: unknown },
): void {
  if (typeof object !== 'object' || object === null || typeof key !== 'string') return;
  const { kind, args, columns } = object as {
    readonly kind?: unknown;
    readonly args?: Fields;
    readonly columns?: Fields;
  };
  const field = `objects.${alias}`;
  if (kind === 'view' && alias !== 'fetch') {
    problems.add(field, 'must be a routine: a view cannot change data');
  } else if (kind === 'view' && !Object.hasOwn(columns ?? {}, key)) {
    problems.add(`${field}.columns`, `must have the key column "${key}"`);
  } else if (kind === 'routine' && (alias === 'update' || alias === 'delete') && !Object.hasOwn(args ?? {}, key)) {
    problems.add(`${field}.args`, `must have the key "${key}"`);
  } else if (kind === 'routine' && alias === 'delete') {
    checkDeleteArguments(problems, args ?? {}, key);
  }
}

/** `delete` is called with the key and nothing else. */
function checkDeleteArguments(problems: DefinitionProblems, args: Fields, key: string): void {
  for (const [name, value] of Object.entries(args)) {
    const description = value as Partial<ValueDescription> | undefined;
    const mayBeAbsent = description?.optional === true || description?.default !== undefined;
    if (name !== key && !mayBeAbsent)
      problems.add(`objects.delete.args.${name}`, 'must be optional: only the key is passed');
  }
}

/** Checks the domains that the code calls. */
export function checkDomains(problems: DefinitionProblems, domains: unknown): void {
  if (!Array.isArray(domains)) {
    problems.add('domains', 'must be a list of domain names');
    return;
  }
  domains.forEach((domain: unknown, index) => problems.name(`domains.${index}`, domain, 'domain'));
}
