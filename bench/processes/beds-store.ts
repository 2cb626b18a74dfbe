import { type BedsClient, connectBeds } from '@beds/sdk/client';
import type { StoreCalls } from '../context/bare-databases.js';
import { documentKeyOf, PAGE_ROWS, pageShape } from '../context/records.js';
import { serveStore } from '../context/serve-store.js';
import type documentsTemplate from '../domains/documents/template.js';
import type fanoutTemplate from '../domains/fanout/template.js';
import type recordsTemplate from '../domains/records/template.js';

/** With the client's defaults, or with the argument `unbatched` one message a request. */
const isUnbatched = process.argv[2] === 'unbatched';
let client: BedsClient | undefined;

serveStore({
  connect: async ({ url, name }): Promise<StoreCalls> => {
    client = await connectBeds({ url, name: 'bench', exchange: name, ...(isUnbatched ? { batching: false } : {}) });
    const records = client.domain<typeof recordsTemplate>('records');
    const documents = client.domain<typeof documentsTemplate>('documents');
    const fanout = client.domain<typeof fanoutTemplate>('fanout');
    return {
      fetch: async (key) => (await records.fetch({ key })).rows[0] ?? null,
      create: (fields) => records.create(fields),
      page: async (question) => {
        const { where, direction } = pageShape(question);
        const order = [{ column: 'id', direction }] as const;
        return (await records.fetch({ where: where(question.from), order, limit: PAGE_ROWS })).rows;
      },
      many: (keys) => fanout.call('many', { keys: [...keys] }),
      both: (keys) => fanout.call('both', { keys: [...keys] }),
      documentFetch: async (key) => (await documents.fetch({ key: documentKeyOf(key) })).rows[0] ?? null,
      documentCreate: (document) => documents.create(document),
    };
  },
  stop: async () => client?.close(),
});
