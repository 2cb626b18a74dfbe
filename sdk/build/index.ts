export { buildErrors } from './build-errors.js';
export { buildTemplate, type BuildTemplateOptions, type BuiltBundle } from './build-template.js';
export { findWaysOut, WAYS_OUT, type WayOut } from './ways-out.js';
