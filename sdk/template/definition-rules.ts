import { CORE_OPERATIONS, type CoreOperation } from '../wire/envelope.js';
import { USER_VALUES } from './access.js';
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

/**
 * Names that no operation may have: what a caller finds in each domain beside them, what `await`, JSON and test libraries look for
 * in any object, and what every object has.
 */
export const RESERVED: ReadonlySet<string> = new Set([
  ...['describe', 'fetchAll', 'call'],
  ...['then', 'catch', 'finally', 'toJSON', 'inspect', 'asymmetricMatch'],
  ...Object.getOwnPropertyNames(Object.prototype),
]);
export const RESERVED_PROBLEM = 'has a name that every client, or every object, has already: choose another';

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

/** The facets of a description, each with the types that have it; all have the others. */
const FACETS: Readonly<Partial<Record<string, readonly ValueType[]>>> = {
  maxLength: ['string', 'binary'],
  min: ['integer', 'number', 'decimal'],
  max: ['integer', 'number', 'decimal'],
  values: ['enum'],
  items: ['list'],
  maxItems: ['list'],
  fields: ['object'],
  schema: ['schema'],
};

function checkFacets(problems: DefinitionProblems, field: string, value: Fields): void {
  const type = value['type'] as ValueType;
  for (const name of Object.keys(value)) {
    const types = Object.hasOwn(FACETS, name) ? FACETS[name] : undefined;
    if (types !== undefined && value[name] !== undefined && !types.includes(type)) {
      problems.add(`${field}.${name}`, `means nothing for type ${type}`);
    }
  }
  if (type === 'enum' && !isListOfNames(value['values'])) {
    problems.add(`${field}.values`, 'must be a list of different strings, at least one');
  }
  if (type === 'list') checkDescription(problems, `${field}.items`, value['items']);
  if (type === 'object') checkDescriptions(problems, `${field}.fields`, value['fields']);
  if (type === 'schema' && value['schema'] !== undefined) problems.record(`${field}.schema`, value['schema']);
}

function isListOfNames(values: unknown): boolean {
  if (!Array.isArray(values) || values.length === 0) return false;
  return values.every((each) => typeof each === 'string') && new Set(values).size === values.length;
}

/** Checks one value in its long form. */
function checkDescription(problems: DefinitionProblems, field: string, value: unknown): void {
  const isKnown =
    typeof value === 'object' &&
    value !== null &&
    VALUE_TYPES.includes((value as Partial<ValueDescription>).type as ValueType);
  if (!isKnown) {
    problems.add(field, `must be one of ${VALUE_TYPES.join(', ')}: make it with t, or give a Standard Schema`);
    return;
  }
  const description = value as Fields;
  problems.unknownKeys(field, description, ['type', 'optional', 'absence', 'default', ...Object.keys(FACETS)]);
  if (description['optional'] !== undefined && typeof description['optional'] !== 'boolean') {
    problems.add(`${field}.optional`, 'must be true or false');
  }
  if (
    description['absence'] !== undefined &&
    (description['absence'] !== 'left out' || description['optional'] !== true)
  ) {
    problems.add(`${field}.absence`, 'must be "left out", of what is optional');
  }
  for (const bound of ['maxLength', 'maxItems', 'min', 'max']) {
    checkBound(problems, `${field}.${bound}`, description[bound]);
  }
  const before = problems.found.length;
  checkFacets(problems, field, description);
  if (problems.found.length === before) checkDefault(problems, field, value as ValueDescription);
}

/** Checks named values in their long form. */
function checkDescriptions(problems: DefinitionProblems, field: string, values: unknown): void {
  if (!problems.record(field, values)) return;
  for (const [name, description] of Object.entries(values)) {
    problems.name(`${field}.${name}`, name, 'value');
    checkDescription(problems, `${field}.${name}`, description);
  }
}

function checkSet(problems: DefinitionProblems, field: string, set: unknown): void {
  const { type, items } = (set ?? {}) as Partial<ValueDescription>;
  if (type === 'object' || (type === 'list' && items?.type === 'object')) checkDescription(problems, field, set);
  else problems.add(field, 'must be a row or a list of rows');
}

