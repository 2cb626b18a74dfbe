import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Json } from '@beds/sdk';
import type { Browser, Page } from 'playwright-core';
import { makeNames } from '../host/amqp/names.js';
import type { DomainView } from '../host/admin/views.js';
import { openNodes, type TestNode, type TestNodes } from './support/admin-nodes.js';
import { openBrowser } from './support/chromium.js';
import { openDashboard, picture, seriousFindings, type TestDashboard } from './support/dashboard.js';
import { eventually } from './support/eventually.js';
import { type Operation, serveDesk, serveKept } from './support/kept-domains.js';
import { sharedServices, temporaryDirectory, wholeFile } from './support/services.js';

const { rabbitmq } = await sharedServices(['rabbitmq']);
const opened = await openBrowser(wholeFile);
const skip = typeof opened === 'string' ? opened : false;
const browser = opened as Browser;

const WAIT_MS = 20_000;
const SIZES = { desktop: { width: 1_280, height: 800 }, phone: { width: 390, height: 844 } } as const;
const HASH = { old: 'a'.repeat(64), live: 'b'.repeat(64), next: 'c'.repeat(64) };
const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();

const TRIED: DomainView = {
  domain: 'cities',
  live: { version: '1.1.0', hash: HASH.live, state: 'active', since: ago(180) },
  candidate: { version: '1.2.0', hash: HASH.next, state: 'canary', since: ago(1) },
  canary: {
    ...{
      version: '1.2.0',
      hash: HASH.next,
      percent: 5,
      shadowPercent: 10,
      forMs: 300_000,
      elapsedMs: 64_000,
      hold: false,
    },
    candidate: { requests: 214, errorPercent: 0.9, p95Ms: 12.4 },
    active: { requests: 4_102, errorPercent: 0.1, p95Ms: 9.8 },
  },
  kept: [{ version: '1.0.0', hash: HASH.old, at: ago(4_000) }],
};
const PAUSED: DomainView = {
  domain: 'orders',
  live: { version: '2.0.0', hash: HASH.live, state: 'active', since: ago(9_000) },
  candidate: {
    ...{ version: '2.1.0', hash: HASH.next, state: 'waiting', since: ago(12) },
    findings: [
      {
        code: 'BEDS_PREFLIGHT_MISSING',
        message: 'The view order_due is missing.',
        hint: 'Ask the DBA for it: `beds db apply orders`.',
      },
    ],
  },
  paused: true,
};

const LINE = {
  ...{ node: 'berlin-1', domain: '', version: '', message: 'a line of the host', cause: '', code: '', place: '' },
  ...{ requestId: '', traceId: '', count: 1, fields: '', level: 30 },
};
const FAULT = {
  ...{
    cause: 'c0ffee',
    domain: 'cities',
    version: '1.1.0',
    code: 'BEDS_TEMPLATE_THREW',
    place: 'cities/template.ts:40',
  },
  message: 'TypeError: no city has this id',
};

/** What nodes would have told a node of the role admin, and users of one of the role tercero. */
function keptOperations(): Readonly<Record<string, Operation>> {
  const now = Date.now();
  const line = (secondsAgo: number, more: object): object => {
    const at = now - secondsAgo * 1_000;
    return { ...LINE, id: `${at.toString(36).padStart(9, '0')}-a-1`, at, ...more };
  };
  const lines = [
    line(2_900, { message: 'serving' }),
    line(1_200, { domain: 'cities', version: '1.1.0', message: 'active', fields: '{"ms":412}' }),
    line(600, {}),
    line(420, { level: 40, domain: 'orders', version: '2.0.0', message: 'slow: 1,204 ms', count: 214 }),
    line(61, { ...FAULT, level: 50, requestId: 'r-17', fields: '{"operation":"fetch"}' }),
    line(4, { level: 40, domain: 'cities', version: '1.1.0', message: 'no population is known', requestId: 'r-18' }),
  ];
  const users = [
    {
      id: 'u-1',
      name: 'ann',
      roles: ['operator', 'shop'],
      disabled: false,
      created_at: now - 9e9,
      password_at: now - 9e8,
    },
    { id: 'u-2', name: 'bob', roles: ['viewer'], disabled: false, created_at: now - 8e9, password_at: now - 8e9 },
    { id: 'u-3', name: 'old account', roles: [], disabled: true, created_at: now - 3e10, password_at: now - 3e10 },
  ];
  let sessions: readonly object[] = [
    { address: '192.0.2.7', device: 'Firefox on Linux' },
    { address: '192.0.2.99', device: 'a telephone' },
  ].map((place, index) => ({
    ...{
      id: `s-${String(index)}`,
      user_id: 'u-1',
      place,
      created_at: now - 8e7,
      refreshed_at: now - 6e4,
      idle_until: now + 9e8,
    },
  }));
  return {
    'logs.search': ({ cause }) =>
      lines.filter((each) => cause === undefined || (each as typeof LINE).cause === cause) as never,
    'logs.faults': () => [{ ...FAULT, count: 17, firstAt: now - 1_200_000, lastAt: now - 61_000, lastId: 'x' }],
    'metrics.series': ({ from, to, points, domain }) => {
      const [begin, end] = [Number(from), Number(to)];
      const stepMs = Math.round((end - begin) / Number(points) / 5_000) * 5_000;
      const curve = Array.from({ length: Number(points) }, (_, index) => {
        const wave = 1 + Math.sin(index / 17) / 2 + Math.sin(index / 5) / 9;
        return {
          ...{ at: begin + index * stepMs, calls: Math.round((wave * 41 * stepMs) / 1_000), p50Ms: 2, p99Ms: 40 },
          ...{
            failures: index > 170 && index < 184 ? Math.round(stepMs / 2_000) : 0,
            p95Ms: 8 * wave,
            inFlight: Math.round(4 * wave),
          },
          ...{ waiting: 0, queued: 0, cpuPercent: 22 * wave, swaps: index === 120 ? 1 : 0 },
          // n.b. a domain that shares its threads has no memory of its own.
          memoryMb: domain ? 0 : Math.round(180 + index / 8),
        };
      });
      // Nobody measured in between.
      return { stepMs, points: curve.filter((_, index) => index < 90 || index > 102) };
    },
    'metrics.overview': () => [{ domain: 'cities', node: 'berlin-1', p95Ms: 9.6 }],
    'metrics.objects': ({ name }) => ({
      ...{ since: now - 40 * 86_400_000, days: 90 },
      objects: ['1.0.0', '1.1.0']
        .map((version, index) => ({
          ...{
            store: 'main',
            object: 'city_list',
            kind: 'view',
            domain: 'cities',
            version,
            operation: 'fetch',
            calls: 48_160,
          },
          ...{ callsPerDay: 1_204, failures: 0, p95Ms: 3.4, firstAt: now - 3e9, lastAt: now - (2 - index) * 4e7 },
        }))
        .filter(({ object }) => name === undefined || object === name),
    }),
    'users.fetch': () => users,
    'users.setRoles': ({ id, roles }) => Object.assign(users.find((user) => user.id === id) ?? {}, { roles }) as Json,
    'users.disable': ({ id }) => Object.assign(users.find((user) => user.id === id) ?? {}, { disabled: true }),
    'users.endSessions': ({ id }) => {
      sessions = [];
      return { id: String(id) };
    },
    'sessions.list': () => sessions as never,
  };
}

