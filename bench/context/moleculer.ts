import { peerLibrary } from './peers.js';

/** The part of a broker of Moleculer that is used. */
export interface Broker {
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

/** Where its queues are. */
interface BrokerPlace {
  readonly url: string;
  readonly name: string;
  readonly prefetch: number;
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

/** A broker that shares its queues with others of the same name, as hosts of BEDS do. */
export function makeBroker({ url, name, prefetch }: BrokerPlace, nodeID: string): Broker {
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

/** Starts a broker that calls, and waits until an action of a service is answered. */
export async function startCaller(
  place: BrokerPlace,
  service: string,
  [action, params]: readonly [string, unknown],
): Promise<Broker> {
  const client = makeBroker(place, 'client');
  await client.start();
  await client.waitForServices(service, WAIT_MS);
  for (let left = FIRST_CALLS; left > 0; left -= 1) {
    const isAnswered = await client.call(action, params, FIRST_CALL).then(
      () => true,
      () => false,
    );
    if (isAnswered) break;
  }
  return client;
}