function checkReturns(problems: DefinitionProblems, field: string, returns: unknown): void {
  if (!Array.isArray(returns)) checkSet(problems, field, returns);
  else if (returns.length === 0) problems.add(field, 'must name at least one result set');
  else
    for (const [index, set] of (returns as readonly unknown[]).entries()) checkSet(problems, `${field}.${index}`, set);
}

function checkPrefix(problems: DefinitionProblems, field: string, prefix: unknown): void {
  if (prefix === undefined || (typeof prefix === 'string' && prefix !== '')) return;
  problems.add(`${field}.prefix`, "must be what the parameters' names begin with, such as 'p_'");
}

function checkFlag(problems: DefinitionProblems, field: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') problems.add(field, 'must be true or false');
}

const ACCESS: readonly unknown[] = ['anyone', 'signed-in', 'host', 'code'];

/** n.b. a role that is named like one of these would be taken for it by who reads. */
function checkAccess(problems: DefinitionProblems, field: string, access: unknown): void {
  if (access === undefined || ACCESS.includes(access)) return;
  const isRoles =
    Array.isArray(access) &&
    access.length > 0 &&
    access.every((role) => typeof role === 'string' && role !== '' && role.length <= 64 && !ACCESS.includes(role));
  if (!isRoles) problems.add(field, "must be 'anyone', 'signed-in', a list of roles, or a function of user and input");
}

function checkUserValue(problems: DefinitionProblems, field: string, value: unknown): void {
  if (!USER_VALUES.some((known) => known === value)) problems.add(field, `must be ${USER_VALUES.join(' or ')}`);
}

/** Arguments that the host fills in must not be those that callers give. */
function checkBind(problems: DefinitionProblems, field: string, { bind, args }: Fields): void {
  if (bind === undefined || !problems.record(`${field}.bind`, bind)) return;
  for (const [name, bound] of Object.entries(bind)) {
    const at = `${field}.bind.${name}`;
    problems.name(at, name, 'value');
    if (!problems.record(at, bound)) continue;
    problems.unknownKeys(at, bound, ['from', 'value']);
    checkUserValue(problems, `${at}.from`, bound['from']);
    if (bound['value'] === undefined) problems.add(at, 'is no argument');
    else checkDescription(problems, `${at}.value`, bound['value']);
    const { type } = (bound['value'] ?? {}) as Partial<ValueDescription>;
    if (bound['from'] === 'user.roles' && type !== 'list' && type !== 'json') {
      problems.add(`${at}.value`, 'must be a list of strings or JSON: a user may have several roles');
    }
    if (Object.hasOwn(args ?? {}, name)) problems.add(at, 'is an argument that callers give as well');
  }
}

/** Rows are bound to columns that the template uses. */
function checkRowRule(problems: DefinitionProblems, field: string, { where, columns }: Fields): void {
  if (where === undefined || !problems.record(`${field}.where`, where)) return;
  if (Object.keys(where).length === 0) problems.add(`${field}.where`, 'must bind at least one column');
  for (const [name, value] of Object.entries(where)) {
    const at = `${field}.where.${name}`;
    checkUserValue(problems, at, value);
    const column = Object.hasOwn(columns ?? {}, name) ? (columns as Fields)[name] : undefined;
    const { type } = (column ?? {}) as Partial<ValueDescription>;
    if (column === undefined) problems.add(at, 'is not a column that the template uses');
    else if (type === 'json' || type === 'list' || type === 'object' || type === 'schema') {
      problems.add(at, 'has parts: it can be compared with nothing');
    }
  }
}

function checkObject(problems: DefinitionProblems, field: string, object: unknown): void {
  if (!problems.record(field, object)) return;
  problems.name(`${field}.name`, object['name'], 'object');
  switch (object['kind']) {
    case 'procedure':
      problems.unknownKeys(field, object, ['kind', 'name', 'args', 'bind', 'prefix', 'returns', 'together']);
      checkBind(problems, field, object);
      checkPrefix(problems, field, object['prefix']);
      checkFlag(problems, `${field}.together`, object['together']);
      checkDescriptions(problems, `${field}.args`, object['args']);
      if (object['returns'] !== undefined) checkReturns(problems, `${field}.returns`, object['returns']);
      break;
    case 'function':
      problems.unknownKeys(field, object, ['kind', 'name', 'args', 'bind', 'prefix', 'returns']);
      checkBind(problems, field, object);
      checkPrefix(problems, field, object['prefix']);
      checkDescriptions(problems, `${field}.args`, object['args']);
      checkDescription(problems, `${field}.returns`, object['returns']);
      break;
    case 'view':
      problems.unknownKeys(field, object, ['kind', 'name', 'columns', 'share', 'fetchable', 'where', 'access']);
      checkAccess(problems, `${field}.access`, object['access']);
      checkRowRule(problems, field, object);
      checkDescriptions(problems, `${field}.columns`, object['columns']);
      checkFlag(problems, `${field}.share`, object['share']);
      checkFlag(problems, `${field}.fetchable`, object['fetchable']);
      break;
    default:
      problems.add(field, 'must be made with procedure(…), fn(…) or view(…)');
  }
}

