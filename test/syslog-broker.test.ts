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

/** With properties: not of a host. */
function alert(message: string, properties?: object): Sent {
  const settled: string[] = [];
  const body = { v: 1, at: new Date().toISOString(), node: 'n1', data: { kind: 'store-lost', message, store: 'main' } };
  const bytes = Buffer.from(JSON.stringify(body));
  const delivery = { body: bytes, properties, settle: (verdict: string) => settled.push(verdict) };
  return { delivery: delivery as unknown as Delivery, settled };
}

function start(t: TestContext, settings: object): RunningBroker {
  const parsed = z.object(definition.settings).parse(settings);
  const broker = open({
    plan: { settings: parsed },
    isFromHost: ({ properties }: Partial<Delivery>) => properties === undefined,
  } as unknown as BrokerContext) as RunningBroker;
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

interface Certificate {
  readonly key: Buffer;
  readonly cert: Buffer;
  /** Of the certificate, which vouches for itself. */
  readonly file: string;
}

/** A certificate for a name; undefined: nobody here can make it. */
function certificate(t: TestContext, name: string): Certificate | undefined {
  const directory = temporaryDirectory(t);
  const [key, file] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-days', '2', '-nodes'];
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-keyout', key, '-out', file];
  try {
    execFileSync('openssl', ['req', '-x509', ...made, ...subject], { stdio: 'ignore' });
    return { key: readFileSync(key), cert: readFileSync(file), file };
  } catch {
    return undefined;
  }
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
    const sent = ['one', 'two\nlines'].map((words) => alert(words));
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
    const sent = words.map((words) => alert(words));
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
    const good = certificate(t, 'localhost');
    if (good === undefined) {
      t.skip('there is no openssl here');
      return;
    }
    const { port, frames } = await listen(t, (onSocket) => createTlsServer(good, onSocket));
    const trusting = start(t, { host: 'localhost', port, transport: 'tls', caFile: good.file });
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

  it('says nothing to a server with the certificate of another one, though it trusts who made it', async (t) => {
    const other = certificate(t, 'elsewhere.example');
    if (other === undefined) {
      t.skip('there is no openssl here');
      return;
    }
    const { port, frames } = await listen(t, (onSocket) => createTlsServer(other, onSocket));
    const broker = start(t, { host: 'localhost', port, transport: 'tls', caFile: other.file });
    const { delivery, settled } = alert('secret');
    void broker.handle(delivery);
    await eventually(
      () => 'two refusals',
      () => (broker.metrics?.()['beds_admin_syslog_failures_total'] ?? 0) >= 2,
    );
    assert.deepEqual([frames.messages.length, settled], [0, []]);
    assert.equal(broker.metrics?.()['beds_admin_syslog_waiting'], 1);
  });

  it('holds no more than its bound for a TLS server that reads nothing, and goes on whole when that reads again', async (t) => {
    const pair = certificate(t, 'localhost');
    if (pair === undefined) {
      t.skip('there is no openssl here');
      return;
    }
    const { port, frames, sockets } = await listen(t, (onSocket) =>
      createTlsServer(pair, (socket) => {
        onSocket(socket);
        socket.pause();
      }),
    );
    const broker = start(t, { host: 'localhost', port, transport: 'tls', caFile: pair.file, maxWaiting: 20 });
    await eventually(
      () => 'a connection',
      () => sockets.size === 1,
    );
    const count = (name: string): number => broker.metrics?.()[`beds_admin_syslog_${name}`] ?? 0;
    const sent: Sent[] = [];
    const isFull = (): boolean => count('dropped_total') >= 10;
    // n.b. what the system takes for a server that reads nothing is some megabytes.
    for (let n = 0; n < 50_000 && !isFull(); n += 1) {
      const each = alert(`${String(n)} ${'x'.repeat(1_500)}`);
      sent.push(each);
      void broker.handle(each.delivery);
      if (n % 20 === 0) await new Promise(setImmediate);
    }
    assert.ok(isFull(), `${String(sent.length)} alerts`);
    assert.ok(count('waiting') <= 20);
    for (const socket of sockets) socket.resume();
    await eventually(
      () => `the rest of ${String(sent.length)}: ${String(frames.messages.length)}`,
      () => frames.messages.length === sent.length - count('dropped_total'),
      30_000,
    );
    await eventually(
      () => 'all settled',
      () => sent.every(({ settled }) => settled.join() === 'ack'),
    );
    const numbers = frames.texts.map((text) => Number(text.split(' ')[0]));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
  });

  it('finds a TLS server again that was away', async (t) => {
    const pair = certificate(t, 'localhost');
    if (pair === undefined) {
      t.skip('there is no openssl here');
      return;
    }
    const tls = (onSocket: (socket: Socket) => void): Server => createTlsServer(pair, onSocket);
    const first = await listen(t, tls);
    const { port } = first;
    const broker = start(t, { host: 'localhost', port, transport: 'tls', caFile: pair.file });
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
    void broker.handle(alert('meanwhile').delivery);
    const { frames } = await listen(t, tls, port);
    await eventually(
      () => 'the second',
      () => frames.messages.length === 1,
      30_000,
    );
    assert.deepEqual(frames.texts, ['meanwhile']);
  });

  it('sends nothing that is no alert, and nothing at all without a host', (t) => {
    assert.deepEqual(definition.ownQueues?.({ ...z.object(definition.settings).parse({}), count: 1 }), []);
    const broker = start(t, { host: '127.0.0.1', port: 9, transport: 'udp' });
    const settled: string[] = [];
    const delivery = { body: Buffer.from('{}'), settle: (verdict: string) => settled.push(verdict) };
    void broker.handle(delivery as unknown as Delivery);
    const foreign = alert('not of a host', {});
    void broker.handle(foreign.delivery);
    assert.deepEqual([settled, foreign.settled], [['ack'], ['ack']]);
    assert.equal(broker.metrics?.()['beds_admin_syslog_refused_total'], 2);
  });
});
