import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { describe, it, type TestContext } from 'node:test';
import type { Delivery } from '../host/amqp/queue-consumer.js';
import { definition } from '../host/brokers/admin-syslog/definition.js';
import { open } from '../host/brokers/admin-syslog/broker.js';
import type { BrokerContext, RunningBroker } from '../host/brokers/contract.js';
import { z } from 'zod';
import { eventually } from './support/eventually.js';
import { temporaryDirectory } from './support/services.js';
import { parseSyslog } from './support/syslog-parser.js';

interface Sent {
  readonly delivery: Delivery;
  readonly settled: string[];
}

function alert(message: string): Sent {
  const settled: string[] = [];
  const body = { v: 1, at: new Date().toISOString(), node: 'n1', data: { kind: 'store-lost', message, store: 'main' } };
  const delivery = { body: Buffer.from(JSON.stringify(body)), settle: (verdict: string) => settled.push(verdict) };
  return { delivery: delivery as unknown as Delivery, settled };
}

function start(t: TestContext, settings: object): RunningBroker {
  const parsed = z.object(definition.settings).parse(settings);
  const broker = open({ plan: { settings: parsed } } as unknown as BrokerContext) as RunningBroker;
  t.after(() => broker.close?.());
  return broker;
}

/** What a server got, frame by frame: `<length> <message>` and nothing else. */
class Frames {
  readonly messages: Buffer[] = [];
  #rest = Buffer.alloc(0);

