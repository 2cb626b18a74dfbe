import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it, type TestContext } from 'node:test';
import { context, type Context, ROOT_CONTEXT, trace, TraceFlags } from '@opentelemetry/api';
import type { ReplyEnvelope, ReplyTrace } from '#sdk/template';
import { parseTraceparent, SpanBuffer, RequestTrace, Span } from '../host/observe/trace.js';
import { decodeMessage } from '../host/request/decode.js';
import { askNodes } from '../host/admin/client.js';
import { beds } from './support/beds.js';
import { writeBundle } from './support/bundles.js';
import { eventually, startTestHost, type TestHost } from './support/host.js';
import { startHostProcess } from './support/host-process.js';
import { NOTES_OBJECTS, notesBundle } from './support/notes-domain.js';
import { openOtlpReceiver, type OtlpReceiver, type ReceivedSpan } from './support/otlp-receiver.js';
import { envelope, PlainCaller } from './support/plain-caller.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT_ID = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE_ID}-${PARENT_ID}-01`;
const [CONSUMER, CLIENT, INTERNAL] = [5, 3, 1];

const ORDERS = {
  form: 'file',
  domain: 'orders',
  name: 'orders.mjs',
  objects: NOTES_OBJECTS,
  peers: ['notes'],
  operations: {
    read: {
      mode: 'read',
      run: `ctx.log.info('seen'); const own = await ctx.view('fetch', {});
        const theirs = await ctx.domain('notes').fetch({}); return { own: own.rows.length, theirs: theirs.rows.length, trace: ctx.traceparent };`,
    },
    both: {
      mode: 'write',
      run: `await ctx.transaction(async (inside) => { await inside.call('create', { text: 'a' }); await inside.call('create', { text: 'b' }); }); return 2;`,
    },
    fail: { mode: 'read', run: `throw new Error('broken');` },
  },
} as const;

interface Traced {
  readonly host: TestHost;
  readonly collector: OtlpReceiver;
}

async function startTraced(t: TestContext, tracing: object = {}): Promise<Traced> {
  const collector = await openOtlpReceiver(t);
  const settings = { endpoint: collector.endpoint, headers: ['api-key=k1'], serviceName: 'shop', ...tracing };
  const host = await startTestHost(t, { services, config: { tracing: settings } });
  await writeBundle(host.pluginsDirectory, notesBundle());
  await writeBundle(host.pluginsDirectory, ORDERS);
  await host.active('notes', '1.0.0');
  await host.active('orders', '1.0.0');
  return { host, collector };
}

async function received({ collector }: Traced, count: number, traceId = TRACE_ID): Promise<readonly ReceivedSpan[]> {
  const found = (): readonly ReceivedSpan[] => collector.spans.filter((span) => span.traceId === traceId);
  await eventually(
    () =>
      `${count} spans; there are ${found()
        .map(({ name }) => name)
        .join(', ')}`,
    () => found().length >= count,
  );
  return found();
}

function named(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const span = spans.find((each) => each.name === name);
  assert.ok(span, `${name} is not among ${spans.map((each) => each.name).join(', ')}`);
  return span;
}

describe('a trace context', () => {
  it('is read as the standard says, and what is none is none', () => {
    assert.deepEqual(parseTraceparent(TRACEPARENT), { traceId: TRACE_ID, spanId: PARENT_ID, isSampled: true });
    assert.equal(parseTraceparent(`00-${TRACE_ID}-${PARENT_ID}-00`)?.isSampled, false);
    assert.equal(parseTraceparent(`cc-${TRACE_ID}-${PARENT_ID}-09-what-comes`)?.isSampled, true);
    const wrong = [
      ...[undefined, '', 't', '00', TRACEPARENT.toUpperCase(), `${TRACEPARENT}-more`, `ff${TRACEPARENT.slice(2)}`],
      ...[`00-${'0'.repeat(32)}-${PARENT_ID}-01`, `00-${TRACE_ID}-${'0'.repeat(16)}-01`, TRACEPARENT.replace('-', '_')],
      ...[`cc${TRACEPARENT.slice(2)}x`, ` ${TRACEPARENT}`, `00-${TRACE_ID}-${PARENT_ID}-0g`, '\u0000'.repeat(55)],
    ];
    for (const text of wrong) assert.equal(parseTraceparent(text), undefined, text);
  });

  it('that is too long, or is no text, is refused by its name, or does not count where an instrumentation wrote it', () => {
    const limits = { maxBodyBytes: 100_000, maxDepth: 32, maxKeys: 1_000, maxBatch: 10 };
    const decode = (meta: object, headers?: object): unknown => {
      const body = Buffer.from(JSON.stringify({ v: 1, id: '1', domain: 'notes', op: 'fetch', meta }));
      return decodeMessage(body, { contentType: 'application/json', headers }, limits).requests[0]?.meta;
    };
    const refused = [
      ['meta.tracestate', { tracestate: 's'.repeat(513) }],
      ['meta.tracestate', { tracestate: 'a=\n' }],
      ['meta.traceparent', { traceparent: 't'.repeat(256) }],
      ['meta.trace', { trace: 'yes' }],
      ['meta.baggage', { baggage: 'a=b' }],
    ] as const;
    for (const [field, meta] of refused) {
      assert.throws(
        () => decode(meta),
        (error: Error & { problems?: readonly { field: string }[]; field?: string }) => {
          assert.equal(error.field ?? error.problems?.[0]?.field, field);
          return true;
        },
      );
    }
    assert.deepEqual(decode({ tracestate: 'a=1', traceparent: TRACEPARENT }), {
      tracestate: 'a=1',
      traceparent: TRACEPARENT,
    });
    const header = { traceparent: TRACEPARENT, tracestate: 'x'.repeat(100_000), baggage: 'b'.repeat(10_000) };
    assert.deepEqual(decode({}, header), { traceparent: TRACEPARENT });
    assert.deepEqual(decode({}, { tracestate: 'a=1' }), {});
    assert.deepEqual(decode({}, { ...header, tracestate: 'a=1' }), { traceparent: TRACEPARENT, tracestate: 'a=1' });
  });
});

