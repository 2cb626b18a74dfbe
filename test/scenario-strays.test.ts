import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askNodes } from '../host/admin/client.js';
import { type BundleOperation, writeBundle } from './support/bundles.js';
import { type CanaryHost, noteVersion, startCanaryHost } from './support/canary.js';
import { Crowd } from './support/crowd.js';
import { eventually, type LogLine } from './support/host.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const TEST_MS = 60_000;
const SOON_MS = 40_000;
const ENDED = 'broker thread ended; it is replaced';

const REJECTS = `void Promise.reject(new Error('forgotten')); return VERSION;`;
const VERSION_OF = { domain: 'notes', op: 'version', payload: {} } as const;

const told = ({ host }: CanaryHost, text: string): readonly LogLine[] =>
  host.log.filter(({ msg }) => msg.startsWith(text));
const sumOf = (lines: readonly LogLine[]): number =>
  lines.reduce((sum, { more = 0, msg }) => sum + Number(more) + (msg.includes(' more like it in ') ? 0 : 1), 0);

async function metrics({ host }: CanaryHost, signal: AbortSignal): Promise<string> {
  const [answer] = await askNodes('metrics', {}, { ...host.config.amqp, timeoutMs: 5_000, signal });
  return answer?.result.text ?? '';
}

async function straysIn({ host }: CanaryHost, version: string, signal: AbortSignal): Promise<number> {
  const [answer] = await askNodes('status', {}, { ...host.config.amqp, timeoutMs: 5_000, signal });
  const generations = answer?.result.threads.flatMap(({ status }) => status?.generations ?? []) ?? [];
  return generations.reduce((sum, seen) => sum + (seen.version === version ? seen.strays : 0), 0);
}