/** Checks the named objects, and that the core aliases can serve their operations. */
function checkObjects(problems: DefinitionProblems, objects: unknown, key: unknown): void {
  if (!problems.record('objects', objects)) return;
  for (const [alias, object] of Object.entries(objects)) {
    problems.name(`objects.${alias}`, alias, 'alias');
    if (alias === 'transaction')
      problems.add(`objects.${alias}`, 'is the name of db.transaction: choose another alias');
    checkObject(problems, `objects.${alias}`, object);
    const { kind, columns, fetchable } = (object ?? {}) as Fields;
    if (kind === 'view' && (alias === 'fetch' || fetchable === true)) checkKeyColumn(problems, { alias, columns, key });
  }
  for (const alias of CORE_OPERATIONS) checkCoreObject(problems, { alias, object: objects[alias], key });
}

/** Pages of a view are ordered by the key at the end: without it none is the next. */
function checkKeyColumn(
  problems: DefinitionProblems,
  { alias, columns, key }: { readonly alias: string; readonly columns: unknown; readonly key: unknown },
): void {
  if (typeof key !== 'string' || typeof columns !== 'object' || columns === null || Object.hasOwn(columns, key)) return;
  problems.add(`objects.${alias}.columns`, `must have the key column "${key}"`);
}

function checkCoreObject(
  problems: DefinitionProblems,
  { alias, object, key }: { readonly alias: string; readonly object: unknown; readonly key: unknown },
): void {
  if (typeof object !== 'object' || object === null || typeof key !== 'string') return;
  const { kind, args, returns } = object as {
    readonly kind?: unknown;
    readonly args?: Fields;
    readonly returns?: Partial<ValueDescription>;
  };
  const field = `objects.${alias}`;
  if (alias === 'fetch') {
    if (kind === 'function') problems.add(field, 'must be a view, or a procedure that returns a list of rows');
    if (kind === 'procedure' && returns?.type !== 'list') problems.add(`${field}.returns`, 'must be a list of rows');
    return;
  }
  if (kind !== 'procedure') {
    problems.add(field, `must be a procedure: a ${String(kind)} cannot change data`);
    return;
  }
  if (returns !== undefined && returns.type !== 'object')
    problems.add(`${field}.returns`, 'must be one row, or nothing');
  if (alias === 'create') return;
  if (!Object.hasOwn(args ?? {}, key)) problems.add(`${field}.args`, `must have the key "${key}"`);
  else if (alias === 'delete') checkDeleteArguments(problems, `${field}.args`, { args: args ?? {}, key });
}

/** `delete` is called with the key and nothing else. */
function checkDeleteArguments(
  problems: DefinitionProblems,
  field: string,
  { args, key }: { readonly args: Fields; readonly key: string },
): void {
  for (const [name, value] of Object.entries(args)) {
    const description = value as Partial<ValueDescription> | undefined;
    const mayBeAbsent = description?.optional === true || description?.default !== undefined;
    if (name !== key && !mayBeAbsent) problems.add(`${field}.${name}`, 'must be optional: only the key is passed');
  }
}

function checkOperation(problems: DefinitionProblems, name: string, operation: Fields): void {
  const field = `operations.${name}`;
  problems.unknownKeys(field, operation, ['mode', 'idempotent', 'input', 'output', 'access']);
  checkAccess(problems, `${field}.access`, operation['access']);
  const { mode, idempotent, input, output } = operation;
  if (mode !== 'read' && mode !== 'write') problems.add(`${field}.mode`, "must be 'read' or 'write'");
  if (typeof idempotent !== 'boolean') problems.add(`${field}.idempotent`, 'must be true or false');
  if (output !== undefined) checkDescription(problems, `${field}.output`, output);
  if (input === undefined) return;
  const { type } = (input ?? {}) as Partial<ValueDescription>;
  if (type === 'object' || type === 'schema') checkDescription(problems, `${field}.input`, input);
  else problems.add(`${field}.input`, 'must be an object of named values, or a schema of one');
}

