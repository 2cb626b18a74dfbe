import { type BareDatabases, openDatabases } from '../context/bare-databases.js';
import { serveStore } from '../context/serve-store.js';

let databases: BareDatabases | undefined;

/** The drivers in the process that asks: no host, no RabbitMQ. */
serveStore({
  connect: async (place) => {
    databases = await openDatabases(place);
    return databases.calls;
  },
  stop: async () => databases?.close(),
});