describe('finished spans', () => {
  it('that find no room are dropped and counted, and nobody waits', () => {
    const buffer = new SpanBuffer();
    const whole = new RequestTrace(undefined, { sink: buffer, state: undefined, isKept: false });
    for (let count = 0; count < 5_000; count += 1) {
      new Span(whole, undefined, { name: 'n', kind: 'internal', attributes: {} }).end();
    }
    const batch = buffer.take();
    assert.deepEqual([batch?.spans.length, batch?.dropped], [4_096, 904]);
    assert.equal(buffer.take(), undefined);
    assert.equal(new Set(batch?.spans.map(({ id }) => id)).size, 4_096);
  });
});

describe('a request of a trace', { timeout: 120_000 }, () => {
  it('is seen by a collector: itself, each database call, what it calls of other domains', async (t) => {
    const traced = await startTraced(t);
    const { host } = traced;
    const client = await host.connectClient();
    const beganNs = BigInt(Date.now() - 1_000) * 1_000_000n;
    const told = await client
      .domain('orders')
      .call('read', {}, { traceparent: TRACEPARENT, tracestate: 'vendor=1', deadlineMs: 8_000 });
    const spans = await received(traced, 4);
    const whole = named(spans, 'process orders.read');
    const own = spans.find((span) => span.name === 'SELECT note_list' && span.parentId === whole.id);
    const peer = named(spans, 'notes.fetch');
    const theirs = spans.find((span) => span.name === 'SELECT note_list' && span.parentId === peer.id);
    assert.ok(own && theirs);
    assert.deepEqual([whole.parentId, peer.parentId, spans.length], [PARENT_ID, whole.id, 4]);
    assert.deepEqual([whole.kind, own.kind, peer.kind], [CONSUMER, CLIENT, INTERNAL]);
    assert.deepEqual(
      [whole.state, whole.status.code, told],
      ['vendor=1', 0, { own: 0, theirs: 0, trace: `00-${TRACE_ID}-${whole.id}-01` }],
    );
    assert.ok(
      whole.startNs >= beganNs &&
        whole.startNs <= own.startNs &&
        own.endNs <= peer.startNs &&
        peer.endNs <= whole.endNs,
    );
    assert.deepEqual(whole.attributes['messaging.system'], 'rabbitmq');
    assert.deepEqual(whole.attributes['messaging.operation.type'], 'process');
    assert.deepEqual(whole.attributes['messaging.rabbitmq.destination.routing_key'], 'orders.read');
    assert.deepEqual(whole.attributes['beds.version'], '1.0.0');
    assert.deepEqual(
      [own.attributes['db.operation.name'], own.attributes['db.collection.name']],
      ['SELECT', 'note_list'],
    );
    assert.match(String(own.attributes['db.system.name']), /^(mariadb|mysql)$/);
    assert.equal(own.attributes['db.response.returned_rows'], 0);
    const { 'service.name': service, 'service.instance.id': node } = whole.resource;
    assert.deepEqual([service, node], ['shop', host.host.node]);
    assert.equal(traced.collector.headers[0]?.['api-key'], 'k1');
    const line = await host.logged('the line of the template', ({ msg }) => msg === 'seen');
    assert.equal(line['traceId'], TRACE_ID);
    assert.equal(typeof line['requestId'], 'string');
  });

  it('shows calls of a transaction inside it, and what failed with its code', async (t) => {
    const traced = await startTraced(t);
    const orders = (await traced.host.connectClient()).domain('orders');
    await orders.call('both', {}, { traceparent: TRACEPARENT });
    const spans = await received(traced, 4);
    const transaction = named(spans, 'transaction');
    const calls = spans.filter(({ name }) => name === 'CALL note_create');
    assert.deepEqual(
      calls.map(({ parentId, attributes }) => [parentId, attributes['db.stored_procedure.name']]),
      [1, 2].map(() => [transaction.id, 'note_create']),
    );
    const other = TRACE_ID.replace('0a', '1b');
    await assert.rejects(orders.call('fail', {}, { traceparent: TRACEPARENT.replace(TRACE_ID, other) }));
    const [failed] = await received(traced, 1, other);
    assert.deepEqual(failed?.status, { code: 2, message: 'BEDS_REQUEST_TEMPLATE_FAULT' });
    assert.equal(failed.attributes['error.type'], 'BEDS_REQUEST_TEMPLATE_FAULT');
    const fault = await traced.host.logged('the fault', ({ msg }) => msg === 'fault in orders.fail');
    assert.equal(fault['traceId'], other);
  });

  it('is not exported where its caller says so, and a text that is no trace context begins a new trace', async (t) => {
    const traced = await startTraced(t);
    const notes = (await traced.host.connectClient()).domain('notes');
    await notes.fetch({}, { traceparent: `00-${TRACE_ID}-${PARENT_ID}-00` });
    await notes.fetch({}, { traceparent: `00-${'0'.repeat(32)}-hostile` });
    await eventually('the second', () => traced.collector.spans.some(({ name }) => name === 'process notes.fetch'));
    const traces = new Set(traced.collector.spans.map(({ traceId }) => traceId));
    assert.equal(traces.size, 1);
    assert.ok(!traces.has(TRACE_ID));
    assert.equal(traced.collector.spans.find(({ name }) => name === 'process notes.fetch')?.parentId, '');
  });

  it('goes on across nodes', async (t) => {
    const collector = await openOtlpReceiver(t);
    const place = await startTestHost(t, { services, isStarted: false });
    await writeBundle(place.pluginsDirectory, notesBundle());
    await writeBundle(place.pluginsDirectory, ORDERS);
    const brokers = { brokers: ['rBroker', 'wBroker'], needs: [] };
    const roles = { app: { domains: ['orders'], ...brokers }, other: { domains: ['notes'], ...brokers } };
    const start = (name: string): Promise<unknown> =>
      startHostProcess(t, place, {
        ...{ node: { name, roles: [name] }, roles, stores: place.config.stores },
        ...{
          tracing: { ...place.config.tracing, endpoint: collector.endpoint, replyRoles: ['*'] },
          state: { directory: `.beds-${name}` },
        },
      }).serving;
    await Promise.all([start('app'), start('other')]);
    const client = await place.connectClient();
    const meta = { traceparent: TRACEPARENT, trace: true };
    const reply = await client.request({ v: 1, id: 'far', domain: 'orders', op: 'read', payload: {}, meta });
    assert.ok(reply.ok, JSON.stringify(reply));
    const spans = await received({ collector } as Traced, 5);
    const far = named(spans, 'process notes.fetch');
    const peer = named(spans, 'notes.fetch');
    assert.deepEqual([far.parentId, peer.kind, far.resource['service.instance.id']], [peer.id, CLIENT, 'other']);
    assert.deepEqual(reply.trace?.spans.map(({ name, node }) => `${name} ${node}`).toSorted(), [
      'SELECT note_list app',
      'SELECT note_list other',
      'notes.fetch app',
      'process notes.fetch other',
      'process orders.read app',
    ]);
  });

  it('costs nobody anything but the spans when the collector is away, silent or full', async (t) => {
    const traced = await startTraced(t, { timeoutMs: 300, maxWaiting: 100 });
    const { host, collector } = traced;
    const notes = (await host.connectClient()).domain('notes');
    collector.answer = 'never';
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(Array.from({ length: 100 }, () => notes.fetch({ limit: 1 })));
    }
    const { url, prefix } = host.config.amqp;
    const metrics = async (): Promise<string> => {
      const [answer] = await askNodes('metrics', {}, { url, prefix, timeoutMs: 3_000, signal: t.signal });
      return answer?.result.text ?? '';
    };
    const count = async (outcome: string): Promise<number> => {
      const [, value = '0'] =
        new RegExp(`beds_trace_spans_total\\{outcome="${outcome}"[^}]*\\} (\\d+)`).exec(await metrics()) ?? [];
      return Number(value);
    };
    await eventually('spans that failed', async () => (await count('failed')) > 0);
    await eventually('spans that were dropped', async () => (await count('dropped')) > 0);
    await host.logged('that', ({ msg }) => msg === 'the collector takes no spans');
    collector.answer = 200;
    await eventually(
      'an export',
      async () => {
        await notes.fetch({ limit: 1 });
        return (await count('exported')) > 0;
      },
      60_000,
    );
    await host.logged('that it goes on', ({ msg }) => msg === 'the collector takes spans again');
  });
});

