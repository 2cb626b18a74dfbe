import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { Json } from '@beds/sdk';
import { type Change, type Me, ORDERS, type OrderOutcome } from '../host/dashboard/contract.js';
import type { Person } from '../host/dashboard/identities.js';
import { Orders } from '../host/dashboard/orders.js';
import { openNodes, type TestNode, type TestNodes } from './support/admin-nodes.js';
import { KEY, openDashboard, order, type TestDashboard } from './support/dashboard.js';
import { eventually } from './support/eventually.js';
import { type Operation, serveKept } from './support/kept-domains.js';
import { sharedServices } from './support/services.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);
const SINCE = '2026-01-01T00:00:00.000Z';
const LIVE = 'b'.repeat(64);

interface Room extends TestDashboard {
  readonly nodes: TestNodes;
  readonly node: TestNode;
}

async function room(t: TestContext): Promise<Room> {
  const nodes = await openNodes(t, rabbitmq?.url ?? '');
  const node = await nodes.add('n1');
  node.control.views.set('notes', {
    domain: 'notes',
    live: { version: '1.0.0', hash: LIVE, state: 'active', since: SINCE },
  });
  const dashboard = await openDashboard(t, { url: nodes.url, prefix: nodes.prefix });
  return { ...dashboard, nodes, node };
}

async function problemCode(answer: Response): Promise<string> {
  const { problem } = (await answer.json()) as { readonly problem?: { readonly code: string } };
  return `${String(answer.status)} ${problem?.code ?? ''}`;
}

/** Bytes as they come over the wire. */
function bytesOf(url: string): Promise<{ readonly bytes: number; readonly encoding: string; readonly text: Buffer }> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { 'accept-encoding': 'gzip' } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks);
        resolve({ bytes: text.length, encoding: response.headers['content-encoding'] ?? '', text });
      });
    })
      .on('error', reject)
      .end();
  });
}

