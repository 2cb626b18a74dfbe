export { buildErrors } from './build-errors.js';
export { buildTemplate, type BuildTemplateOptions, type BuiltBundle } from './build-template.js';
