import { type BareDatabases, openDatabases } from '../context/bare-databases.js';
import { type Broker, makeBroker, startCaller } from '../context/moleculer.js';
import { callsBy, serveStore, type StoreOperation } from '../context/serve-store.js';

let broker: Broker | undefined;
let databases: BareDatabases | undefined;

/** Its parameters are objects. */
interface Params {
  readonly input: unknown;
}

serveStore({
  serve: async (place) => {
    const opened = await openDatabases(place);
    databases = opened;
    broker = makeBroker(place, 'server');
    const actions = Object.entries(opened.calls).map(([name, call]) => [
      name,
      ({ params }: { readonly params: Params }) => (call as (input: unknown) => Promise<unknown>)(params.input),
    ]);
    broker.createService({ name: 'store', actions: Object.fromEntries(actions) as object });
    await broker.start();
  },
  connect: async (place) => {
    const client = await startCaller(place, 'store', ['store.fetch', { input: 1 } satisfies Params]);
    broker = client;
    const call = <T>(operation: StoreOperation, input: unknown): Promise<T> =>
      client.call(`store.${operation}`, { input } satisfies Params) as Promise<T>;
    return callsBy(call);
  },
  stop: async () => {
    await broker?.stop();
    await databases?.close();
  },
});
