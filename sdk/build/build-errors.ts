import { defineErrors } from '../template/errors.js';

/** Errors of `buildTemplate`. */
export const buildErrors = defineErrors({
  BEDS_BUILD_REFUSED: {
    message: 'The template cannot be built.',
    status: 'fault',
    action: 'Correct every finding named in the message and build again.',
  },
  BEDS_BUILD_NO_ESBUILD: {
    message: 'esbuild is not installed, and templates are built with it.',
    status: 'fault',
    action: 'Run `npm install --save-dev esbuild` in your project.',
  },
  BEDS_BUILD_LOAD_FAILED: {
    message: 'The built template cannot be loaded.',
    status: 'fault',
    action: 'Code at the top level of template.ts must end by itself, without an error.',
  },
  BEDS_BUILD_NO_TEMPLATE: {
    message: 'The built module does not export a template.',
    status: 'fault',
    action: 'Write `export default defineDomain({ … })` in template.ts.',
  },
  BEDS_BUILD_WRITE_FAILED: {
    message: 'The bundle cannot be written.',
    status: 'fault',
    action: 'Check that the output directory exists, or can be made, and is writable.',
  },
});
