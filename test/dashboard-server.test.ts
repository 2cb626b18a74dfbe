import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import type { Change, Me, OrderOutcome } from '../host/dashboard/contract.js';
import type { Person } from '../host/dashboard/identities.js';
import { Orders } from '../host/dashboard/orders.js';
import { openNodes, type TestNode, type TestNodes } from './support/admin-nodes.js';
import { KEY, openDashboard, order, type TestDashboard } from './support/dashboard.js';
import { eventually } from './support/eventually.js';
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

describe('a viewer', () => {
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
