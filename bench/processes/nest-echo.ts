import { peerLibrary } from '../context/peers.js';
import { type EchoPlace, PAYLOAD, serveEcho } from '../context/serve-echo.js';

type Decorate = (target: object, key?: string, at?: PropertyDescriptor | number) => void;

interface RmqContext {
  getChannelRef(): { ack(message: unknown): void };
  getMessage(): unknown;
}

interface Microservice {
  listen(): Promise<unknown>;
  close(): Promise<void>;
}

interface ClientProxy {
  connect(): Promise<unknown>;
  send(pattern: string, data: unknown): unknown;
  close(): unknown;
}

interface Microservices {
  readonly Transport: { readonly RMQ: number };
  readonly MessagePattern: (pattern: string) => Decorate;
  readonly Payload: () => Decorate;
  readonly Ctx: () => Decorate;
  readonly ClientProxyFactory: { create(options: object): ClientProxy };
}

/** https://docs.nestjs.com/microservices/rabbitmq */
await peerLibrary('reflect-metadata');
const { Controller, Module } = await peerLibrary<{
  readonly Controller: () => Decorate;
  readonly Module: (metadata: object) => Decorate;
}>('@nestjs/common');
const { NestFactory } = await peerLibrary<{
  readonly NestFactory: { createMicroservice(module: unknown, options: object): Promise<Microservice> };
}>('@nestjs/core');
const nest = await peerLibrary<Microservices>('@nestjs/microservices');
const { firstValueFrom } = await peerLibrary<{ readonly firstValueFrom: (source: unknown) => Promise<unknown> }>(
  'rxjs',
);

let server: Microservice | undefined;
let client: ClientProxy | undefined;

class EchoController {
  echo(data: unknown, context: RmqContext): unknown {
    context.getChannelRef().ack(context.getMessage());
    return data;
  }
}

class EchoModule {
  readonly name = 'echo';
}

function optionsOf({ url, name, prefetch }: EchoPlace): object {
  return {
    urls: [url],
    queue: name,
    prefetchCount: prefetch,
    queueOptions: { durable: true, arguments: { 'x-queue-type': 'classic' } },
    socketOptions: { connectionOptions: { noDelay: true } },
  };
}

/** What decorators do, without a compiler that knows them. */
function decorate(): void {
  const { prototype } = EchoController;
  nest.Payload()(prototype, 'echo', 0);
  nest.Ctx()(prototype, 'echo', 1);
  nest.MessagePattern('echo')(prototype, 'echo', Object.getOwnPropertyDescriptor(prototype, 'echo'));
  Controller()(EchoController);
  Module({ controllers: [EchoController] })(EchoModule);
}

serveEcho({
  serve: async (place) => {
    decorate();
    const options = { ...optionsOf(place), noAck: false };
    server = await NestFactory.createMicroservice(EchoModule, {
      transport: nest.Transport.RMQ,
      options,
      logger: false,
    });
    await server.listen();
  },
  connect: async (place) => {
    const proxy = nest.ClientProxyFactory.create({ transport: nest.Transport.RMQ, options: optionsOf(place) });
    client = proxy;
    await proxy.connect();
    return { ask: () => firstValueFrom(proxy.send('echo', PAYLOAD)) };
  },
  stop: async () => {
    await client?.close();
    await server?.close();
  },
});