describe('the way of one request', { timeout: 120_000 }, () => {
  it('is told with its reply without any collector, to who may know it and asks', async (t) => {
    const host = await startTestHost(t, { services, config: { tracing: { replyRoles: ['*'] } } });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const caller = await PlainCaller.open(host);
    const ask = (meta: object): Promise<ReplyEnvelope> =>
      caller.ask({ routingKey: 'notes.create', body: envelope('create', { payload: { text: 'x' }, meta }) });
    const { trace: told } = await ask({ trace: true });
    assert.deepEqual(
      told?.spans.map(({ name, parentId, node }) => [name, parentId === told.spans[0]?.id, node]),
      [
        ['process notes.create', false, host.host.node],
        ['CALL note_create', true, host.host.node],
      ],
    );
    assert.equal((await ask({})).trace, undefined);
    const given = await ask({ trace: true, traceparent: TRACEPARENT });
    assert.deepEqual([given.trace?.traceId, given.trace?.spans[0]?.parentId], [TRACE_ID, PARENT_ID]);
    const failed = await caller.ask({
      routingKey: 'notes.create',
      body: envelope('create', { payload: {}, meta: { trace: true } }),
    });
    assert.equal(failed.trace?.spans[0]?.error, 'BEDS_REQUEST_INVALID');

    const env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
    const shown = await beds(['call', 'notes.create', '{"payload":{"text":"y"}}', '--trace'], { env });
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(
      shown.stderr,
      /^trace [0-9a-f]{32}\nnotes\.create +[\d.]+ ms {2}from here\n└─ process notes\.create +[\d.]+ ms {2}.*\n {3}└─ CALL note_create +[\d.]+ ms {2}.*main/,
    );
    assert.equal((JSON.parse(shown.stdout) as { trace?: ReplyTrace }).trace, undefined);
    const asJson = await beds(['call', 'notes.create', '{"payload":{"text":"y"}}', '--trace', '--json'], { env });
    assert.equal((JSON.parse(asJson.stdout) as { trace?: ReplyTrace }).trace?.spans.length, 2);
  });

  it('is not told to who has no role for it', async (t) => {
    const host = await startTestHost(t, { services });
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('notes', '1.0.0');
    const env = { BEDS_AMQP_URL: host.config.amqp.url, BEDS_AMQP_PREFIX: host.prefix };
    const shown = await beds(['call', 'notes.fetch', '--trace'], { env });
    assert.match(shown.stderr, /only to users with a role of tracing\.replyRoles/);
    assert.equal(shown.code, 0);
  });
});

