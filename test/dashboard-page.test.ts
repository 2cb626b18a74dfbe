import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { makeNames } from '../host/amqp/names.js';
import type { DomainView } from '../host/admin/views.js';
import { openNodes, type TestNode, type TestNodes } from './support/admin-nodes.js';
import { openBrowser } from './support/chromium.js';
import { openDashboard, picture, seriousFindings, type TestDashboard } from './support/dashboard.js';
import { eventually } from './support/eventually.js';
import { sharedServices, wholeFile } from './support/services.js';

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

interface Stage extends TestDashboard {
  readonly nodes: TestNodes;
  readonly node: TestNode;
}

async function stage(t: TestContext, views: readonly DomainView[]): Promise<Stage> {
  const nodes = await openNodes(t, rabbitmq?.url ?? '');
  const node = await nodes.add('berlin-1');
  for (const view of views) node.control.views.set(view.domain, view);
  const dashboard = await openDashboard(t, { url: nodes.url, prefix: nodes.prefix });
  return { ...dashboard, nodes, node };
}

interface Look {
  readonly size?: keyof typeof SIZES;
  readonly colours?: 'light' | 'dark';
}

/** A page of a browser of its own, in which no error is overlooked. */
async function look(t: TestContext, url: string, { size = 'desktop', colours = 'light' }: Look = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme: colours, reducedMotion: 'reduce' });
  t.after(() => context.close());
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

  it('lists dead letters with their reasons, shows one, sends some again and drops others', async (t) => {
    const { url, nodes } = await stage(t, []);
    const channel = await nodes.model.createChannel();
    const { dead, requests } = makeNames(nodes.prefix);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, requests, '#');
    const sent: string[] = [];
    await channel.consume(queue, (message) => message && sent.push(message.content.toString()), { noAck: true });
    for (const [place, reason] of [
      'BEDS_STORE_INDETERMINATE',
      'BEDS_REQUEST_INVALID',
      'BEDS_REQUEST_INVALID',
    ].entries()) {
      const headers = { 'beds-reason': reason, 'beds-message': `why <b>${String(place)}</b>`, 'beds-since': ago(5) };
      const meta = { client: 'web-shop', session: 'bs_secret' };
      const request = {
        v: 1,
        id: `r-${String(place)}`,
        domain: 'notes',
        op: 'create',
        payload: { text: `note ${String(place)}` },
        meta,
      };
      channel.publish(dead, 'notes.create', Buffer.from(JSON.stringify(request)), { headers, persistent: true });
    }
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

  it('lets nobody in by a wrong key, and says why', async (t) => {
    const { origin } = await stage(t, []);
    const page = await look(t, `${origin}/#key=wrong`);
    await page.getByText('This is not the key of the host.').waitFor();
    assert.equal(new URL(page.url()).hash, '');
    assert.deepEqual(await seriousFindings(page), []);
    await eventually('it can be tried again', () => page.getByLabel('Key').isVisible());
  });
});
