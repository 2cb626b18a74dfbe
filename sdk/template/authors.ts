/*
 * The door `@beds/sdk`: what an author writes with. The host knows more of a template, by `#sdk/template`, a door of this
 * repository alone (host/docs/decisions/0046).
 */
export { defineDomain } from './define-domain.js';
export { type BedsError, type ErrorStatus, isBedsError, type Problem } from './errors.js';
export { fn, procedure, view } from './objects.js';
export { operationsOf, peer } from './operations.js';
export { conflict, invalid, notFound, notSupported, refused } from './template-errors.js';
export { t } from './types.js';
// Whatever the compiler infers of a domain must have a name for who imports it.
export type * from './access.js';
export type * from './context.js';
export type * from './define-domain.js';
export type * from './domain-types.js';
export type * from './json.js';
export type * from './manifest.js';
export type * from './namaste-core.js';
export type * from './objects.js';
export type * from './operations.js';
export type * from './query.js';
export type * from './returns.js';
export type * from './types.js';
export type * from './values.js';