describe('a program with OpenTelemetry', () => {
  it('has its calls in the trace of its active context, without a word', async (t) => {
    const host = await startTestHost(t, { services, config: { tracing: { replyRoles: ['*'] } } });
    await writeBundle(host.pluginsDirectory, ORDERS);
    await writeBundle(host.pluginsDirectory, notesBundle());
    await host.active('orders', '1.0.0');
    await host.active('notes', '1.0.0');
    const storage = new AsyncLocalStorage<Context>();
    const manager = {
      active: () => storage.getStore() ?? ROOT_CONTEXT,
      with: (active: Context, run: (...args: unknown[]) => unknown, ...[self, ...args]: unknown[]) =>
        storage.run(active, () => run.apply(self, args)),
      bind: (_: Context, target: unknown) => target,
      enable: () => manager,
      disable: () => manager,
    };
    context.setGlobalContextManager(manager as unknown as Parameters<typeof context.setGlobalContextManager>[0]);
    t.after(() => context.disable());
    const client = await host.connectClient();
    const span = { traceId: TRACE_ID, spanId: PARENT_ID, traceFlags: TraceFlags.SAMPLED };
    const active = trace.setSpanContext(ROOT_CONTEXT, span);
    const seen = async (run: () => Promise<unknown>): Promise<unknown> => ((await run()) as { trace?: string }).trace;
    const call = (): Promise<unknown> => client.domain('orders').call('read', {});
    assert.equal(await context.with(active, () => seen(call)), TRACEPARENT);
    assert.equal(await seen(call), undefined);
    const own = `00-${'a'.repeat(32)}-${PARENT_ID}-01`;
    const named = (): Promise<unknown> => client.domain('orders').call('read', {}, { traceparent: own });
    assert.equal(await context.with(active, () => seen(named)), own);
    const without = await host.connectClient({ openTelemetry: false });
    assert.equal(await context.with(active, () => seen(() => without.domain('orders').call('read', {}))), undefined);
  });
});
