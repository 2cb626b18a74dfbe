import { CORE_OPERATIONS, type CoreOperation } from '../wire/envelope.js';
import { checkDescriptions, checkDomains, checkObjects, DefinitionProblems } from './definition-rules.js';
import { templateErrors } from './template-errors.js';

type Fields = Readonly<Record<string, unknown>>;

/** The method that serves each core operation. */
const CORE_METHODS = {
  create: 'createRecord',
  fetch: 'fetchRecords',
  update: 'updateRecord',
  delete: 'deleteRecord',
} as const satisfies Record<CoreOperation, string>;

const WRITES = ['create', 'update', 'delete'];
const HOOKS = ['setup', 'teardown', 'selfTest'];
const VALUES = ['domain', 'version', 'store', 'key', 'objects', 'domains', 'idempotent', 'operations', 'notes'];

function checkOperation(problems: DefinitionProblems, name: string, operation: unknown): void {
  const field = `operations.${name}`;
  problems.name(field, name, 'operation');
  if (CORE_OPERATIONS.includes(name as CoreOperation)) {
    problems.add(field, `is a core operation: give it an object, or write ${CORE_METHODS[name as CoreOperation]}`);
  }
  if (!problems.record(field, operation)) return;
  problems.unknownKeys(field, operation, ['mode', 'args', 'idempotent', 'run']);
  if (operation['mode'] !== 'read' && operation['mode'] !== 'write') {
    problems.add(`${field}.mode`, "must be 'read' or 'write'");
  }
  if (operation['idempotent'] !== undefined && typeof operation['idempotent'] !== 'boolean') {
    problems.add(`${field}.idempotent`, 'must be true or false');
  }
  if (typeof operation['run'] !== 'function') problems.add(`${field}.run`, 'must be a function');
  checkDescriptions(problems, `${field}.args`, operation['args']);
}

function checkServed(problems: DefinitionProblems, definition: Fields): void {
  const objects = (definition['objects'] ?? {}) as Fields;
  for (const operation of CORE_OPERATIONS) {
    const method = CORE_METHODS[operation];
    const isServed = objects[operation] !== undefined || definition[method] !== undefined;
    if (!isServed) problems.add(method, `is missing: give objects.${operation}, or write ${method}`);
  }
}

function checkIdempotent(problems: DefinitionProblems, idempotent: unknown): void {
  const isList =
    Array.isArray(idempotent) && idempotent.every((name: unknown) => WRITES.some((write) => write === name));
  if (!isList) problems.add('idempotent', 'must list some of create, update, delete');
}

/** Everything that is wrong with what an author gave `defineTemplate`, with values in their long form. */
function findProblems(definition: unknown): DefinitionProblems {
  const problems = new DefinitionProblems();
  if (!problems.record('definition', definition)) return problems;
  problems.unknownKeys('', definition, [...VALUES, ...Object.values(CORE_METHODS), ...HOOKS]);
  problems.name('domain', definition['domain'], 'domain');
  problems.name('version', definition['version'], 'version');
  problems.name('store', definition['store'], 'store');
  problems.name('key', definition['key'], 'value');
  checkObjects(problems, definition['objects'], definition['key']);
  checkDomains(problems, definition['domains'] ?? []);
  checkIdempotent(problems, definition['idempotent'] ?? []);
  for (const name of [...Object.values(CORE_METHODS), ...HOOKS]) {
    const code = definition[name];
    if (code !== undefined && typeof code !== 'function') problems.add(name, 'must be a function');
  }
  const operations = definition['operations'] ?? {};
  if (problems.record('operations', operations)) {
    for (const [name, operation] of Object.entries(operations)) checkOperation(problems, name, operation);
  }
  checkServed(problems, definition);
  return problems;
}

/** Throws BEDS_TEMPLATE_INVALID with every problem in the message. */
export function assertDefinition(definition: unknown): void {
  const { found } = findProblems(definition);
  if (found.length === 0) return;
  const lines = found.map(({ field, message }) => `- ${field} ${message}`);
  throw templateErrors.make('BEDS_TEMPLATE_INVALID', `The template definition is wrong:\n${lines.join('\n')}`);
}