describe('the server of the dashboard', () => {
  it('gives its first view in less than 150 KB, without a script in the page', async (t) => {
    const { origin, ask } = await room(t);
    const page = await ask('/domains/notes');
    const html = await page.text();
    assert.equal(page.status, 200);
    const named = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
    const sizes = await Promise.all(['/', ...named].map((path) => bytesOf(`${origin}${path}`)));
    const bytes = sizes.reduce((sum, size) => sum + size.bytes, 0);
    t.diagnostic(`${String(bytes)} bytes in ${String(sizes.length)} files`);
    assert.ok(sizes.length === 4 && sizes.every(({ encoding }) => encoding === 'gzip'));
    assert.ok(bytes < 150 * 1_024, `${String(bytes)} bytes`);
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\son\w+=|style=/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*/);
    assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
  });

  it('refuses who comes by another name, and orders of other sites', async (t) => {
    const { ask, signIn, node, origin } = await room(t);
    const cookie = await signIn();
    const port = origin.replace(/.*:/, '');
    const strange: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      ['BEDS_DASHBOARD_HOST_REFUSED', { host: `evil.example:${port}` }],
      ['BEDS_DASHBOARD_CROSS_SITE', { origin: 'https://evil.example' }],
      ['BEDS_DASHBOARD_CROSS_SITE', { origin: `http://localhost:${port}` }],
      ['BEDS_DASHBOARD_CROSS_SITE', { origin: 'null' }],
      ['BEDS_DASHBOARD_CROSS_SITE', { origin, 'sec-fetch-site': 'same-site' }],
      ['BEDS_DASHBOARD_CROSS_SITE', { origin, 'sec-fetch-site': 'cross-site' }],
    ];
    for (const [code, headers] of strange) {
      const status = await raw(origin, { cookie, ...headers }, JSON.stringify(order('pause', { domain: 'notes' })));
      assert.equal(status, `403 ${code}`, JSON.stringify(headers));
    }
    const withoutOrigin = await raw(origin, { cookie }, JSON.stringify(order('pause', { domain: 'notes' })));
    assert.equal(withoutOrigin, '403 BEDS_DASHBOARD_CROSS_SITE');
    const read = await ask('/api/me', {
      cookie,
      headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' },
    });
    assert.equal(await problemCode(read), '403 BEDS_DASHBOARD_CROSS_SITE');
    // A form of another site has no JSON to send.
    const asForm = await raw(
      origin,
      { cookie, origin, 'content-type': 'text/plain' },
      JSON.stringify(order('pause', { domain: 'notes' })),
    );
    assert.match(asForm, /^400 /);
    assert.deepEqual(node.control.commands, []);
  });

  it('lets nobody do anything who is not signed in', async (t) => {
    const { ask, node } = await room(t);
    for (const path of ['/api/me', '/api/stream', '/api/samples', '/api/domains/notes']) {
      assert.equal(await problemCode(await ask(path)), '401 BEDS_DASHBOARD_SIGNED_OUT', path);
      assert.equal(
        await problemCode(await ask(path, { cookie: 'beds-1=bk_x; x' })),
        '401 BEDS_DASHBOARD_SIGNED_OUT',
        path,
      );
    }
    const given = await ask('/api/order', { body: order('undeploy', { domain: 'notes' }) });
    assert.equal(await problemCode(given), '401 BEDS_DASHBOARD_SIGNED_OUT');
    assert.equal(await problemCode(await ask('/api/dead', { body: {} })), '401 BEDS_DASHBOARD_SIGNED_OUT');
    assert.equal(await problemCode(await ask('/api/audit')), '401 BEDS_DASHBOARD_SIGNED_OUT');
    assert.deepEqual(node.control.commands, []);
  });

  it('does not let a key be guessed, and has none where only accounts count', async (t) => {
    const { ask, signIn, nodes } = await room(t);
    const cookie = await signIn();
    assert.match(cookie, /^beds-\d+=bk_[\w-]{43}$/);
    const codes: string[] = [];
    for (let tries = 0; tries < 20; tries += 1) {
      codes.push(await problemCode(await ask('/api/sign-in', { body: { key: `${KEY}${String(tries)}` } })));
    }
    assert.equal(codes[0], '403 BEDS_DASHBOARD_KEY_WRONG');
    assert.equal(codes.at(-1), '429 BEDS_DASHBOARD_TOO_MANY');
    assert.equal((await ask('/api/me', { cookie })).status, 200);
    const closed = await openDashboard(t, { url: nodes.url, prefix: nodes.prefix }, { hostKey: undefined });
    assert.deepEqual(await (await closed.ask('/api/ways')).json(), { accounts: false, key: false });
    const refused = await closed.ask('/api/sign-in', { body: { key: '' } });
    assert.equal(await problemCode(refused), '403 BEDS_DASHBOARD_KEY_WRONG');
  });

  it('ends a session when it is signed out, also for a browser that goes on', async (t) => {
    const { ask, signIn } = await room(t);
    const cookie = await signIn();
    assert.deepEqual(((await (await ask('/api/me', { cookie })).json()) as { readonly me: Me }).me.role, 'dba');
    assert.equal((await ask('/api/sign-out', { cookie, body: {} })).status, 200);
    assert.equal(await problemCode(await ask('/api/me', { cookie })), '401 BEDS_DASHBOARD_SIGNED_OUT');
  });

  it('gives an order once, however often it comes, and none that is late or overtaken', async (t) => {
    const { ask, signIn, node } = await room(t);
    const cookie = await signIn();
    const pause = order('pause', { domain: 'notes' });
    const answers = await Promise.all([1, 2, 3].map(() => ask('/api/order', { cookie, body: pause })));
    for (const answer of answers) {
      const { accepted } = (await answer.json()) as OrderOutcome;
      assert.equal(accepted[0]?.receipts[0]?.words, 'pause of notes 1.1.0 accepted.');
    }
    assert.deepEqual(node.control.commands, [{ op: 'pause', about: 'notes' }]);
    const late = await ask('/api/order', {
      cookie,
      body: { ...order('promote', { domain: 'notes' }), at: Date.now() - 120_000 },
    });
    assert.equal(await problemCode(late), '409 BEDS_DASHBOARD_ORDER_LATE');
    await eventually('the dashboard has seen the node', async () => {
      const body = { ...order('promote', { domain: 'notes' }), seen: { n1: 'a'.repeat(64) } };
      return (await problemCode(await ask('/api/order', { cookie, body }))) === '409 BEDS_DASHBOARD_ORDER_OVERTAKEN';
    });
    const before = node.control.commands.length;
    const seen = await ask('/api/order', {
      cookie,
      body: { ...order('promote', { domain: 'notes' }), seen: { n1: LIVE } },
    });
    assert.equal(seen.status, 200);
    assert.equal(node.control.commands.length, before + 1);
    for (const body of [{}, { ...pause, op: 'format' }, { ...pause, id: 'x' }, { ...pause, more: 1 }, []]) {
      assert.equal(await problemCode(await ask('/api/order', { cookie, body })), '400 BEDS_DASHBOARD_INVALID');
    }
    const huge = await ask('/api/order', { cookie, body: { ...pause, input: { bundles: ['x'.repeat(2_000_000)] } } });
    assert.equal(await problemCode(huge), '400 BEDS_DASHBOARD_TOO_LARGE');
  });

  it('says what a node refuses an order with', async (t) => {
    const { ask, signIn } = await room(t);
    const answer = await ask('/api/order', {
      cookie: await signIn(),
      body: order('pause', { domain: 'no such name' }),
    });
    const { problem } = (await answer.json()) as {
      readonly problem: { readonly code: string; readonly message: string };
    };
    assert.equal(problem.code, 'BEDS_ADMIN_INVALID');
    assert.equal(answer.status, 400, 'it is no fault of the server');
    assert.match(problem.message, /is not the name of a domain/);
  });

  it('shows fifty browsers the same at once, and asks the nodes no more often for it', async (t) => {
    const { origin, signIn, node, ask } = await room(t);
    const cookie = await signIn();
    const stop = new AbortController();
    t.after(() => stop.abort());
    const seen: string[] = Array.from({ length: 50 }, () => '');
    const streams = seen.map(async (_, index) => {
      const response = await fetch(`${origin}/api/stream`, { headers: { cookie }, signal: stop.signal });
      assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
      for await (const chunk of response.body ?? [])
        seen[index] = `${seen[index] ?? ''}${Buffer.from(chunk).toString()}`;
    });
    for (const stream of streams) stream.catch(() => undefined);
    await eventually('all have everything', () => seen.every((text) => text.includes('"domain:notes"')));
    const [first] = seen;
    const data = JSON.parse(/^data: (\{"epoch".*)$/m.exec(first ?? '')?.[1] ?? '{}') as Change;
    assert.equal(data.whole, true);
    node.control.note({ domain: 'notes', version: '1.1.0', hash: 'c'.repeat(64) }, { state: 'active' });
    const begun = performance.now();
    await eventually('all see the next version', () => seen.every((text) => text.includes('"1.1.0"')), 10_000);
    t.diagnostic(`all of them after ${(performance.now() - begun).toFixed(0)} ms`);
    const looks = /"id: \w+\.(\d+)/g;
    assert.ok(seen.every((text) => [...text.matchAll(looks)].length < 10));
    await ask('/api/sign-out', { cookie, body: {} });
    await eventually('a session that ended ends its streams', () =>
      seen.every((text) => text.includes('event: signed-out')),
    );
  });
});

