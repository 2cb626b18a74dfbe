import { defineErrors } from '../template/errors.js';

/** Errors of tests themselves. */
export const testingErrors = defineErrors({
  BEDS_TESTING_NO_FAKE: {
    message: 'The template used something for which the test gives no fake.',
    status: 'fault',
    action: 'Give testDomain the named object, view or peer.',
  },
});
