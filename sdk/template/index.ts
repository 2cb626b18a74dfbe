export * from './access.js';
export * from './allowed-imports.js';
export { checkManifest, parseManifest, type ParsedManifest } from './check-manifest.js';
export * from './check-query.js';
export * from './check-values.js';
export { compileFits, type Fits } from './fits.js';
export * from './read-value.js';
export * from './context.js';
export { defineDomain, isTemplate, type DomainDefinition } from './define-domain.js';
export type { DefinitionProblem } from './definition-rules.js';
export * from './domain-types.js';
export * from './errors.js';
export * from './json.js';
export * from './manifest.js';
export * from './namaste-core.js';
export { fn, Procedure, procedure, StoreFunction, View, view, type StoreObject, type ViewOptions } from './objects.js';
export {
  CodedOperation,
  operationsOf,
  peer,
  type Call,
  type CallTerms,
  type Database,
  type OperationMakers,
  type Peer,
  type Surroundings,
  type SurroundingsOf,
} from './operations.js';
export * from './query.js';
export * from './returns.js';
export { SDK_VERSION } from './sdk-version.js';
export { describeFile, readSingleFile, splitSourceMap, writeSingleFile, type SingleFile } from './single-file.js';
export * from './template-errors.js';
export * from './types.js';
export * from './unknown-names.js';
export * from './values.js';
export { DESCRIBE, describeDomain, type DomainDescription } from '../wire/description.js';
export * from '../wire/envelope.js';
