export { buildErrors } from './build-errors.js';
export { buildTemplate, type BuildTemplateOptions, type BuiltBundle } from './build-template.js';
export { findNames, type FoundName, markNames, WAYS_OUT } from './ways-out.js';