describe('what code leaves behind that no request ends with', { timeout: TEST_MS * 12 }, () => {
  it('keeps a canary from taking over, and its bytes go into quarantine', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await canaryHost.admin.deploy([noteVersion('1.1.0', REJECTS)], { canaryPercent: 30, forMs: 5_000 });
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', SOON_MS);
    await crowd.stop();
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
    assert.match(findings[0].message, /It left \d+ faults that no request ended with, beside \d+ requests/);
    assert.deepEqual(told(canaryHost, ENDED), []);
  });

  it('keeps one from taking over that only gets copies', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await canaryHost.admin.deploy([noteVersion('1.1.0', REJECTS)], {
      canaryPercent: 0,
      shadowPercent: 100,
      forMs: 5_000,
    });
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', SOON_MS);
    await crowd.stop();
    assert.match(findings[0]?.message ?? '', /faults that no request ended with/);
  });

  it('fills no log, is counted, and takes a version out that goes on with it', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host);
    await writeBundle(canaryHost.host.pluginsDirectory, noteVersion('1.1.0', REJECTS));
    await canaryHost.host.active('notes', '1.1.0');
    await eventually(
      'the status counts them',
      async () => (await straysIn(canaryHost, '1.1.0', t.signal)) > 20,
      SOON_MS,
    );
    await eventually('the metrics count them', async () =>
      /beds_stray_faults_total\{.*version="1\.1\.0".*\} \d+/.test(await metrics(canaryHost, t.signal)),
    );
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', SOON_MS);
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_STRIKES');
    assert.match(findings[0].message, /stray faults/);
    await eventually(
      '1.0.0 serves again',
      async () => (await canaryHost.admin.view()).live?.version === '1.0.0',
      SOON_MS,
    );
    await crowd.stop();
    const asked = crowd.by('1.1.0').length;
    assert.ok(crowd.seen.every(({ failure }) => failure === undefined));
    await canaryHost.host.host.stop();
    const lines = told(canaryHost, 'fault in unhandled rejection');
    assert.ok(lines.length <= 10, `${String(lines.length)} lines for ${String(asked)} requests`);
    assert.equal(sumOf(lines), asked, 'nothing is lost');
    assert.match(String(lines[0]?.['error']), /forgotten.*index\.mjs:\d+/s);
    assert.deepEqual(told(canaryHost, ENDED), []);
  });

  it('takes nothing out of service where no other version is kept', async (t) => {
    const serving = [noteVersion('1.0.0', REJECTS)];
    const canaryHost = await startCanaryHost(t, { services, serving, rollout: { maxStrikes: 1 } });
    const crowd = await Crowd.start(t, canaryHost.host);
    await eventually('it is loud', () => told(canaryHost, 'fault in code that notes 1.0.0').length > 0, SOON_MS);
    await crowd.more(100);
    await crowd.stop();
    assert.ok(crowd.seen.every(({ failure }) => failure === undefined));
    assert.equal((await canaryHost.admin.view()).live?.version, '1.0.0');
  });

  const thrown: readonly (readonly [what: string, expression: string])[] = [
    ['nothing', 'undefined'],
    ['null', 'null'],
    ['a text', `'no'`],
    [
      'a proxy whose every trap throws',
      `new Proxy({}, new Proxy({}, { get: () => () => { throw new Error('trap'); } }))`,
    ],
    [
      'an object whose members throw',
      `Object.defineProperties({}, Object.fromEntries(['message', 'stack', 'code', 'name', 'cause'].map((name) => [name, { get() { throw new Error('getter'); } }])))`,
    ],
    [
      'an error whose members throw',
      `(() => { const error = new Error('x'); void error.stack; const fail = { get() { throw new Error('getter'); } };
        return Object.defineProperties(error, { message: fail, stack: fail, cause: fail }); })()`,
    ],
    [
      'an error of BEDS that lacks everything',
      `{ [Symbol.for('beds.error')]: true, get status() { throw new Error('getter'); } }`,
    ],
    ['an object without a prototype', 'Object.create(null)'],
    ['a symbol', `Symbol('no')`],
    // n.b. whoever copies such a text takes more than the heap of a thread has, and V8 ends the process for it.
    ['an error of 2^28 letters', `new Error('x'.repeat(2 ** 28))`],
    ['an error that holds 2^28 letters', `Object.assign(new Error('x'), { more: 'x'.repeat(2 ** 28) })`],
    ['an error made from one of 2^28 letters', `new Error('x', { cause: new Error('x'.repeat(2 ** 28)) })`],
    ['a text of 2^28 letters', `'x'.repeat(2 ** 28)`],
    // n.b. of what is no error and is caught by nobody V8 itself makes a text: a longer one would fill the heap.
    ['a list of a hundred thousand texts', `new Array(1e5).fill('x'.repeat(200))`],
    [
      'an error of BEDS that no reply holds',
      `Object.assign(new Error('x'.repeat(5e7)), { [Symbol.for('beds.error')]: true, code: 'BEDS_TEMPLATE_CONFLICT', status: 'conflict', verdict: 'ack', retryable: false })`,
    ],
    [
      'an error of BEDS whose hint no reply holds',
      `Object.assign(new Error('x'), { [Symbol.for('beds.error')]: true, code: 'BEDS_TEMPLATE_CONFLICT', status: 'conflict', verdict: 'ack', retryable: false, hint: 'x'.repeat(1e7) })`,
    ],
  ];
  it('may be anything: it is counted, and every request that ends with it is answered', async (t) => {
    const operations: Record<string, BundleOperation> = {};
    for (const [index, [, expression]] of thrown.entries()) {
      operations[`leave${index}`] = { mode: 'read', run: `void Promise.reject(${expression}); return VERSION;` };
      operations[`throw${index}`] = { mode: 'read', run: `throw ${expression};` };
      operations[`later${index}`] = { mode: 'read', run: `await null; throw ${expression};` };
    }
    const canaryHost = await startCanaryHost(t, {
      services,
      serving: [noteVersion('1.0.0', undefined, { operations })],
    });
    const client = await canaryHost.host.connectClient();
    const ask = (op: string): Promise<unknown> => client.domain('notes').call(op, {}, { deadlineMs: 5_000 });
    for (const [index, [what]] of thrown.entries()) {
      assert.equal(await ask(`leave${index}`), '1.0.0', what);
      for (const op of ['throw', 'later']) {
        await assert.rejects(ask(`${op}${index}`), { code: 'BEDS_REQUEST_TEMPLATE_FAULT' }, `${op} ${what}`);
      }
    }
    await eventually('all are counted', async () => (await straysIn(canaryHost, '1.0.0', t.signal)) === thrown.length);
    assert.deepEqual(told(canaryHost, ENDED), []);
  });

  it('ends its thread and nothing else where it is thrown in a callback, whatever it is', async (t) => {
    const late = thrown.map(
      ([, expression], index) =>
        [
          `late${index}`,
          { mode: 'read', run: `setTimeout(() => { throw ${expression}; }, 100); return VERSION;` } as const,
        ] as const,
    );
    const threads = { default: { count: 2, heapMb: 128 } };
    const config = { supervisor: { restartIntensity: 100, drainTimeoutMs: 5_000 }, threads };
    const serving = [noteVersion('1.0.0', undefined, { operations: Object.fromEntries(late) })];
    const canaryHost = await startCanaryHost(t, { services, serving, config, rollout: { maxStrikes: 1_000 } });
    const client = await canaryHost.host.connectClient();
    for (const [index, [what]] of thrown.entries()) {
      await client.domain('notes').call(`late${index}`, {});
      await eventually(`a thread ended with ${what}`, () => told(canaryHost, ENDED).length > index, SOON_MS);
      const line = told(canaryHost, ENDED)[index];
      assert.equal(line?.['domain'], 'notes', `${what}: ${JSON.stringify(line)}`);
      assert.equal(await client.domain('notes').call('version', {}), '1.0.0');
    }
  });

  it('is counted where its stack names no template: what a promise, a stream or a body of Node rejects with', async (t) => {
    const rejects = [
      `void new Response('x').json();`,
      `const r = new stream.Readable({ read() {} }); void stream.promises.pipeline(r, new stream.PassThrough()); setTimeout(() => r.destroy(), 20);`,
      `void Promise.resolve('{').then(JSON.parse);`,
      `void Promise.resolve('%').then(decodeURIComponent);`,
      `void new Response(new Blob(['x']).stream().pipeThrough(new DecompressionStream('gzip'))).text();`,
    ];
    const throws = [
      `setTimeout(decodeURIComponent, 20, '%');`,
      `const r = new stream.Readable({ read() {} }); stream.finished(r, (e) => { throw e; }); setTimeout(() => r.destroy(), 20);`,
    ];
    const all = [...rejects, ...throws].map(
      (code, index) => [`op${index}`, { mode: 'read', run: `${code} return VERSION;` } as const] as const,
    );
    const version = noteVersion('1.0.0', undefined, {
      operations: Object.fromEntries(all),
      head: `\nimport stream from 'node:stream';\n`,
    });
    const canaryHost = await startCanaryHost(t, { services, serving: [version] });
    const client = await canaryHost.host.connectClient();
    for (const [index] of rejects.entries()) {
      assert.equal(await client.domain('notes').call(`op${index}`, {}), '1.0.0');
      await eventually(`${rejects[index]} is counted`, async () => {
        return (await straysIn(canaryHost, '1.0.0', t.signal)) === index + 1;
      });
    }
    assert.ok(told(canaryHost, 'fault in ').every(({ domain }) => domain === 'notes'));
    for (const [index, code] of throws.entries()) {
      await client.domain('notes').call(`op${rejects.length + index}`, {});
      await eventually(code, () => told(canaryHost, ENDED).length > index, SOON_MS);
      assert.equal(told(canaryHost, ENDED)[index]?.['domain'], 'notes', code);
    }
  });

  it('is the fault of who was given the promise, not of the domain that was called', async (t) => {
    const inner = noteVersion('1.0.0', `throw new Error('inner');`);
    const outer = noteVersion('2.0.0', `void ctx.domain('notes').call('version', {}); return VERSION;`, {
      ...{ domain: 'tasks', peers: ['notes'], name: 'tasks.mjs' },
    });
    const canaryHost = await startCanaryHost(t, { services, serving: [inner, outer] });
    const client = await canaryHost.host.connectClient();
    assert.equal(await client.domain('tasks').call('version', {}), '2.0.0');
    await eventually('it is counted', async () => (await straysIn(canaryHost, '2.0.0', t.signal)) === 1);
    assert.equal(await straysIn(canaryHost, '1.0.0', t.signal), 0);
    const [line] = told(canaryHost, 'fault in unhandled rejection');
    assert.equal(line?.['domain'], 'tasks');
  });
});

