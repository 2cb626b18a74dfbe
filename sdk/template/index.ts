export * from './context.js';
export * from './errors.js';
export * from './json.js';
export * from './manifest.js';
export * from './namaste-core.js';
export * from './query.js';
export * from './values.js';
export * from '../wire/envelope.js';
