import { peerLibrary } from '../context/peers.js';
import { type EchoPlace, PAYLOAD, serveEcho } from '../context/serve-echo.js';

interface Broker {
  createService(service: object): unknown;
  start(): Promise<void>;
  stop(): Promise<void>;
  waitForServices(names: string, timeoutMs: number): Promise<unknown>;
  call(
    action: string,
    params: unknown,
    options?: { readonly timeout?: number; readonly retries?: number },
  ): Promise<unknown>;
}

/** https://moleculer.services/docs/0.15/networking#AMQP-Transporter */
const { ServiceBroker } = await peerLibrary<{ readonly ServiceBroker: new (options: object) => Broker }>(
  'moleculer',
  'moleculer',
);

const WAIT_MS = 20_000;
/** A server tells that it is there before its queue is: what is asked in between goes nowhere. */
const FIRST_CALL = { timeout: 1_000 } as const;
const FIRST_CALLS = 15;
let broker: Broker | undefined;

function makeBroker({ url, name, prefetch }: EchoPlace, nodeID: string): Broker {
  return new ServiceBroker({
    namespace: name,
    nodeID,
    logger: false,
    metrics: false,
    tracing: false,
    // One durable queue that all servers share, as BEDS has it; otherwise each node has its own, and the caller chooses.
    disableBalancer: true,
    transporter: {
      type: 'AMQP',
      options: {
        url,
        prefetch,
        socketOptions: { noDelay: true },
        queueOptions: { durable: true, arguments: { 'x-queue-type': 'classic' } },
      },
    },
  });
}

async function answered(client: Broker): Promise<void> {
  for (let left = FIRST_CALLS; left > 0; left -= 1) {
    const isAnswered = await client.call('echo.echo', PAYLOAD, FIRST_CALL).then(
      () => true,
      () => false,
    );
    if (isAnswered) return;
  }
}

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
    const client = makeBroker(place, 'client');
    broker = client;
    await client.start();
    await client.waitForServices('echo', WAIT_MS);
    await answered(client);
    return { ask: () => client.call('echo.echo', PAYLOAD) };
  },
  stop: async () => broker?.stop(),
});
