import { defineDomain, t } from '@beds/sdk';

const HOUR_MS = 3_600_000;

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'sessions',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  access: { resolve: 'host' },
  operations: ({ query, unsupported }) => ({
    /** Every token is that of one user: what is measured is what is done with it. */
    resolve: query({ input: { tokenHash: t.string() } }, ({ input }) => ({
      user: { id: 'ann', name: 'Ann', roles: ['caller'] },
      session: input.tokenHash.slice(0, 16),
      expiresAt: Date.now() + HOUR_MS,
    })),
    create: unsupported(),
    fetch: unsupported(),
    update: unsupported(),
    delete: unsupported(),
  }),
});