describe('a template that acts on its process', { timeout: TEST_MS * 2 }, () => {
  it('has failed, with its line in the log, and is out again as a canary', async (t) => {
    const canaryHost = await startCanaryHost(t, { services });
    const crowd = await Crowd.start(t, canaryHost.host, { asks: [VERSION_OF] });
    await canaryHost.admin.deploy([noteVersion('1.1.0', 'process.exit(1); return VERSION;')], {
      canaryPercent: 30,
      forMs: 60_000,
    });
    const { findings = [] } = await canaryHost.reached('1.1.0', 'quarantined', SOON_MS);
    await crowd.stop();
    assert.equal(findings[0]?.code, 'BEDS_ROLLOUT_GUARD_ERRORS');
    const failed = new Set(crowd.by('1.1.0').map(({ failure }) => failure));
    assert.deepEqual([...failed], ['BEDS_REQUEST_PROCESS_FORBIDDEN']);
    const [line] = told(canaryHost, 'fault in notes.version');
    assert.match(String(line?.['error']), /process\.exit\(\).*index\.mjs:\d+/s);
  });
});

describe('what a template prints', { timeout: TEST_MS }, () => {
  it('is a line of the log, of that template', async (t) => {
    const prints = `console.log('seen %s', 'it', { a: 1 }); console.error('bad'); console.table([{ a: 1 }]);
      console.log({ get a() { throw new Error('no'); }, [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('no'); } });
      ctx.log.info('given', { f() {} }); ctx.log.info(Symbol('no')); return VERSION;`;
    const canaryHost = await startCanaryHost(t, { services, serving: [noteVersion('1.0.0', prints)] });
    const client = await canaryHost.host.connectClient();
    assert.equal(await client.domain('notes').call('version', {}), '1.0.0');
    const line = await canaryHost.host.logged('the text', ({ msg }) => msg === 'seen it { a: 1 }');
    assert.deepEqual([line.level, line['domain'], line['version']], ['info', 'notes', '1.0.0']);
    const bad = await canaryHost.host.logged('the error', ({ msg }) => msg === 'bad');
    assert.equal(bad.level, 'error');
    await canaryHost.host.logged('the table', ({ msg }) => msg.includes('(index)'));
    await canaryHost.host.logged('what cannot be shown', ({ msg }) => msg === 'a value that cannot be shown');
    await canaryHost.host.logged(
      'what cannot be written',
      ({ msg, fields }) => msg === 'given' && typeof fields === 'string',
    );
    assert.deepEqual(told(canaryHost, ENDED), []);
  });

  it('is a line of any length that a line may have, whatever it is, and ends no thread', async (t) => {
    const large = {
      text: `ctx.log.info('x'.repeat(2 ** 28));`,
      error: `ctx.log.info('of an error', { error: new Error('x'.repeat(2 ** 28)) });`,
      bytes: `ctx.log.info('of bytes', { file: Buffer.alloc(5e7, 97) });`,
      list: `ctx.log.info('of a list', { list: new Array(1e6).fill('x'.repeat(200)) });`,
      map: `ctx.log.info('of a map', { map: new Map([['x', 'x'.repeat(2 ** 28)]]) });`,
      printed: `console.log('x'.repeat(2 ** 27)); process.stdout.write('x'.repeat(2 ** 27));`,
    };
    const prints = Object.entries(large).map(
      ([name, code]) => [name, { mode: 'read', run: `${code} return VERSION;` } as const] as const,
    );
    const serving = [noteVersion('1.0.0', undefined, { operations: Object.fromEntries(prints) })];
    const config = { threads: { default: { count: 1, heapMb: 256 } } };
    const canaryHost = await startCanaryHost(t, { services, serving, config });
    const client = await canaryHost.host.connectClient();
    for (const [name] of prints) assert.equal(await client.domain('notes').call(name, {}), '1.0.0', name);
    const { host } = canaryHost;
    await host.logged('the text', ({ msg }) => msg === 'a text of 268,435,456 letters');
    for (const what of ['of an error', 'of bytes', 'of a list', 'of a map']) {
      const { fields } = await host.logged(what, ({ msg }) => msg === what);
      assert.equal(fields, 'it holds what cannot be written');
    }
    assert.deepEqual(told(canaryHost, ENDED), []);
  });

  it('is one where Node warns of it, instead of a text beside the log', async (t) => {
    const warns = `util.deprecate(() => 1, 'of the author', 'AUTHOR1')(); const of = new events(); for (let n = 0; n < 12; n += 1) of.on('x', () => 1);`;
    const head = `import util from 'node:util'; import events from 'node:events'; let asked = 0;`;
    const serving = [noteVersion('1.0.0', `${warns} return VERSION;`, { head })];
    const { host } = await startCanaryHost(t, { services, serving });
    const client = await host.connectClient();
    assert.equal(await client.domain('notes').call('version', {}), '1.0.0');
    for (const word of ['DeprecationWarning: of the author', 'MaxListenersExceededWarning: Possible']) {
      const line = await host.logged(word, ({ msg }) => msg.startsWith(word));
      assert.deepEqual([line.level, line['domain'], line['version']], ['warn', 'notes', '1.0.0']);
    }
  });

  it('carries the trace context of the request, as do its faults; the code has it as well', async (t) => {
    const operations = {
      trace: { mode: 'read', run: `ctx.log.info('traced'); return ctx.traceparent ?? 'none';` },
      fail: { mode: 'read', run: `throw new Error('no');` },
    } as const;
    const serving = [noteVersion('1.0.0', undefined, { operations })];
    const canaryHost = await startCanaryHost(t, { services, serving });
    const { host } = canaryHost;
    const notes = (await host.connectClient()).domain('notes');
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    assert.equal(await notes.call('trace', {}, { traceparent }), traceparent);
    assert.equal((await host.logged('the line', ({ msg }) => msg === 'traced'))['traceparent'], traceparent);
    await assert.rejects(notes.call('fail', {}, { traceparent }));
    const fault = await host.logged('the fault', ({ msg }) => msg === 'fault in notes.fail');
    assert.equal(fault['traceparent'], traceparent);
    assert.equal(await notes.call('trace', {}), 'none');
  });

  it('makes no line of any length, whatever it hands over', async (t) => {
    const long = `const long = 'y'.repeat(2_000_000);`;
    const operations = {
      log: { mode: 'read', run: `${long} ctx.log.info('given' + long, { long }); return VERSION;` },
      print: { mode: 'read', run: `${long} console.log('printed' + long); return VERSION;` },
      leave: { mode: 'read', run: `${long} void Promise.reject(new Error('left' + long)); return VERSION;` },
      text: {
        mode: 'read',
        run: `${long} void Promise.reject('text' + long); ctx.log.info('odd', Symbol('no')); return VERSION;`,
      },
    } as const;
    const canaryHost = await startCanaryHost(t, {
      services,
      serving: [noteVersion('1.0.0', undefined, { operations })],
    });
    const client = await canaryHost.host.connectClient();
    for (const op of Object.keys(operations)) {
      assert.equal(await client.domain('notes').call(op, {}), '1.0.0');
    }
    for (const word of ['given', 'printed', 'left', 'text']) {
      const line = await canaryHost.host.logged(word, (each) => JSON.stringify(each).includes(`${word}yyy`));
      assert.match(JSON.stringify(line), /y…/);
    }
    const longest = Math.max(...canaryHost.host.log.map((line) => JSON.stringify(line).length));
    assert.ok(longest < 100_000, `${String(longest)} characters`);
  });
});
