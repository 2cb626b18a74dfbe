import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { beds } from './support/beds.js';
import { type BundleOptions, describeBundle } from './support/bundles.js';
import { FAILS, noteVersion, startCanaryHost, type CanaryHost } from './support/canary.js';
import { openBrowser } from './support/chromium.js';
import { Crowd } from './support/crowd.js';
import { picture, seriousFindings } from './support/dashboard.js';
import { makeOrderNodes, PASSWORD } from './support/order-nodes.js';
import type { HostProcess } from './support/host-process.js';
import { sharedServices, temporaryDirectory, wholeFile } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const opened = await openBrowser(wholeFile);
const skip = typeof opened === 'string' ? opened : false;
const browser = opened as Browser;

const WAIT_MS = 40_000;

const PEOPLE = { ann: ['operator'], vera: ['viewer'], nobody: [] } as const;
const tokenOf = (name: string): string => `bs_${name.padEnd(43, 'x')}`;
const hashes = Object.keys(PEOPLE).map((name) => [createHash('sha256').update(tokenOf(name)).digest('hex'), name]);

/** People who sign in with the password `right`, without a store: their tokens say who they are. */
const ACCOUNTS: BundleOptions = {
  ...{ domain: 'sessions', name: 'sessions.mjs', form: 'file', objects: {} },
  head: `
    const ROLES = ${JSON.stringify(PEOPLE)};
    const NAMES = ${JSON.stringify(Object.fromEntries(hashes))};
    const ENDED = new Set();
    const tokenOf = (name) => 'bs_' + name.padEnd(43, 'x');
    const grantOf = (name) => ({
      token: tokenOf(name), refresh: 'br_' + name.padEnd(64, 'x'), session: 's-' + name,
      user: { id: name, name, roles: ROLES[name] }, expiresAt: Date.now() + 1800000,
    });`,
  operations: {
    signIn: {
      mode: 'read',
      args: { name: { type: 'string' }, password: { type: 'string' }, where: { type: 'json' } },
      run: `
        if (input.password === 'right' && input.name in ROLES) { ENDED.delete(input.name); return grantOf(input.name); }
        throw Object.assign(new Error('Name or password is wrong.'), {
          [Symbol.for('beds.error')]: true, code: 'BEDS_TEMPLATE_REFUSED', status: 'forbidden', verdict: 'ack', retryable: false });`,
    },
    refresh: {
      mode: 'read',
      args: { refresh: { type: 'string' } },
      run: `return grantOf(input.refresh.slice(3).replace(/x+$/, ''));`,
    },
    resolve: {
      mode: 'read',
      args: { tokenHash: { type: 'string' } },
      run: `
        const name = NAMES[input.tokenHash];
        if (name === undefined || ENDED.has(name)) return null;
        const until = new Date(Date.now() + 600000).toISOString();
        return { user: { id: name, name, roles: ROLES[name] }, session: 's-' + name, expiresAt: until, idleUntil: until };`,
    },
    list: { mode: 'read', args: { user: { type: 'string' } }, run: 'return [];' },
    signOut: {
      mode: 'read',
      args: { token: { type: 'string' } },
      run: `ENDED.add(input.token.slice(3).replace(/x+$/, '')); return {};`,
    },
  },
  access: { resolve: 'host', signIn: 'anyone', refresh: 'anyone', signOut: 'anyone', list: 'signed-in' },
};

interface Stage extends CanaryHost {
  readonly url: string;
  readonly folder: string;
}

async function stage(t: TestContext, serving: readonly BundleOptions[] = [noteVersion('1.0.0')]): Promise<Stage> {
  const config = { node: { name: 'berlin-1' }, dashboard: { enabled: true, port: 0 } };
  const canary = await startCanaryHost(t, { services, config, serving });
  const { dashboard } = canary.host.host;
  assert.ok(dashboard);
  return { ...canary, url: dashboard.urlWithKey, folder: temporaryDirectory(t) };
}

async function look(t: TestContext, url: string, isPhone = false): Promise<Page> {
  const viewport = isPhone ? { width: 390, height: 844 } : { width: 1_280, height: 800 };
  const context = await browser.newContext({ viewport });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.goto(url);
  return page;
}

/** A file as `beds build --file` writes it. */
function builtFile(folder: string, options: BundleOptions): string {
  const { name, files } = describeBundle({ ...options, form: 'file' });
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, files.get(name) ?? '');
  return path;
}

interface Deployed {
  readonly domain?: string;
  readonly file: string;
  readonly version: string;
  readonly canary: readonly [percent: string, minutes: string];
}