interface Stage extends TestDashboard {
  readonly nodes: TestNodes;
  readonly node: TestNode;
}

async function stage(t: TestContext, views: readonly DomainView[]): Promise<Stage> {
  const nodes = await openNodes(t, rabbitmq?.url ?? '');
  const node = await nodes.add('berlin-1');
  for (const view of views) node.control.views.set(view.domain, view);
  // n.b. the token says nothing where no admin node is.
  const dashboard = await openDashboard(t, { url: nodes.url, prefix: nodes.prefix }, { ownerToken: 'bo_owner' });
  return { ...dashboard, nodes, node };
}

/** What an admin node would tell of orders, and of what all nodes shall run. */
function deskAnswers(words: string): Readonly<Record<string, unknown>> {
  const at = Date.now();
  const place = { hash: HASH.live, previous: HASH.old, node: 'admin-1', order_id: 'o-1', user_id: 'u-1' };
  const record = (seq: number, more: object): object => ({
    ...{ ...place, seq, id: `a-${String(seq)}`, at: at - (9 - seq) * 60_000, user_name: 'ann', op: 'deploy' },
    ...{
      step: 'asked',
      target: `cities-1.2.0.mjs (sha256 ${HASH.next})`,
      outcome: 'ok',
      words,
      source: 'says ann@desk',
    },
    ...more,
  });
  return {
    audit: {
      records: [
        record(1, {}),
        record(2, { step: 'done', words: `berlin-1: cities 1.2.0 cccccccccccc ${words}` }),
        record(3, { step: 'refused', user_name: 'vera', op: 'undeploy', target: 'cities', outcome: 'BEDS_ADMIN_ROLE' }),
      ],
      last: { seq: 3, hash: HASH.live },
    },
    fleet: {
      revision: 7,
      desired: { cities: { hash: HASH.live, version: '1.1.0', state: 'serve', at, revision: 7 } },
      members: [],
      drift: [],
    },
  };
}

interface Look {
  /** Of a certificate that nobody signed. */
  readonly isTrusting?: true;
  readonly size?: keyof typeof SIZES;
  readonly colours?: 'light' | 'dark';
  /** The clock of the browser is ahead by so much. */
  readonly aheadMs?: number;
}

/** A page of a browser of its own, in which no error is overlooked. */
async function look(
  t: TestContext,
  url: string,
  { size = 'desktop', colours = 'light', isTrusting, aheadMs = 0 }: Look = {},
): Promise<Page> {
  const context = await browser.newContext({
    ...{ viewport: SIZES[size], colorScheme: colours, reducedMotion: 'reduce' },
    ignoreHTTPSErrors: isTrusting === true,
  });
  t.after(() => context.close());
  await context.addInitScript(`{ const now = Date.now; Date.now = () => now() + ${String(aheadMs)}; }`);
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const errors: string[] = [];
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => message.text().includes('Content Security Policy') && errors.push(message.text()));
  page.on('dialog', (dialog) => {
    errors.push(`a script of others ran: ${dialog.message()}`);
    void dialog.dismiss();
  });
  t.after(() => assert.deepEqual(errors, []));
  await page.goto(url);
  return page;
}

async function isWide(page: Page): Promise<boolean> {
  return page.evaluate<boolean>('document.documentElement.scrollWidth > document.documentElement.clientWidth');
}