  take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const [all, digits] = /^([1-9]\d{0,5}) /.exec(this.#rest.toString('latin1', 0, 8)) ?? [];
      if (all === undefined || digits === undefined) {
        assert.ok(this.#rest.length < 7 && /^\d*$/.test(this.#rest.toString('latin1')), 'no length before the message');
        return;
      }
      const end = all.length + Number(digits);
      if (this.#rest.length < end) return;
      this.messages.push(this.#rest.subarray(all.length, end));
      this.#rest = this.#rest.subarray(end);
    }
  }

  get texts(): readonly string[] {
    return this.messages.map((message) => parseSyslog(message).text);
  }
}

interface Listening {
  readonly port: number;
  readonly frames: Frames;
  readonly sockets: Set<Socket>;
  readonly server: Server;
}

async function listen(
  t: TestContext,
  make: (onSocket: (socket: Socket) => void) => Server,
  port = 0,
): Promise<Listening> {
  const frames = new Frames();
  const sockets = new Set<Socket>();
  const server = make((socket) => {
    sockets.add(socket);
    socket.on('data', (chunk: Buffer) => frames.take(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  t.after(stop);
  return { port: (server.address() as AddressInfo).port, frames, sockets, server };
}

const tcp = (onSocket: (socket: Socket) => void): Server => createTcpServer(onSocket);

describe('the syslog broker', () => {
  it('sends a datagram for each alert', async (t) => {
    const socket = createSocket('udp4');
    t.after(() => socket.close());
    const got: Buffer[] = [];
    socket.on('message', (message) => got.push(message));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const broker = start(t, { host: '127.0.0.1', port: socket.address().port, transport: 'udp' });
    const sent = ['one', 'two\nlines'].map(alert);
    for (const { delivery } of sent) void broker.handle(delivery);
    await eventually(
      () => 'both',
      () => got.length === 2,
    );
    assert.deepEqual(got.map((message) => parseSyslog(message).text).sort(), ['one', 'two lines']);
    assert.deepEqual(parseSyslog(got[0] ?? Buffer.alloc(0)).data, { 'beds@32473': { store: 'main' } });
    assert.deepEqual(
      sent.map(({ settled }) => settled),
      [['ack'], ['ack']],
    );
  });

  it('counts octets over TCP, also of what is no ASCII', async (t) => {
    const { port, frames } = await listen(t, tcp);
    const broker = start(t, { host: '127.0.0.1', port, transport: 'tcp' });
    const words = Array.from({ length: 100 }, (_, n) => `${'ü語'.repeat(n)} ${String(n)}`);
    const sent = words.map(alert);
    for (const { delivery } of sent) void broker.handle(delivery);
    await eventually(
      () => 'all of them',
      () => frames.messages.length === 100,
    );
    assert.deepEqual(frames.texts, words);
    await eventually(
      () => 'settled',
      () => sent.every(({ settled }) => settled.join() === 'ack'),
    );
  });

  it('waits for a server that is away, drops the oldest beyond its bound and counts them, and goes on', async (t) => {
    const first = await listen(t, tcp);
    const { port } = first;
    const broker = start(t, { host: '127.0.0.1', port, transport: 'tcp', maxWaiting: 10 });
    void broker.handle(alert('before').delivery);
    await eventually(
      () => 'the first',
      () => first.frames.messages.length === 1,
    );
    first.server.close();
    for (const socket of first.sockets) socket.destroy();
    await eventually(
      () => 'a lost connection',
      () => (broker.metrics?.()['beds_admin_syslog_failures_total'] ?? 0) > 0,
    );
    const sent = Array.from({ length: 15 }, (_, n) => alert(`away ${String(n)}`));
    for (const { delivery } of sent) void broker.handle(delivery);
    assert.equal(broker.metrics?.()['beds_admin_syslog_dropped_total'], 5);
    assert.equal(broker.metrics()['beds_admin_syslog_waiting'], 10);
    const { frames } = await listen(t, tcp, port);
    await eventually(
      () => 'the ten',
      () => frames.messages.length === 10,
      30_000,
    );
    assert.deepEqual(
      frames.texts,
      Array.from({ length: 10 }, (_, n) => `away ${String(n + 5)}`),
    );
    await eventually(
      () => 'settled',
      () => sent.every(({ settled }) => settled.join() === 'ack'),
    );
  });

  it('gives back to RabbitMQ what it could not send when it is closed', (t) => {
    const broker = start(t, { host: '127.0.0.1', port: 1, transport: 'tcp' });
    const { delivery, settled } = alert('later');
    void broker.handle(delivery);
    void broker.close?.();
    assert.deepEqual(settled, ['requeue']);
  });

  it('checks the certificate of a TLS server', async (t) => {
    const directory = temporaryDirectory(t);
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2', '-nodes'];
    try {
      const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-keyout', key, '-out', cert];
      execFileSync('openssl', ['req', '-x509', ...made, ...subject], { stdio: 'ignore' });
    } catch {
      t.skip('there is no openssl here');
      return;
    }
    const pair = { key: readFileSync(key), cert: readFileSync(cert) };
    const { port, frames } = await listen(t, (onSocket) => createTlsServer(pair, onSocket));
    const trusting = start(t, { host: 'localhost', port, transport: 'tls', caFile: cert });
    const { delivery, settled } = alert('secret');
    void trusting.handle(delivery);
    await eventually(
      () => 'the message',
      () => frames.messages.length === 1,
    );
    await eventually(
      () => 'settled',
      () => settled.join() === 'ack',
    );
    const careful = start(t, { host: 'localhost', port, transport: 'tls' });
    void careful.handle(alert('not for everybody').delivery);
    await eventually(
      () => 'a refusal',
      () => (careful.metrics?.()['beds_admin_syslog_failures_total'] ?? 0) > 0,
    );
    assert.deepEqual(frames.texts, ['secret']);
    assert.equal(careful.metrics?.()['beds_admin_syslog_waiting'], 1);
  });

  it('sends nothing that is no alert, and nothing at all without a host', (t) => {
    assert.deepEqual(definition.ownQueues?.({ ...z.object(definition.settings).parse({}), count: 1 }), []);
    const broker = start(t, { host: '127.0.0.1', port: 9, transport: 'udp' });
    const settled: string[] = [];
    const delivery = { body: Buffer.from('{}'), settle: (verdict: string) => settled.push(verdict) };
    void broker.handle(delivery as unknown as Delivery);
    assert.deepEqual(settled, ['ack']);
    assert.equal(broker.metrics?.()['beds_admin_syslog_refused_total'], 1);
  });
});