/** What the code of a core operation takes: the key where it is addressed by it. */
function checkCoreOperation(
  problems: DefinitionProblems,
  name: CoreOperation,
  {
    operation,
    object,
    key,
  }: { readonly operation: Fields | undefined; readonly object: unknown; readonly key: unknown },
): void {
  const field = `operations.${name}`;
  const mode = name === 'fetch' ? 'read' : 'write';
  if (operation?.['mode'] !== mode) problems.add(field, `must be there with mode '${mode}'`);
  const { input, output } = (operation ?? {}) as {
    readonly input?: Partial<ValueDescription>;
    readonly output?: Partial<ValueDescription>;
  };
  if (object !== undefined) {
    if (input === undefined && output === undefined) return;
    problems.add(field, `is served by the object ${name}: its arguments and result are the operation's`);
  } else if (operation !== undefined && name === 'fetch') {
    if (output?.type !== 'list') problems.add(`${field}.output`, 'must be a list of rows: make it with pages(…)');
  } else if (operation !== undefined) checkCoreInput(problems, name, { input, key: String(key) });
}

function checkCoreInput(
  problems: DefinitionProblems,
  name: CoreOperation,
  { input, key }: { readonly input: Partial<ValueDescription> | undefined; readonly key: string },
): void {
  const field = `operations.${name}.input`;
  if (input === undefined) problems.add(field, 'must be given where no object serves the operation');
  else if (input.type !== 'object' || name === 'create') return;
  else if (!Object.hasOwn(input.fields ?? {}, key)) problems.add(field, `must have the key "${key}"`);
  else if (name === 'delete') checkDeleteArguments(problems, field, { args: input.fields ?? {}, key });
}

/** Checks the operations in the long form, and that each of the four is served. */
function checkOperations(
  problems: DefinitionProblems,
  operations: unknown,
  { objects, key }: { readonly objects: unknown; readonly key: unknown },
): void {
  if (!problems.record('operations', operations)) return;
  for (const [name, operation] of Object.entries(operations)) {
    const field = `operations.${name}`;
    problems.name(field, name, 'operation');
    if (RESERVED.has(name)) problems.add(field, RESERVED_PROBLEM);
    if (!problems.record(field, operation)) continue;
    checkOperation(problems, name, operation);
    const isCore = CORE_OPERATIONS.some((core) => core === name);
    if (!isCore && operation['input'] === undefined) problems.add(`${field}.input`, 'must be given');
  }
  for (const name of CORE_OPERATIONS) {
    const object = (objects as Fields | undefined | null)?.[name];
    const operation = operations[name] as Fields | undefined;
    checkCoreOperation(problems, name, { operation, object, key });
  }
}

/** Checks the names of the domains that the code calls, and which of them in the name of its own. */
function checkPeers(problems: DefinitionProblems, peers: unknown, asDomain: unknown): void {
  if (!Array.isArray(peers)) {
    problems.add('peers', 'must be a list of domain names');
    return;
  }
  peers.forEach((domain: unknown, index) => problems.name(`peers.${index}`, domain, 'domain'));
  if (asDomain === undefined) return;
  const isOfPeers = Array.isArray(asDomain) && asDomain.every((domain) => peers.includes(domain));
  if (!isOfPeers) problems.add('asDomain', 'must be a list of some of peers');
}

/** Checks all that a definition and a manifest have in common. */
export function checkDefined(problems: DefinitionProblems, definition: Fields): void {
  problems.name('domain', definition['domain'], 'domain');
  problems.name('version', definition['version'], 'version');
  problems.name('store', definition['store'], 'store');
  problems.name('key', definition['key'], 'value');
  checkObjects(problems, definition['objects'], definition['key']);
  checkOperations(problems, definition['operations'], { objects: definition['objects'], key: definition['key'] });
  checkPeers(problems, definition['peers'], definition['asDomain']);
}
