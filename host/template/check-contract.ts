import { isDeepStrictEqual } from 'node:util';
import type { Manifest } from '@beds/sdk';
import { CONTRACT_VERSION, CORE_OPERATIONS, TEMPLATE_MARK } from '#sdk/template';
import { type Finding, makeFinding } from './contract.js';

const METHODS = ['createRecord', 'fetchRecords', 'updateRecord', 'deleteRecord'] as const;
const HOOKS = ['setup', 'teardown', 'selfTest'] as const;
const DEFINED = ['domain', 'version', 'store', 'key', 'objects', 'peers', 'asDomain'] as const;

/** Everything that keeps a default export from being the template that its manifest promises; empty when it is. */
export function checkTemplate(value: unknown, manifest: Manifest): readonly Finding[] {
  if (value === undefined) return [makeFinding('BEDS_ADMISSION_EXPORT_MISSING')];
  if (!isRecord(value) || value[TEMPLATE_MARK] !== true) return [makeFinding('BEDS_ADMISSION_EXPORT_INVALID')];
  const operations = checkOperations(value, manifest);
  // Missing operations are said once, by name, and not again as a difference of the definitions.
  const fields = operations.length === 0 ? ([...DEFINED, 'operations'] as const) : DEFINED;
  return [...checkMethods(value), ...operations, ...checkDefinition(value['definition'], manifest, fields)];
}

function checkMethods(template: Record<PropertyKey, unknown>): Finding[] {
  const missing = METHODS.filter((name) => typeof template[name] !== 'function').map((name) =>
    makeFinding('BEDS_ADMISSION_METHOD_MISSING', `The template has no method ${name}.`),
  );
  const odd = HOOKS.filter((name) => template[name] !== undefined && typeof template[name] !== 'function').map((name) =>
    makeFinding('BEDS_ADMISSION_EXPORT_INVALID', `${name} of the template is not a function.`),
  );
  return [...missing, ...odd];
}

function checkOperations(template: Record<PropertyKey, unknown>, manifest: Manifest): Finding[] {
  const { operations } = template;
  if (!isRecord(operations)) {
    return [makeFinding('BEDS_ADMISSION_OPERATION_MISMATCH', 'The template has no table of operations.')];
  }
  const core: readonly string[] = CORE_OPERATIONS;
  const promised = Object.keys(manifest.operations).filter((name) => !core.includes(name));
  const coded = Object.keys(operations);
  return [
    ...promised
      .filter((name) => !isRecord(operations[name]) || typeof operations[name]['run'] !== 'function')
      .map((name) => mismatch(`Operation ${name} is in the manifest and not in the code.`)),
    ...coded
      .filter((name) => !promised.includes(name))
      .map((name) => mismatch(`Operation ${name} is in the code and not in the manifest.`)),
    ...CORE_OPERATIONS.filter((name) => !Object.hasOwn(manifest.operations, name)).map((name) =>
      mismatch(`The manifest lacks operation ${name} of NamasteCore.`),
    ),
  ];
}

function mismatch(message: string): Finding {
  return makeFinding('BEDS_ADMISSION_OPERATION_MISMATCH', message);
}

function checkDefinition(definition: unknown, manifest: Manifest, fields: readonly (keyof Manifest)[]): Finding[] {
  if (!isRecord(definition)) {
    return [makeFinding('BEDS_ADMISSION_DEFINITION_MISMATCH', 'The template has no definition.')];
  }
  const findings = fields
    .filter((field) => !isDeepStrictEqual(plain(definition[field]), plain(manifest[field])))
    .map((field) =>
      makeFinding('BEDS_ADMISSION_DEFINITION_MISMATCH', `${field} of the code is not ${field} of the manifest.`),
    );
  if (definition['contract'] === CONTRACT_VERSION) return findings;
  return [makeFinding('BEDS_ADMISSION_CONTRACT_UNSUPPORTED', contractMessage(definition['contract'])), ...findings];
}

/** Also used for the manifest, before any code runs. */
export function contractMessage(found: unknown): string {
  const version = typeof found === 'number' ? `version ${found}` : 'no version';
  return `The bundle was built for ${version} of the contract; this host speaks version ${CONTRACT_VERSION}.`;
}

/** What the manifest is read from: prototypes and absent values do not survive JSON. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null;
}