/** n.b. `fetch` sets some of these headers itself. */
function raw(origin: string, headers: Readonly<Record<string, string>>, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = { 'content-type': 'application/json', ...headers };
    request(`${origin}/api/order`, { method: 'POST', headers: sent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const { problem } = JSON.parse(text) as { readonly problem?: { readonly code: string } };
        resolve(`${String(response.statusCode)} ${problem?.code ?? ''}`);
      });
    })
      .on('error', reject)
      .end(body);
  });
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** What a request is answered with, written as it is; 0: with nothing. */
async function statusOf(origin: string, { method, path, headers = {}, body }: Asked): Promise<number> {
  const { host } = new URL(origin);
  const bytes = Buffer.from(body ?? '');
  const hasBody = body !== undefined && headers['content-length'] === undefined;
  const all: Readonly<Record<string, string>> = {
    ...{ host, connection: 'close' },
    ...(hasBody ? { 'content-type': 'application/json', 'content-length': String(bytes.length) } : {}),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  const head = `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
  // n.b. a question that no domain answers takes as long as its deadline.
  const answer = await spoken(origin, Buffer.concat([Buffer.from(head, 'latin1'), bytes]), 15_000);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, ''))?.[1] ?? 0);
}

/** The text of a connection on which these bytes were sent, as they are. */
function spoken(origin: string, text: string | Buffer, waitMs = 1_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    let heard = '';
    const socket = connect(Number(port), hostname, () => socket.write(text));
    socket.setEncoding('utf8').on('data', (more: string) => (heard += more));
    socket.on('error', reject).on('close', () => resolve(heard));
    socket.setTimeout(waitMs, () => socket.destroy());
  });
}

describe('what strangers send', () => {
  it('gets no file beside those of the page, whatever the path is', async (t) => {
    const { origin, signIn } = await room(t);
    const cookie = await signIn();
    const { host } = new URL(origin);
    const paths = [
      ...['/assets/../process.js', '/assets/%2e%2e/process.js', '/assets/..%2fprocess.js', '/assets/..\\process.js'],
      ...[
        '//evil.example/',
        '/assets/',
        '/assets/main.js/',
        '/assets/main.js%00.html',
        '/%00',
        '/%',
        '/.beds/dashboard-address',
      ],
      ...['/api/', '/api/kept/__proto__', '/api/kept/constructor', '/api/domains/..%2f..%2fx', '/api/domains/%00'],
    ];
    for (const path of paths) {
      const answer = await spoken(
        origin,
        `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
        5_000,
      );
      const isPage = answer.startsWith('HTTP/1.1 200') && answer.includes('<div id="page">');
      const isAnswer = answer.startsWith('HTTP/1.1 200') && answer.includes('"history":[]');
      assert.ok(isPage || isAnswer || /^HTTP\/1\.1 (400|404)/.test(answer), `${path}: ${answer.slice(0, 80)}`);
      assert.doesNotMatch(answer, /hostKey|DashboardServer|127\.0\.0\.1:\d+\/#key/, path);
    }
  });

  it('is never answered as a fault of the server: methods, paths, bodies, types and headers of all kinds', async (t) => {
    const { origin, signIn, faults, node } = await room(t);
    const cookie = await signIn();
    const deep = '['.repeat(20_000);
    const bodies: readonly (string | Buffer)[] = [
      ...[
        '',
        '{',
        'null',
        '[]',
        '"x"',
        '7',
        '{"__proto__":{"a":1}}',
        '{"constructor":{"prototype":{}}}',
        '1e999',
        deep,
      ],
      ...['{"id":"\\ud800"}', `{"x":"${'y'.repeat(60_000)}"}`, '\ufeff{}', '{}{}', '{"op":{"toString":1}}', 'x=1&y=2'],
      Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x7d]),
    ];
    const types = [
      'application/json',
      'application/json; charset=utf-16',
      'text/plain',
      'multipart/form-data',
      '//',
      '',
    ];
    const posts = [
      ...[
        '/api/order',
        '/api/user',
        '/api/design',
        '/api/sign-in',
        '/api/dead',
        '/api/kept/logs',
        '/api/kept/x',
        '/api/x',
      ],
      ...['/api/kept/users', '/api/kept/series', '/api/kept/objects', '/api/kept/sessions', '/api/kept/faults'],
    ];
    const gets = [
      ...['/api/me', '/api/ways', '/api/samples', '/api/audit', '/api/domains/notes', '/api/designs/notes', '/'],
      ...['/api/designs/..', '/api/designs/%2e%2e%2fx', `/api/designs/${'x'.repeat(2_000)}`, '/api/domains/%E0%A4%A'],
      ...[
        '/api//me',
        '/api/./me',
        '/api/me/',
        '/API/ME',
        '/api/me?x=%',
        '/api/me#x',
        '/api/me;x',
        '//',
        '/%2e%2e/',
        '/%FF',
      ],
      ...[
        '/api/designs/__proto__',
        '/api/domains/constructor',
        '/api/stream/x',
        `/${'a/'.repeat(3_000)}`,
        '/?#',
        '/a%00b',
      ],
    ];
    const methods = ['HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'QUERY', 'SEARCH', 'PURGE'];
    const strange: readonly Readonly<Record<string, string>>[] = [
      ...[
        '',
        'a b',
        '[::1',
        'localhost:99999999',
        'user@localhost',
        'localhost/..',
        '%00',
        '127.1',
        '[::ffff:127.0.0.1]',
      ].map((host) => ({ host })),
      ...['x'.repeat(12_000), `${cookie}; ${cookie}`, '=;=;;', `${cookie}\t`, '\u00ff'].map((text) => ({
        cookie: text,
      })),
      ...['x'.repeat(5_000), 'a.-1', '..', 'NaN'].map((text) => ({ 'last-event-id': text })),
      ...['gzip;q=0', '*', ',,,', 'x'.repeat(5_000)].map((text) => ({ 'accept-encoding': text })),
      { 'if-none-match': '*' },
      { 'content-length': '-1' },
      { expect: '100-continue' },
      { expect: 'the unexpected' },
      { upgrade: 'websocket', connection: 'upgrade' },
      { 'transfer-encoding': 'chunked, identity' },
      { 'x-http-method-override': 'DELETE' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
    ];
    const asked: Asked[] = [
      ...gets.map((path) => ({ method: 'GET', path })),
      ...methods.flatMap((method) => [...gets.slice(0, 7), '/api/order', '*'].map((path) => ({ method, path }))),
      ...posts.flatMap((path) => bodies.map((body) => ({ method: 'POST', path, body }))),
      ...posts.flatMap((path) =>
        types.map((type) => ({ method: 'POST', path, body: '{"a":1}', headers: { 'content-type': type } })),
      ),
      ...strange.flatMap((headers) => ['/', '/api/me', '/api/ways'].map((path) => ({ method: 'GET', path, headers }))),
    ];
    const wrong: string[] = [];
    for (const each of asked) {
      const status = await statusOf(origin, { ...each, headers: { origin, cookie, ...each.headers } });
      const about = `${each.method} ${each.path.slice(0, 60)} ${JSON.stringify(each.headers ?? {}).slice(0, 80)} ${String(each.body ?? '').slice(0, 40)}`;
      if (![200, 304, 400, 401, 403, 404, 405, 409, 413, 414, 415, 417, 429, 431, 503, 504].includes(status))
        wrong.push(`${String(status)} ${about}`);
      // What is no question, and no order that can be read, changes nothing.
      if (each.method !== 'GET' && each.method !== 'POST' && status === 200) wrong.push(`carried out: ${about}`);
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual(faults, []);
    assert.deepEqual(node.control.commands, []);
    t.diagnostic(`${String(asked.length)} requests`);
  });

  it('changes nothing by any method, when another site makes a browser send it', async (t) => {
    const { origin, signIn, node } = await room(t);
    const cookie = await signIn();
    const body = JSON.stringify(order('pause', { domain: 'notes' }));
    const paths = [
      '/api/order',
      '/api/user',
      '/api/design',
      '/api/sign-in',
      '/api/sign-out',
      '/api/dead',
      '/api/kept/logs',
    ];
    const sites: readonly Readonly<Record<string, string>>[] = [
      { origin: 'https://evil.example' },
      { origin: origin.replace('http:', 'https:') },
      { origin: `${origin}.evil.example` },
      { origin: '' },
      { origin, 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'none' },
      {},
    ];
    const types = ['application/json', 'text/plain', 'application/x-www-form-urlencoded'];
    const heads = sites.flatMap((site) =>
      types.map((type) => ({ cookie, 'content-type': type, 'x-http-method-override': 'POST', ...site })),
    );
    const asked = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD'].flatMap((method) =>
      paths.flatMap((path) => heads.map((headers) => ({ method, path, headers, body }))),
    );
    for (const each of asked) {
      const { method, path, headers } = each;
      assert.equal(await statusOf(origin, each), 403, `${method} ${path} ${JSON.stringify(headers)}`);
    }
    assert.equal(
      await statusOf(origin, { method: 'GET', path: '/api/me', headers: { cookie } }),
      200,
      'signed in still',
    );
    assert.deepEqual(node.control.commands, []);
  });

  it('may be kept by no cache where it tells of the installation, and is looked at anew where it is the page', async (t) => {
    const { ask, signIn } = await room(t);
    const cookie = await signIn();
    for (const path of ['/api/me', '/api/samples', '/api/domains/notes', '/api/ways']) {
      assert.equal((await ask(path, { cookie })).headers.get('cache-control'), 'no-store', path);
    }
    const script = await ask('/assets/main.js');
    assert.equal(script.headers.get('cache-control'), 'no-cache');
    const again = await ask('/assets/main.js', { headers: { 'if-none-match': script.headers.get('etag') ?? '' } });
    assert.equal(again.status, 304);
  });

  it('is not kept in memory before it is known who sends it, and few large ones at once are', async (t) => {
    const { origin, signIn, ask } = await room(t);
    const cookie = await signIn();
    const { host } = new URL(origin);
    const head = (from: string, length: number): string =>
      `POST /api/order HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nContent-Type: application/json\r\nCookie: ${from}\r\nContent-Length: ${String(length)}\r\n\r\n{"id":`;
    // n.b. answered though the body never comes.
    assert.match(await spoken(origin, head('', 1_000_000)), /^HTTP\/1\.1 401 /);
    assert.match(await spoken(origin, head('beds-1=bs_x', 1_000_000)), /^HTTP\/1\.1 401 /);
    const slow = Array.from({ length: 4 }, () => spoken(origin, head(cookie, 1_000_000), 4_000));
    await eventually('the fifth is refused', async () =>
      (await spoken(origin, head(cookie, 1_000_000))).startsWith('HTTP/1.1 429 '),
    );
    const pause = await ask('/api/order', { cookie, body: order('pause', { domain: 'notes' }) });
    assert.equal(pause.status, 200, 'a small order passes');
    await Promise.all(slow);
    const chunked = head(cookie, 0).replace('Content-Length: 0', 'Transfer-Encoding: chunked');
    assert.doesNotMatch(await spoken(origin, chunked), /^HTTP\/1\.1 429 /, 'those that gave up make room');
  });
});