async function deploy(page: Page, { domain = 'notes', file, version, canary }: Deployed): Promise<void> {
  await page.locator('input[type=file]').setInputFiles(file);
  const dialog = page.getByRole('dialog', { name: `Deploy ${domain} ${version}?` });
  await dialog.waitFor();
  await dialog.getByRole('combobox', { name: 'answer' }).selectOption(canary[0]);
  await dialog.getByRole('combobox', { name: /^for/ }).selectOption(canary[1]);
  assert.deepEqual(await seriousFindings(page), []);
  await picture(page, `deploy-${version}`);
  await dialog.getByRole('button', { name: `Deploy ${domain} ${version}` }).click();
  await dialog.waitFor({ state: 'detached' });
}

describe('the dashboard of a host', { skip, timeout: 600_000 }, () => {
  for (const isPhone of [false, true]) {
    it(`leads through a bad version, a good one and the way back, ${isPhone ? 'on a phone' : 'at a desk'}`, async (t) => {
      const { host, url, folder } = await stage(t);
      const crowd = await Crowd.start(t, host, { clients: 20, pauseMs: 50 });
      const page = await look(t, url, isPhone);
      const size = isPhone ? '-phone' : '';
      await page.getByRole('heading', { level: 1, name: /^All is well: 1 node, 1 domain, 0 failures/ }).waitFor();
      await page.getByRole('navigation').getByRole('link', { name: 'notes' }).click();

      const broken = { ...noteVersion('1.0.5'), body: { selfTest: `throw new Error('no note has <b>text</b>');` } };
      await page.locator('input[type=file]').setInputFiles(builtFile(folder, broken));
      const refusal = page.getByRole('dialog', { name: 'notes.mjs would be refused' });
      await refusal.getByText('no note has <b>text</b>').waitFor();
      assert.deepEqual(await seriousFindings(page), []);
      await picture(page, `refused${size}`);
      await refusal.getByRole('button', { name: 'Close' }).click();

      await deploy(page, {
        file: builtFile(folder, noteVersion('1.1.0', FAILS)),
        version: '1.1.0',
        canary: ['20', '5'],
      });
      await page
        .getByText(/against 0\.0 %/)
        .first()
        .waitFor();
      await page.getByText('in quarantine').first().waitFor();
      await picture(page, `quarantined${size}`);

      await deploy(page, { file: builtFile(folder, noteVersion('1.2.0')), version: '1.2.0', canary: ['5', '30'] });
      await page.getByRole('heading', { name: 'On trial now' }).waitFor();
      await page.getByRole('row', { name: /^1\.2\.0, new [1-9]/ }).waitFor();
      await picture(page, `trial${size}`);
      await page.getByRole('button', { name: 'Promote …' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Promote notes 1.2.0' }).click();
      await page.getByText('1.2.0 is live on 1 of 1 nodes').waitFor();
      await host.active('notes', '1.2.0');
      await page.getByRole('button', { name: 'Roll back to 1.0.0 …' }).first().click();
      await page.getByRole('dialog').getByText('What requests have written stays as it is.').waitFor();
      await page.getByRole('dialog').getByRole('button', { name: 'Roll back notes to 1.0.0' }).click();
      await page.getByText('1.0.0 is live on 1 of 1 nodes').waitFor();

      await page
        .getByRole('rowheader', { name: 'crowd' })
        .or(page.getByRole('row', { name: /version/ }))
        .first()
        .waitFor();
      const failed = page.getByRole('region', { name: 'What failed' });
      await failed.getByRole('row', { name: /1\.1\.0 its code failed/ }).waitFor();
      assert.deepEqual(await seriousFindings(page), []);
      await page.getByRole('navigation').getByRole('link', { name: 'Overview' }).click();
      await page.getByText('requests of notes failed').or(page.getByText('request of notes failed')).waitFor();
      await picture(page, `overview${size}`);
      const seen = await crowd.stop();
      assert.ok(
        seen.filter(({ failure }) => failure !== undefined).every(({ reply }) => reply?.by.version === '1.1.0'),
      );
    });
  }

  it('lets operators order and viewers look, by their accounts, and ends with their session', async (t) => {
    const { url, host } = await stage(t, [noteVersion('1.0.0'), ACCOUNTS]);
    const page = await look(t, url.replace(/#.*/, ''));
    const signIn = async (name: string, password: string): Promise<void> => {
      await page.getByLabel('Name').fill(name);
      await page.getByLabel('Password').fill(password);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    };
    await signIn('ann', 'wrong');
    await page.getByText('Name or password is wrong.').waitFor();
    assert.deepEqual(await seriousFindings(page), []);
    await signIn('vera', 'right');
    await page.getByRole('navigation').getByRole('link', { name: 'notes' }).click();
    await page.getByText('Orders need the role operator.').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Pause rollouts …' }).count(), 0);
    const tried = await page.evaluate(async () => {
      const order = { id: crypto.randomUUID(), at: Date.now(), op: 'undeploy', input: { domain: 'notes' } };
      const sent = { method: 'POST', body: JSON.stringify(order), headers: { 'content-type': 'application/json' } };
      return fetch('/api/order', sent).then(
        async (answer) => ((await answer.json()) as { problem: { code: string } }).problem.code,
      );
    });
    assert.equal(tried, 'BEDS_DASHBOARD_FORBIDDEN');
    assert.equal(await page.evaluate<string>('document.cookie'), '');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await signIn('nobody', 'right');
    await page.getByRole('heading', { name: 'You may not look yet' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await signIn('ann', 'right');
    await page
      .getByRole('button', { name: 'Pause rollouts …' })
      .or(page.getByRole('link', { name: 'notes' }).first())
      .first()
      .click();
    await page.getByRole('button', { name: 'Pause rollouts …' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Pause notes' }).click();
    await page.getByText('rollouts are paused').first().waitFor();
    const client = await host.connectClient();
    await client.domain('sessions').call('signOut', { token: tokenOf('ann') });
    await client.domain('sessions').call('signOut', { token: tokenOf('ann') });
    await page.getByText('Your session has ended.').waitFor();
  });

  it('comes back by itself when its process is lost, and callers notice nothing', async (t) => {
    const { host, url } = await stage(t);
    const printed = await beds(['dashboard'], { projectRoot: dirname(host.pluginsDirectory), env: {} });
    assert.equal(printed.stdout.trim(), url);
    const page = await look(t, url);
    await page.getByRole('heading', { level: 1, name: /^All is well/ }).waitFor();
    const crowd = await Crowd.start(t, host, { clients: 10, pauseMs: 20 });
    const lines = (): number =>
      host.log.filter(({ msg }) => msg === 'the process of the dashboard ended; it is replaced').length;
    for (const pid of childrenOf(process.pid)) process.kill(pid, 'SIGKILL');
    await host.logged('it is replaced', () => lines() === 1);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.goto('about:blank');
    await page.goto(url);
    await page.getByRole('heading', { level: 1, name: /^All is well/ }).waitFor();
    const seen = await crowd.stop();
    assert.deepEqual(
      seen.filter(({ failure }) => failure !== undefined),
      [],
    );
  });
});

describe('the dashboard of an admin node', { skip, timeout: 400_000 }, () => {
  it('comes back by itself after the node was killed in the middle of a rollout, which goes on, and the audit is whole', async (t) => {
    const nodes = await makeOrderNodes(t, services);
    const port = await freePort();
    const startAdmin = (): HostProcess => nodes.start('admin-1', 'admin', { dashboard: { enabled: true, port } });
    let admin = startAdmin();
    const app = nodes.start('app-1', 'app');
    await Promise.all([admin.serving, app.serving]);
    const token = await nodes.signIn('ann', ['operator']);
    const page = await look(t, `http://127.0.0.1:${String(port)}/`);
    await page.getByLabel('Name').fill('ann');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByRole('navigation').getByRole('link', { name: 'seen' }).click();
    const next: BundleOptions = {
      ...{ form: 'file', domain: 'seen', name: 'seen-1.1.0.mjs', version: '1.1.0', store: 'main' },
      objects: { fetch: { kind: 'view', name: 'user_list', columns: { id: { type: 'string' } } } },
    };
    const file = builtFile(temporaryDirectory(t), next);
    await deploy(page, { domain: 'seen', file, version: '1.1.0', canary: ['20', '30'] });
    await page.getByRole('heading', { name: 'On trial now' }).waitFor();
    await admin.kill();
    await page.getByText('The dashboard does not answer.').waitFor();
    assert.deepEqual(await seriousFindings(page), []);
    await picture(page, 'admin-away');
    admin = startAdmin();
    await admin.serving;
    await page.getByText('The dashboard does not answer.').waitFor({ state: 'detached' });
    await page.getByText('1.1.0 answers 20 % of the callers on app-1').waitFor();
    await page.getByRole('button', { name: 'Promote …' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Promote seen 1.1.0' }).click();
    await page.getByText('1.1.0 is live on 1 of 1 nodes').waitFor();
    await page.getByRole('navigation').getByRole('link', { name: 'Nodes', exact: true }).click();
    const desired = page.getByRole('region', { name: 'What all nodes shall run' }).first();
    await desired.getByRole('row', { name: /seen 1\.1\.0 .* none/ }).waitFor();
    await picture(page, 'nodes');
    const verified = await nodes.beds(['audit', 'verify'], { env: { BEDS_SESSION: token } });
    assert.equal(verified.code, 0, verified.printed);
    assert.deepEqual(
      app.log.filter(({ level }) => Number(level) >= 60),
      [],
    );
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

/** Processes of the dashboard that this one started. */
function childrenOf(parent: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [status, command] = [`/proc/${String(pid)}/stat`, `/proc/${String(pid)}/cmdline`].map((path) => {
        try {
          return readFileSync(path, 'utf8');
        } catch {
          return '';
        }
      });
      return (
        status?.split(') ')[1]?.split(' ')[1] === String(parent) && command?.includes('dashboard/process.js') === true
      );
    });
}
