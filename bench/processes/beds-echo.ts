import { connectBeds, type BedsClient } from '@beds/sdk/client';
import { PlainCaller } from '../bed/plain-caller.js';
import { BODY, PAYLOAD, serveEcho } from '../bed/serve-echo.js';

/** How a host is asked; the argument of the program says it. */
export type BedsCaller = 'plain' | 'unbatched' | 'default';

const caller = process.argv[2] as BedsCaller;
let client: BedsClient | PlainCaller | undefined;

serveEcho({
  connect: async ({ url, name }) => {
    if (caller === 'plain') {
      const plain = await PlainCaller.connect(url);
      client = plain;
      return {
        ask: () => plain.ask({ exchange: name, routingKey: 'echo.echo' }, BODY),
        read: (reply: Buffer) => (JSON.parse(reply.toString()) as { readonly data?: unknown }).data,
      };
    }
    const beds = await connectBeds({
      ...{ url, name: 'bench', exchange: name },
      ...(caller === 'unbatched' ? { batching: false } : {}),
    });
    client = beds;
    const echo = beds.domain('echo');
    return { ask: () => echo.call('echo', PAYLOAD, { mode: 'read' }) };
  },
  stop: async () => client?.close(),
});
