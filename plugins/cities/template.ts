import { defineDomain } from '@beds/sdk';
import { definition } from './definition.js';
import { operations } from './operations.js';

/** Version 1.0.0; `next/template.ts` is the version after it. */
export default defineDomain({
  ...definition,
  name: 'cities',
  version: '1.0.0',
  operations: () => operations,
});
