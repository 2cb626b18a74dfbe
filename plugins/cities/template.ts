import { defineTemplate } from '@beds/sdk';
import { objects } from './definition.js';
import { operations } from './operations.js';

/** Version 1.0.0; `next/template.ts` is the version after it. */
export default defineTemplate({
  domain: 'cities',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  objects,
  idempotent: ['update'],
  operations,
});
