import { defineDomain, t } from '@beds/sdk';

const message = t.object({ text: t.string(), number: t.int(), flag: t.boolean() });

// eslint-disable-next-line no-restricted-syntax -- a template is the default export of its file.
export default defineDomain({
  name: 'echo',
  version: '1.0.0',
  store: 'main',
  key: 'id',
  access: { checked: ['caller'] },
  operations: ({ query, unsupported }) => ({
    /** Returns its input. */
    echo: query({ input: message, output: message }, ({ input }) => input),
    /** The same, for users of a role. */
    checked: query({ input: message, output: message }, ({ input }) => input),
    create: unsupported(),
    fetch: unsupported(),
    update: unsupported(),
    delete: unsupported(),
  }),
});
