export { testTemplate, type TestedTemplate, type TestOptions } from './test-template.js';
export type { FakeResult, LogLine, RecordedCall } from './test-context.js';
export { testingErrors } from './testing-errors.js';
