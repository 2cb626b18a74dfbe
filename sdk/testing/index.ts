export { testDomain, type FakesOf, type TestedDomain, type TestOptions } from './test-domain.js';
export type { LogLine, RecordedCall } from './test-context.js';
export { testingErrors } from './testing-errors.js';
