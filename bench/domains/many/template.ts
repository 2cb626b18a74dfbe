import { defineDomain, t } from '@beds/sdk';

const message = t.object({ text: t.string(), number: t.int(), flag: t.boolean() });

/** One of many domains that do the same: its name stands for `many1`, `many2` and so on. */
// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'many',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  operations: ({ query, unsupported }) => ({
    /** Returns its input. */
    echo: query({ input: message, output: message }, ({ input }) => input),
    create: unsupported(),
    fetch: unsupported(),
    update: unsupported(),
    delete: unsupported(),
  }),
});