/** One that may have been carried out, and two that were asked wrongly. */
async function leaveDeadLetters({ model, prefix }: TestNodes): Promise<void> {
  const channel = await model.createChannel();
  const reasons = ['BEDS_STORE_INDETERMINATE', 'BEDS_REQUEST_INVALID', 'BEDS_REQUEST_INVALID'];
  for (const [place, reason] of reasons.entries()) {
    const headers = { 'beds-reason': reason, 'beds-message': `why <b>${String(place)}</b>`, 'beds-since': ago(5) };
    const about = { v: 1, id: `r-${String(place)}`, domain: 'notes', op: 'create' };
    const meta = { client: 'web-shop', session: 'bs_secret' };
    const request = { ...about, payload: { text: `note ${String(place)}` }, meta };
    const body = Buffer.from(JSON.stringify(request));
    channel.publish(makeNames(prefix).dead, 'notes.create', body, { headers, persistent: true });
  }
  await channel.close();
}

describe('the page of the dashboard', { skip }, () => {
  for (const size of ['desktop', 'phone'] as const) {
    for (const colours of ['light', 'dark'] as const) {
      it(`can be read by everybody, ${size}, ${colours}`, async (t) => {
        const { url, node } = await stage(t, [TRIED, PAUSED]);
        node.control.called = [
          { operation: 'fetch', client: 'web-shop', callsPerDay: 120_400 },
          { operation: 'update', client: 'back-office', callsPerDay: 310 },
        ];
        node.control.entries.push(
          {
            at: ago(30),
            domain: 'cities',
            version: '1.1.5',
            hash: HASH.old,
            state: 'rejected',
            findings: [
              {
                code: 'BEDS_ADMISSION_SELF_TEST',
                message: 'Its self-test failed: no city has a name.',
                hint: 'Run `beds check` and look at cities/template.ts:40.',
              },
            ],
          },
          {
            at: ago(180),
            domain: 'cities',
            version: '1.1.0',
            hash: HASH.live,
            state: 'active',
            ms: 412,
            cause: 'deploy',
          },
        );
        const page = await look(t, url, { size, colours });
        const check = async (name: string): Promise<void> => {
          assert.deepEqual(await seriousFindings(page), [], name);
          assert.equal(await isWide(page), false, `${name} is wider than the screen`);
          await picture(page, `${name}-${size}-${colours}`);
        };
        await page.getByRole('heading', { level: 1, name: /^\d things need a look|^One thing/ }).waitFor();
        await page.getByRole('cell', { name: '1.1.0' }).waitFor();
        await check('overview');
        await page.getByRole('navigation').getByRole('link', { name: 'cities' }).click();
        await page
          .getByRole('cell', { name: 'web-shop' })
          .or(page.getByRole('rowheader', { name: 'web-shop' }))
          .waitFor();
        await page.getByText('Its self-test failed').first().waitFor();
        assert.equal(await page.title(), 'cities – BEDS');
        await check('domain');
        await page.getByRole('button', { name: 'Promote' }).click();
        await page.getByRole('heading', { name: 'Let cities 1.2.0 take over?' }).waitFor();
        await check('promote');
        await page.keyboard.press('Escape');
        await page.getByRole('dialog').waitFor({ state: 'detached' });
        await page.getByRole('navigation').getByRole('link', { name: 'Nodes' }).click();
        await page.getByRole('heading', { name: 'berlin-1' }).waitFor();
        await check('nodes');
        await page.getByRole('button', { name: 'Sign out' }).click();
        await page.getByRole('heading', { name: 'Sign in' }).waitFor();
        await page.getByLabel('Key').waitFor();
        await check('signed-out');
      });
    }
  }

  it('is used without a mouse: what an order will do is named, and given by the keyboard', async (t) => {
    const { url, node } = await stage(t, [TRIED]);
    const page = await look(t, url);
    await page.getByRole('heading', { level: 1 }).waitFor();
    const until = async (name: string): Promise<void> => {
      for (let presses = 0; presses < 60; presses += 1) {
        await page.keyboard.press('Tab');
        const focused = await page.evaluate<string>(`document.activeElement?.textContent?.trim() ?? ''`);
        if (focused === name) return;
      }
      assert.fail(`Tab never comes to ${name}`);
    };
    await page.keyboard.press('Shift+Tab');
    await until('cities');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'cities' }).waitFor();
    await until('Take out of service …');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Take cities out of service?' });
    await dialog.getByText('callers get an error').waitFor();
    const give = dialog.getByRole('button', { name: 'Take cities out of service' });
    assert.equal(await give.isDisabled(), true);
    await dialog.getByRole('textbox').fill('citis');
    assert.equal(await give.isDisabled(), true);
    await dialog.getByRole('textbox').fill('cities');
    await until('Leave it as it is');
    await until('Take cities out of service');
    await page.keyboard.press('Enter');
    await page.getByText('undeploy of cities 1.1.0 accepted.').waitFor();
    assert.deepEqual(node.control.commands, [{ op: 'undeploy', about: 'cities' }]);
  });

  for (const minutes of [-7, 7]) {
    it(`gives orders by the clock of the server, and asks by it, where that of the browser is wrong by ${String(minutes)} minutes`, async (t) => {
      const { url, node, nodes } = await stage(t, [TRIED]);
      const asked = await serveKept(nodes, keptOperations());
      const page = await look(t, url, { aheadMs: minutes * 60_000 });
      await page.getByRole('link', { name: 'cities' }).first().click();
      await page.getByRole('button', { name: 'Pause rollouts …' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Pause cities' }).click();
      await page.getByText('pause of cities 1.1.0 accepted.').waitFor();
      assert.deepEqual(node.control.commands, [{ op: 'pause', about: 'cities' }]);
      const faults = asked.filter(({ op }) => op === 'faults');
      assert.ok(faults.length > 0);
      for (const { payload } of faults) {
        const { since } = payload as { readonly since: number };
        const hours = (Date.now() - since) / 3_600_000;
        assert.ok(Math.min(Math.abs(hours - 1), Math.abs(hours - 24)) < 0.05, `${hours.toFixed(2)} hours`);
      }
    });
  }

  it('shows text of others as text: in a domain, a version, an error, a node', async (t) => {
    const script = '<img src=x onerror=alert(1)><script>alert(2)</script>';
    const { url, node, nodes, origin } = await stage(t, []);
    await nodes.add(`n${script}`);
    const live = { version: `1.0.0${script}`, hash: `"${script}`, state: 'active', since: script } as const;
    const finding = { code: script, message: `x${script}`, hint: script };
    node.control.views.set('notes', {
      ...{ domain: 'notes', live, degraded: [finding], kept: [{ version: script, hash: script, at: script }] },
      candidate: { ...live, state: 'rejected', findings: [finding] },
    });
    node.control.views.set(`d${script}`, { domain: `d${script}`, live });
    node.control.views.set('javascript:alert(3)', { domain: 'javascript:alert(3)', live });
    node.control.entries.push({
      at: ago(1),
      domain: 'notes',
      version: script,
      hash: script,
      state: 'rejected',
      findings: [finding],
    });
    node.control.quarantined = [
      { domain: 'notes', version: script, hash: script, since: script, code: script, message: script },
    ];
    node.control.called = [{ operation: script, client: script, callsPerDay: 1 }];
    const page = await look(t, url);
    await page.getByText(`d${script}`).first().waitFor();
    for (const link of await page.getByRole('link').all()) {
      assert.equal(new URL((await link.getAttribute('href')) ?? '', page.url()).origin, origin);
    }
    await page.getByRole('navigation').getByRole('link', { name: 'notes' }).click();
    await page.getByText(`x${script}`).first().waitFor();
    await page.getByRole('navigation').getByRole('link', { name: 'Nodes' }).click();
    await page.getByRole('heading', { name: `n${script}` }).waitFor();
    assert.equal(await page.locator('img, main script').count(), 0);
  });

  it('shows text of others as text: in a line of the log, a fault, an object, a user, a session, the audit', async (t) => {
    const script = '<img src=x onerror=alert(1)><script>alert(2)</script>';
    const { url, nodes } = await stage(t, [TRIED]);
    const hostile = {
      ...{ message: `said ${script}`, domain: script, version: script, code: script, place: script, node: script },
      ...{ requestId: script, traceId: script, cause: script.slice(0, 16), fields: JSON.stringify({ script }) },
    };
    const kept = keptOperations();
    const user = { id: 'u-1', name: `user ${script}`, roles: [script, 'viewer'], disabled: false };
    const place = { address: script, device: `device ${script}` };
    await serveKept(nodes, {
      ...kept,
      'logs.search': () => [{ ...LINE, id: '0abcdefgh-a-1', at: Date.now(), ...hostile, level: 50 }],
      'logs.faults': () => [{ ...hostile, count: 1, firstAt: Date.now(), lastAt: Date.now(), lastId: 'x' }],
      'metrics.objects': () => ({
        ...{ since: Date.now() - 9e8, days: 90 },
        objects: [
          {
            ...{ store: script, object: `object ${script}`, kind: 'view', domain: script, version: script },
            ...{ operation: script, calls: 1, callsPerDay: 1, failures: 0, p95Ms: 1, firstAt: 1, lastAt: Date.now() },
          },
        ],
      }),
      'users.fetch': () => [{ ...user, created_at: 1, password_at: 1 }],
      'sessions.list': () => [
        { id: script, user_id: script, place, created_at: 1, refreshed_at: 1, idle_until: Date.now() + 1e6 },
      ],
    });
    await serveDesk(nodes, deskAnswers(`words ${script} \`${script}\``));
    const page = await look(t, url);
    const go = (name: string): Promise<void> =>
      page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true }).click();
    const check = async (text: string): Promise<void> => {
      await page.getByText(`${text} ${script}`).first().waitFor();
      assert.equal(await page.locator('img, main script, dialog script').count(), 0, text);
    };
    await go('Logs');
    await page.getByText(`said ${script}`).click();
    await check('said');
    await page.getByRole('link', { name: script }).click();
    await eventually('the address has the request', async () =>
      page.url().includes(new URLSearchParams({ request: script }).toString()),
    );
    await check('said');
    await go('Faults');
    await check('said');
    await page.getByRole('link', { name: 'log lines' }).click();
    await check('said');
    await go('Database objects');
    await check('object');
    await page.getByRole('link', { name: `object ${script}` }).click();
    await page.getByRole('heading', { name: `May object ${script} be dropped?` }).waitFor();
    await check('object');
    await go('Users');
    await check('user');
    await page.getByRole('button', { name: 'Roles' }).click();
    await page.getByRole('dialog').getByText(script).first().waitFor();
    await check('user');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Sessions' }).click();
    await check('device');
    await page.keyboard.press('Escape');
    await go('Audit');
    await check('words');
  });

  for (const size of ['desktop', 'phone'] as const) {
    it(`tells a stranger on its first page what is live where, why a version was refused, who calls, and what failed in which line, ${size}`, async (t) => {
      const { url, nodes, node } = await stage(t, []);
      const other = await nodes.add('berlin-2');
      const reason = { code: 'BEDS_ADMISSION_SELF_TEST', message: 'Its self-test failed: no city has a name.' };
      const refused = {
        version: '1.2.0',
        hash: HASH.next,
        state: 'rejected',
        since: ago(9),
        findings: [reason],
      } as const;
      for (const { control } of [node, other]) {
        control.views.set('cities', {
          domain: 'cities',
          live: { version: '1.1.0', hash: HASH.live, state: 'active', since: ago(180) },
          candidate: refused,
        });
        control.called = [{ operation: 'fetch', client: 'web-shop', callsPerDay: 120_400 }];
        control.metrics = 'beds_requests_total{domain="cities",version="1.1.0",outcome="ok"} 10\n';
      }
      await serveKept(nodes, keptOperations());
      const page = await look(t, url, { size });
      await page.getByRole('row', { name: /cities 1\.1\.0 on berlin-1, berlin-2 .* web-shop/ }).waitFor();
      await page.getByText('cities 1.2.0 was refused: Its self-test failed: no city has a name.').waitFor();
      const failed = page.getByRole('region', { name: 'What failed' }).first();
      let count = 0;
      await eventually('what failed, and where', async () => {
        count += 1;
        const series = (outcome: string): string =>
          `beds_requests_total{domain="cities",version="1.1.0",outcome="${outcome}"} ${String(count)}\n`;
        other.control.metrics = `${series('ok')}${series('fault')}${series('not-found')}`;
        return failed.getByRole('row', { name: /^cities 1\.1\.0 berlin-2 its code failed [1-9]/ }).isVisible();
      });
      const lines = page.getByRole('region', { name: 'Faults' });
      await lines.getByRole('row', { name: /^cities 1\.1\.0 .*cities\/template\.ts:40/ }).waitFor();
      await page.getByRole('heading', { name: 'In which line of code, in the last hour' }).waitFor();
      // Of numbers it is said over which time they are, and it is the same time everywhere.
      const headline = await page.getByRole('heading', { level: 1 }).innerText();
      const [, over = ''] = / failures in (the last minute|the last \d+ minutes)$/.exec(headline) ?? [];
      await page.getByText(new RegExp(`requests of cities failed in ${over}\\.`)).waitFor();
      for (const name of ['What failed', 'Requests and failures']) {
        const section = page.locator('section', { has: page.getByRole('heading', { name, exact: true }) });
        await section.getByText(new RegExp(`^In ${over}: since \\d\\d:\\d\\d, when this dashboard`)).waitFor();
      }
      await page.getByText(`Failed: in ${over}. 95 % within: in the last 3 minutes.`).waitFor();
      // What a person came for is before what draws the eye.
      const top = async (name: string): Promise<number> =>
        (await page.getByRole('heading', { name, exact: true }).boundingBox())?.y ?? NaN;
      assert.ok((await top('Domains')) < (await top('What failed')));
      assert.ok((await top('What failed')) < (await top('Requests and failures')));
      await page.getByText('Signed in with').waitFor();
      await page.getByLabel('Colours').waitFor();
      assert.equal(await page.getByLabel('Colours').locator('option').first().innerText(), 'as on this device');
      assert.equal(await isWide(page), false);
      assert.deepEqual(await seriousFindings(page), []);
      await picture(page, `stranger-${size}`);
      await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'cities' }).click();
      await page.getByRole('link', { name: 'Who calls it' }).click();
      await page.getByRole('row', { name: /^web-shop fetch 240,800/ }).waitFor();
      const callers = page.getByRole('heading', { name: 'Who calls it' });
      await eventually('it is on the screen', async () => {
        const box = await callers.boundingBox();
        return box !== null && box.y >= 0 && box.y < SIZES[size].height;
      });
      await picture(page, `stranger-domain-${size}`);
    });
  }

  it('does not say that there is nothing while it does not know, and goes on by itself', async (t) => {
    const { url, node } = await stage(t, [TRIED]);
    const answer = node.control.callers.bind(node.control);
    node.control.callers = () => {
      throw new TypeError('it cannot be said now');
    };
    const page = await look(t, url);
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'cities' }).click();
    await page.getByRole('alert').waitFor();
    const nothing = /Nobody has called it yet|Nothing has happened yet|None: the live version/;
    assert.equal(await page.getByText(nothing).count(), 0);
    node.control.callers = answer;
    await page.getByText('Nobody has called it yet').waitFor();
    await page.getByText('Nothing has happened yet').waitFor();
  });

  for (const [size, colours] of [
    ['desktop', 'light'],
    ['phone', 'dark'],
    ['desktop', 'dark'],
    ['phone', 'light'],
  ] as const) {
    it(`can be read by everybody while it loads, where nothing is there, and where something is broken, ${size}, ${colours}`, async (t) => {
      const { url, nodes, node } = await stage(t, []);
      const page = await look(t, url, { size, colours });
      await page.getByText('No domain is served yet.').waitFor();
      const names = ['Nodes', 'Faults', 'Logs', 'Graphs', 'Database objects', 'Dead letters', 'Users', 'Audit'];
      const visit = async (state: string, shown: (name: string) => Promise<void>): Promise<void> => {
        for (const name of names) {
          const link = page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true });
          await link.click();
          await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
          await shown(name);
          assert.deepEqual(await seriousFindings(page), [], `${name}, ${state}`);
          assert.equal(await isWide(page), false, `${name}, ${state}, is wider than the screen`);
          await picture(page, `${state}-${name.toLowerCase().replace(' ', '-')}-${size}-${colours}`);
        }
      };
      const questions = /\/api\/(kept|dead|audit|domains)/;
      // Nobody answers: the test lets the requests go when it ends.
      await page.route(questions, () => undefined);
      await visit('loading', async (name) => {
        if (name !== 'Nodes') await page.getByText('Asking the nodes …').first().waitFor();
      });
      await page.unroute(questions);
      const problem = { code: 'BEDS_STORE_UNAVAILABLE', message: 'The store is away.', hint: 'Run `beds status`.' };
      await page.route(questions, (route) => route.fulfill({ status: 503, json: { problem } }));
      await visit('broken', async (name) => {
        if (name !== 'Nodes') await page.getByRole('alert').getByText('The store is away.').waitFor();
      });
      node.control.views.set('cities', TRIED);
      await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'cities' }).click();
      await page.getByRole('alert').first().waitFor();
      assert.deepEqual(await seriousFindings(page), [], 'a domain, broken');
      await page.unroute(questions);
      node.control.views.delete('cities');
      await serveKept(nodes, {
        ...{ 'logs.*': () => [], 'users.*': () => [], 'metrics.series': () => ({ stepMs: 60_000, points: [] }) },
        ...{ 'metrics.overview': () => [], 'metrics.objects': () => ({ since: null, days: 90, objects: [] }) },
      });
      await serveDesk(nodes, {
        audit: { records: [], last: { seq: 0, hash: '' } },
        fleet: { revision: 0, desired: {}, members: [], drift: [] },
      });
      await visit('empty', async (name) => {
        if (name !== 'Nodes') await page.locator('.empty').first().waitFor();
      });
    });
  }

  it('lists dead letters with their reasons, shows one, sends some again and drops others', async (t) => {
    const { url, nodes } = await stage(t, []);
    const channel = await nodes.model.createChannel();
    const { dead, requests } = makeNames(nodes.prefix);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, requests, 'notes.#');
    const sent: string[] = [];
    await channel.consume(queue, (message) => message && sent.push(message.content.toString()), { noAck: true });
    await leaveDeadLetters(nodes);
    const page = await look(t, url, { size: 'phone' });
    await page.getByRole('link', { name: 'Dead letters' }).click();
    await page.getByRole('row', { name: /notes\.create BEDS_REQUEST_INVALID 2/ }).waitFor();
    assert.deepEqual(await seriousFindings(page), []);
    assert.equal(await isWide(page), false);
    await page
      .getByRole('row', { name: /why <b>0<\/b>/ })
      .getByRole('button', { name: 'Look into' })
      .click();
    const letter = page.getByRole('dialog', { name: 'A letter of notes.create' });
    await letter.getByText('note 0').waitFor();
    assert.doesNotMatch((await letter.textContent()) ?? '', /bs_secret/);
    assert.deepEqual(await seriousFindings(page), []);
    await letter.getByRole('button', { name: 'Close' }).click();
    await page
      .getByRole('row', { name: /why <b>0<\/b>/ })
      .getByRole('button', { name: 'Send again' })
      .click();
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /^Send the letter \w{16} of notes\.create again$/ })
      .click();
    await eventually('it is sent again', () => sent.some((text) => text.includes('note 0')));
    await page
      .getByRole('row', { name: /BEDS_REQUEST_INVALID 2/ })
      .getByRole('button', { name: 'Drop all' })
      .click();
    await page.getByRole('dialog').getByRole('textbox').fill('drop');
    await page.getByRole('dialog').getByRole('button', { name: 'Drop 2 letters of notes.create' }).click();
    await page.getByText('There are none.').waitFor();
    assert.equal((await channel.checkQueue(dead)).messageCount, 0);
    assert.equal(sent.length, 1);
  });

  for (const size of ['desktop', 'phone'] as const) {
    for (const colours of ['light', 'dark'] as const) {
      it(`shows what is kept: lines, faults, curves, objects and users, ${size}, ${colours}`, async (t) => {
        const { url, nodes, node } = await stage(t, [TRIED, PAUSED]);
        const live = { store: 'main', domain: 'cities', version: '1.1.0', state: 'live' } as const;
        node.control.declared.push({ ...live, object: 'city_archive', kind: 'procedure', alias: 'archive' });
        node.control.declared.push({ ...live, object: 'city_list', kind: 'view', alias: 'fetch' });
        const asked = await serveKept(nodes, keptOperations());
        await serveDesk(nodes, deskAnswers(''));
        await leaveDeadLetters(nodes);
        const page = await look(t, url, { size, colours });
        const go = (name: string): Promise<void> =>
          page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
        const check = async (name: string): Promise<void> => {
          assert.deepEqual(await seriousFindings(page), [], name);
          assert.equal(await isWide(page), false, `${name} is wider than the screen`);
          await picture(page, `${name}-${size}-${colours}`);
        };
        await go('Faults');
        await page.getByRole('row', { name: /cities 1\.1\.0 .*cities\/template\.ts:40/ }).waitFor();
        await check('faults');
        await page.getByRole('link', { name: 'log lines' }).first().click();
        await page.getByRole('heading', { level: 1, name: 'Logs' }).waitFor();
        await page.getByText('no city has this id').first().waitFor();
        assert.equal(new URL(page.url()).searchParams.get('cause'), 'c0ffee');
        await page.getByRole('button', { name: 'Not only this fault' }).click();
        await page.getByText('a line of the host').waitFor();
        await page.getByText('no city has this id').first().click();
        await page.getByRole('definition').filter({ hasText: 'r-17' }).waitFor();
        await check('logs');
        await page.getByLabel('Level').selectOption('50');
        await eventually('only errors are asked for', () =>
          asked.some(({ op, payload }) => op === 'search' && (payload as { level?: number }).level === 50),
        );
        await go('Graphs');
        await page
          .getByText(/most [\d.]+ a second/)
          .first()
          .waitFor();
        await page.getByText(/most \d+ MB/).waitFor();
        await check('graphs');
        await page.getByLabel('Over').selectOption('31536000');
        await page.getByRole('combobox', { name: 'Domain' }).selectOption('cities');
        await page.getByText(/most \d+ MB/).waitFor({ state: 'detached' });
        await check('graphs-year');
        await page.getByText('Memory is known of a domain that has threads of its own').waitFor();
        await go('Dead letters');
        await page.getByRole('row', { name: /notes\.create BEDS_REQUEST_INVALID 2/ }).waitFor();
        await check('dead-letters');
        await go('Audit');
        await page.getByRole('row', { name: /vera undeploy cities .* BEDS_ADMIN_ROLE/ }).waitFor();
        await check('audit');
        await go('Database objects');
        await page.getByRole('row', { name: /city_archive main cities 1\.1\.0 .*never/ }).waitFor();
        await page.getByRole('link', { name: 'city_list' }).first().click();
        await page.getByRole('heading', { name: 'May city_list be dropped?' }).waitFor();
        await page.getByText(/It was last called/).waitFor();
        await check('objects');
        await go('Users');
        await page.getByRole('row', { name: /ann operator, shop may sign in/ }).waitFor();
        await check('users');
        await page.getByRole('row', { name: /^ann/ }).getByRole('button', { name: 'Roles' }).click();
        await page
          .getByRole('dialog')
          .getByRole('checkbox', { name: /^viewer/ })
          .check();
        await check('roles');
        await page.getByRole('button', { name: 'Set the roles of ann' }).click();
        await page.getByText('ann has the roles viewer, operator, shop now.').waitFor();
        await page.getByRole('row', { name: /^bob/ }).getByRole('button', { name: 'Disable' }).click();
        await page.getByRole('dialog').getByRole('button', { name: 'Disable bob' }).click();
        await page.getByText('bob is disabled.').waitFor();
        await page.getByRole('row', { name: /^ann/ }).getByRole('button', { name: 'Sessions' }).click();
        await page.getByRole('dialog').getByText('Firefox on Linux').waitFor();
        await check('sessions');
        await page.getByRole('dialog').getByRole('button', { name: 'End 2 sessions' }).click();
        await page.getByRole('dialog').getByText('ann is signed in nowhere.').waitFor();
        const orders = asked.filter(({ op }) => ['setRoles', 'disable', 'endSessions'].includes(op));
        assert.deepEqual(
          orders.map(({ domain, op, payload }) => ({ domain, op, payload })),
          [
            { domain: 'users', op: 'setRoles', payload: { id: 'u-1', roles: ['viewer', 'operator', 'shop'] } },
            { domain: 'users', op: 'disable', payload: { id: 'u-2' } },
            { domain: 'users', op: 'endSessions', payload: { id: 'u-1' } },
          ],
        );
      });
    }
  }

  it('says so where nothing is kept, and is not alarmed', async (t) => {
    const { url, nodes } = await stage(t, []);
    const unknown: Operation = () => {
      throw Object.assign(new Error('x'), { code: 'BEDS_REQUEST_UNKNOWN_DOMAIN', status: 'not-found' });
    };
    await serveKept(nodes, { 'logs.*': unknown, 'metrics.*': unknown, 'users.*': unknown });
    const page = await look(t, url);
    for (const name of ['Logs', 'Faults', 'Graphs', 'Users']) {
      await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
      await page.getByText('Nothing is kept here.').waitFor();
      assert.equal(await page.getByRole('alert').count(), 0, name);
      assert.deepEqual(await seriousFindings(page), [], name);
    }
    await page.getByRole('navigation').getByRole('link', { name: 'Database objects' }).click();
    await page.getByText('No version has an object of a store in its code.').waitFor();
  });

  it('says so where no admin node keeps an audit', async (t) => {
    const { url } = await stage(t, []);
    const page = await look(t, url);
    await page.getByRole('link', { name: 'Audit' }).click();
    await page
      .getByRole('alert')
      .getByText(/BEDS_ADMIN_(NO_DESK|SIGN_IN)/)
      .waitFor();
    assert.deepEqual(await seriousFindings(page), []);
  });

  it('says when nothing is there, when nobody answers, and goes on by itself', async (t) => {
    const { url, node, nodes } = await stage(t, []);
    const page = await look(t, url);
    await page.getByText('No domain is served yet.').waitFor();
    assert.deepEqual(await seriousFindings(page), []);
    await picture(page, 'empty-desktop-light');
    await page.goto(`${url.replace(/#.*/, '')}domains/notes`);
    await page.getByText('No node serves notes or tries to.').waitFor();
    await page.goto(`${url.replace(/#.*/, '')}nowhere`);
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await page.goto(url.replace(/#.*/, ''));
    node.control.views.set('notes', {
      domain: 'notes',
      live: { version: '1.0.0', hash: HASH.live, state: 'active', since: ago(0) },
    });
    await page.getByRole('row', { name: /notes 1\.0\.0/ }).waitFor();
    await nodes.close();
    await page.getByText('The node berlin-1 no longer answers.').waitFor();
    await picture(page, 'trouble-desktop-light');
    assert.deepEqual(await seriousFindings(page), []);
  });

  it('says when the dashboard itself is away, and from when its numbers are', async (t) => {
    const { url, close } = await stage(t, [TRIED]);
    const page = await look(t, url);
    await page.getByRole('cell', { name: '1.1.0' }).waitFor();
    await close();
    await page.getByText('The dashboard does not answer.').waitFor({ timeout: 30_000 });
    assert.deepEqual(await seriousFindings(page), []);
    await picture(page, 'away-desktop-light');
  });

  it('is reached over TLS, with a cookie that goes nowhere else', async (t) => {
    const folder = temporaryDirectory(t);
    const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
    const made = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-keyout',
      key ?? '',
      '-out',
      cert ?? '',
    ];
    execFileSync('openssl', ['req', '-x509', ...made, '-subj', '/CN=localhost', '-days', '2', '-nodes'], {
      stdio: 'ignore',
    });
    const tls = { cert: readFileSync(cert ?? '', 'utf8'), key: readFileSync(key ?? '', 'utf8') };
    const nodes = await openNodes(t, rabbitmq?.url ?? '');
    const node = await nodes.add('berlin-1');
    node.control.views.set('cities', TRIED);
    const { url, origin } = await openDashboard(t, { url: nodes.url, prefix: nodes.prefix }, { tls });
    const page = await look(t, url, { isTrusting: true });
    await page.getByRole('cell', { name: '1.1.0' }).waitFor();
    const [cookie] = await page.context().cookies();
    assert.match(cookie?.name ?? '', /^__Host-beds-/);
    assert.deepEqual([cookie?.secure, cookie?.httpOnly, cookie?.sameSite], [true, true, 'Strict']);
    const answer = await page.request.get(`${origin}/`);
    assert.match(answer.headers()['strict-transport-security'] ?? '', /^max-age=\d{7,}/);
    await page.goto(`${origin}/domains/cities`);
    await page.getByRole('button', { name: 'Pause rollouts' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Pause cities' }).click();
    await page.getByText('pause of cities 1.1.0 accepted.').waitFor();
    await assert.rejects(fetch(origin.replace('https', 'http')), 'without TLS nothing is said');
  });

  it('shows fifty browsers the same at once: ten pages, and forty streams', async (t) => {
    const { url, origin, node, signIn } = await stage(t, [TRIED, PAUSED]);
    const pages: Page[] = [];
    for (let count = 0; count < 10; count += 1) pages.push(await look(t, url));
    const cookie = await signIn();
    const stop = new AbortController();
    t.after(() => stop.abort());
    const seen = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const { body } = await fetch(`${origin}/api/stream`, { headers: { cookie }, signal: stop.signal });
        const heard = { text: '' };
        const read = async (): Promise<void> => {
          for await (const chunk of body ?? []) heard.text += Buffer.from(chunk).toString();
        };
        read().catch(() => undefined);
        return heard;
      }),
    );
    await Promise.all(pages.map((page) => page.getByRole('cell', { name: '1.1.0' }).waitFor()));
    node.control.note({ domain: 'cities', version: '1.9.0', hash: HASH.next }, { state: 'active' });
    const begun = performance.now();
    await Promise.all(pages.map((page) => page.getByRole('cell', { name: '1.9.0' }).waitFor()));
    await eventually('every stream tells it', () => seen.every(({ text }) => text.includes('"1.9.0"')));
    t.diagnostic(`all of them after ${(performance.now() - begun).toFixed(0)} ms`);
  });

  it('refuses what is no bundle before it reads it, in words', async (t) => {
    const { url, node } = await stage(t, [TRIED]);
    const page = await look(t, url);
    await page.getByRole('cell', { name: '1.1.0' }).waitFor();
    const drop = (name: string, size: number): Promise<void> =>
      page.locator('input[type=file]').setInputFiles({ name, mimeType: 'application/zip', buffer: Buffer.alloc(size) });
    await drop('cities.zip', 100);
    await page.getByRole('dialog').getByText('cities.zip is no part of a bundle.').waitFor();
    assert.deepEqual(await seriousFindings(page), []);
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await drop('cities.mjs', 3_000_000);
    await page.getByRole('dialog').getByText('That is 2.9 MB, and a bundle may have 1.0 MB at most.').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    assert.deepEqual(node.control.commands, []);
  });

  it('lets nobody in by a wrong key, and says why', async (t) => {
    const { origin } = await stage(t, []);
    const page = await look(t, `${origin}/#key=wrong`);
    await page.getByText('This is not the key of the host.').waitFor();
    assert.equal(new URL(page.url()).hash, '');
    assert.deepEqual(await seriousFindings(page), []);
    await eventually('it can be tried again', () => page.getByLabel('Key').isVisible());
  });
});
