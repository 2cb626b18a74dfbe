import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { PlainCaller } from '../context/plain-caller.js';
import { BODY, PAYLOAD, serveEcho } from '../context/serve-echo.js';

/** How a host is asked; the argument of the program says it. */
export type BedsCaller = 'plain' | 'unbatched' | 'default' | 'session';

/** As long as the tokens of the domain `sessions` are. */
const TOKEN = `bs_${'t'.repeat(43)}`;

const caller = process.argv[2] as BedsCaller;
let client: BedsClient | PlainCaller | undefined;

serveEcho({
  connect: async ({ url, name, domains = ['echo'] }) => {
    let turn = 0;
    const next = <T>(all: readonly T[]): T => all[(turn = (turn + 1) % all.length)] as T;
    if (caller === 'plain') {
      const plain = await PlainCaller.connect(url);
      client = plain;
      const requests = domains.map((domain) => ({
        route: { exchange: name, routingKey: `${domain}.echo` },
        body: Buffer.from(JSON.stringify({ ...(JSON.parse(BODY.toString()) as object), domain })),
      }));
      return {
        ask: () => {
          const { route, body } = next(requests);
          return plain.ask(route, body);
        },
        read: (reply: Buffer) => (JSON.parse(reply.toString()) as { readonly data?: unknown }).data,
      };
    }
    const beds = await connectBeds({
      url,
      name: 'bench',
      exchange: name,
      ...(caller === 'unbatched' ? { batching: false } : {}),
      ...(caller === 'session' ? { session: TOKEN } : {}),
    });
    client = beds;
    const echoes = domains.map((domain) => beds.domain(domain));
    const operation = caller === 'session' ? 'checked' : 'echo';
    return { ask: () => next(echoes).call(operation, PAYLOAD) };
  },
  stop: async () => client?.close(),
});