describe('a bundle', () => {
  it('takes no room any more when its sender gave up while it was asked who he is', async (t) => {
    const { origin, ask, nodes } = await room(t);
    // n.b. so short that they are asked about each time.
    let sender: Socket | undefined;
    const signedIn = (): Json => {
      sender?.destroy();
      return {
        ...{ token: `bs_${'a'.repeat(43)}`, refresh: `br_${'a'.repeat(64)}` },
        user: { id: 'ann', name: 'Ann', roles: ['operator'] },
        expiresAt: Date.now() + 60_000,
      };
    };
    const asked = await serveKept(nodes, { 'sessions.signIn': signedIn, 'sessions.refresh': signedIn });
    const answer = await ask('/api/sign-in', { body: { name: 'ann', password: 'x' } });
    const cookie = (answer.headers.get('set-cookie') ?? '').replace(/;.*/, '');
    const { host, hostname, port } = new URL(origin);
    const head = `POST /api/order HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nContent-Type: application/json\r\nCookie: ${cookie}\r\nContent-Length: 1000000\r\n\r\n{"id":`;
    for (let time = 0; time < 8; time += 1) {
      const before = asked.length;
      const socket = connect(Number(port), hostname, () => socket.write(head));
      sender = socket;
      await eventually('it was asked who he is', () => asked.length > before);
    }
    sender = undefined;
    await eventually('there is room', async () => !(await spoken(origin, head)).startsWith('HTTP/1.1 429 '), 5_000);
  });
});

