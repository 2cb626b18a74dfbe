import { type Broker, makeBroker, startCaller } from '../context/moleculer.js';
import { PAYLOAD, serveEcho } from '../context/serve-echo.js';

let broker: Broker | undefined;

serveEcho({
  serve: async (place) => {
    broker = makeBroker(place, 'server');
    broker.createService({
      name: 'echo',
      actions: { echo: ({ params }: { readonly params: unknown }) => params },
    });
    await broker.start();
  },
  connect: async (place) => {
    const client = await startCaller(place, 'echo', ['echo.echo', PAYLOAD]);
    broker = client;
    return { ask: () => client.call('echo.echo', PAYLOAD) };
  },
  stop: async () => broker?.stop(),
});