describe('a page that only listens', () => {
  it('is given the next tokens when its stream ends before they do, and goes on where it was', async (t) => {
    const { origin, ask, nodes } = await room(t);
    const grant = (sign: string, forMs: number) => (): Json => ({
      ...{ token: `bs_${sign.repeat(43)}`, refresh: `br_${sign.repeat(64)}` },
      user: { id: 'ann', name: 'Ann', roles: ['viewer'] },
      expiresAt: Date.now() + forMs,
    });
    await serveKept(nodes, {
      'sessions.signIn': grant('a', 610_000),
      'sessions.refresh': grant('b', 1_800_000),
      'sessions.list': () => [],
    });
    const signedIn = await ask('/api/sign-in', { body: { name: 'ann', password: 'x' } });
    let cookie = (signedIn.headers.get('set-cookie') ?? '').replace(/;.*/, '');
    const first = await fetch(`${origin}/api/stream`, { headers: { cookie } });
    assert.equal(first.headers.get('set-cookie'), null, 'it is good for longer than ten minutes');
    // n.b. half an hour of the token is not waited for: the clock goes on at once.
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 320_000 });
    const text = await first.text();
    assert.doesNotMatch(text, /signed-out/);
    const stop = new AbortController();
    t.after(() => stop.abort());
    const again = await fetch(`${origin}/api/stream`, { headers: { cookie }, signal: stop.signal });
    cookie = (again.headers.get('set-cookie') ?? '').replace(/;.*/, '');
    assert.equal(again.status, 200);
    assert.ok(cookie.includes(`bs_${'b'.repeat(43)}.`), cookie);
    assert.equal((await ask('/api/me', { cookie })).status, 200);
  });
});

const ROLES_OF = { vera: ['viewer'], ann: ['operator'], nobody: [] } as const;

/** People who sign in with any password. */
function accounts(): Readonly<Record<string, Operation>> {
  return {
    'sessions.signIn': ({ name }) => ({
      ...{ token: `bs_${String(name).padEnd(43, 'x')}`, refresh: `br_${String(name).padEnd(64, 'x')}` },
      user: { id: String(name), name: String(name), roles: [...ROLES_OF[name as keyof typeof ROLES_OF]] },
      expiresAt: Date.now() + 1_800_000,
    }),
    'users.*': () => ({}),
    'sessions.*': () => [],
    'logs.*': () => [],
    'metrics.*': () => [],
  };
}

describe('a viewer', () => {
  it('is refused whatever he sends by hand, and what he may not see he is not told', async (t) => {
    const { ask, node, nodes } = await room(t);
    const asked = await serveKept(nodes, accounts());
    const cookieOf = async (name: string): Promise<string> => {
      const answer = await ask('/api/sign-in', { body: { name, password: 'x' } });
      return (answer.headers.get('set-cookie') ?? '').replace(/;.*/, '');
    };
    const [viewer, stranger, operator] = [await cookieOf('vera'), await cookieOf('nobody'), await cookieOf('ann')];
    const before = asked.length;
    const userOrders = ['disable', 'enable', 'setRoles', 'endSessions', 'endSession', 'create'].map((op) => ({
      op,
      id: 'ann',
      roles: ['dba'],
    }));
    for (const cookie of [viewer, stranger]) {
      for (const op of ORDERS) {
        const given = await ask('/api/order', { cookie, body: order(op, { domain: 'notes' }) });
        assert.equal(await problemCode(given), '403 BEDS_DASHBOARD_FORBIDDEN', op);
      }
      for (const body of userOrders) {
        assert.equal(
          await problemCode(await ask('/api/user', { cookie, body })),
          '403 BEDS_DASHBOARD_FORBIDDEN',
          body.op,
        );
      }
      for (const question of ['users', 'sessions']) {
        const answer = await ask(`/api/kept/${question}`, {
          cookie,
          body: question === 'users' ? {} : { user: 'ann' },
        });
        assert.equal(await problemCode(answer), '403 BEDS_DASHBOARD_FORBIDDEN', question);
      }
    }
    for (const path of ['/api/stream', '/api/samples', '/api/domains/notes', '/api/audit']) {
      assert.equal(await problemCode(await ask(path, { cookie: stranger })), '403 BEDS_DASHBOARD_FORBIDDEN', path);
    }
    assert.equal(
      await problemCode(await ask('/api/kept/logs', { cookie: stranger, body: {} })),
      '403 BEDS_DASHBOARD_FORBIDDEN',
    );
    assert.deepEqual(node.control.commands, []);
    assert.deepEqual(
      asked.slice(before).filter(({ domain }) => domain === 'users'),
      [],
    );
    // What is let through is asked for in his name, and only as it is meant.
    assert.equal((await ask('/api/kept/logs', { cookie: viewer, body: { domain: 'notes' } })).status, 200);
    const search = asked.find(({ op }) => op === 'search');
    assert.match(search?.meta?.session ?? '', /^bs_vera/);
    assert.equal(search?.meta?.asDomain, undefined);
    for (const body of [{ where: {} }, { limit: 1e9 }, { domain: { gt: '' } }, { limit: -1 }, []]) {
      assert.equal(
        await problemCode(await ask('/api/kept/logs', { cookie: viewer, body })),
        '400 BEDS_DASHBOARD_INVALID',
      );
    }
    assert.equal((await ask('/api/user', { cookie: operator, body: userOrders[0] })).status, 200);
    assert.match(asked.findLast(({ op }) => op === 'disable')?.meta?.session ?? '', /^bs_ann/);
    const unknown = await ask('/api/user', { cookie: operator, body: { op: 'delete', id: 'vera' } });
    assert.equal(await problemCode(unknown), '400 BEDS_DASHBOARD_INVALID');
  });

  it('keeps nobody from looking, however much he asks at once and however many streams he opens', async (t) => {
    const { ask, origin, nodes } = await room(t);
    await serveKept(nodes, accounts());
    const cookieOf = async (name: string): Promise<string> => {
      const answer = await ask('/api/sign-in', { body: { name, password: 'x' } });
      return (answer.headers.get('set-cookie') ?? '').replace(/;.*/, '');
    };
    const [viewer, operator] = [await cookieOf('vera'), await cookieOf('ann')];
    // n.b. on a busy machine they arrive one after the other, and are answered so.
    await eventually('some of what he asks at once is turned away', async () => {
      const asking = Array.from({ length: 60 }, (_, n) => ask(`/api/domains/d${String(n)}`, { cookie: viewer }));
      const other = await ask('/api/domains/notes', { cookie: operator });
      assert.equal(other.status, 200);
      assert.match(await other.text(), /"domain":"notes"/);
      const statuses = (await Promise.all(asking)).map(({ status }) => status);
      assert.ok(
        statuses.every((status) => status === 200 || status === 429),
        String(statuses),
      );
      assert.ok(statuses.filter((status) => status === 200).length >= 10);
      return statuses.includes(429);
    });
    assert.equal((await ask('/api/domains/d1', { cookie: viewer })).status, 200, 'who waits may ask again');
    assert.equal((await ask('/api/domains/NO%20NAME', { cookie: viewer })).status, 404);

    const stop = new AbortController();
    t.after(() => stop.abort());
    const stream = async (cookie: string): Promise<number> =>
      (await fetch(`${origin}/api/stream`, { headers: { cookie }, signal: stop.signal })).status;
    const streams = await Promise.all(Array.from({ length: 70 }, () => stream(viewer)));
    assert.equal(streams.filter((status) => status === 200).length, 60);
    assert.equal(await stream(operator), 200);
  });

  it('gives no order, whatever it is', () => {
    const nobody = { command: () => assert.fail('nothing may be ordered') };
    const orders = new Orders(nobody, { liveHash: () => undefined, hurry: () => undefined });
    const now = Date.now();
    for (const role of ['viewer', undefined] as const) {
      const me: Me = { name: 'v', id: randomUUID(), ...(role && { role }) };
      const person: Person = {
        me,
        cookie: '',
        expiresAtMs: now + 60_000,
        checkedAtMs: now,
        rolesAtMs: now,
        isEnded: false,
      };
      for (const op of ['deploy', 'check', 'rollback', 'promote', 'pause', 'undeploy', 'lift']) {
        assert.throws(() => void orders.give(order(op, { domain: 'notes' }), person), {
          code: 'BEDS_DASHBOARD_FORBIDDEN',
        });
      }
    }
  });
});
