import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { ADMIN_VERSION } from '../host/admin/protocol.js';
import type { DesignView } from '../host/admin/shown.js';
import { openBrowser } from './support/chromium.js';
import { picture, seriousFindings } from './support/dashboard.js';
import { eventually } from './support/eventually.js';
import type { HostProcess } from './support/host-process.js';
import { makeOrderNodes, type OrderNodes, PASSWORD } from './support/order-nodes.js';
import { lastFirst, sharedServices, wholeFile } from './support/services.js';
import { SONGS_ANSWER, SONGS_BRIEF, songsWithYear } from './support/songs-design.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);
const opened = await openBrowser(wholeFile);
const noBrowser = typeof opened === 'string' ? opened : false;
const browser = opened as Browser;

const WAIT_MS = 60_000;
const PEOPLE = { vera: 'viewer', olga: 'operator', dora: 'dba' } as const;
type PersonName = keyof typeof PEOPLE;

interface Stage {
  readonly nodes: OrderNodes;
  readonly origin: string;
  /** Inside of the checkout: a template imports the SDK. */
  readonly designs: string;
  readonly admin: HostProcess;
  /** The admin node once more, after it was lost. */
  again(): HostProcess;
  /** Asks as a page of this person does. */
  ask(name: PersonName | undefined, path: string, body?: object): Promise<{ status: number; answer: Answer }>;
  /** Gives an order about the design as it is now, and waits for its end. */
  step(name: PersonName, step: string, terms?: object): Promise<DesignView>;
}

interface Answer {
  readonly problem?: { readonly code: string; readonly message: string };
}

async function stage(t: TestContext): Promise<Stage> {
  const { mariadb } = services;
  assert.ok(mariadb);
  const nodes = await makeOrderNodes(t, services);
  const designs = resolve('dist', `designed-${String(process.pid)}-${nodes.prefix}`);
  lastFirst(t, () => rmSync(designs, { recursive: true, force: true }));
  const port = await freePort();
  const text = `[amqp]\nurl = "${nodes.url}"\nprefix = "${nodes.prefix}"\n[stores.main]\nkind = "mysql"\nurl = ""\n[state]\ndirectory = ".beds-admin-1"\n`;
  writeFileSync(join(nodes.projectRoot, 'beds.toml'), text);
  const env = {
    BEDS_CONFIG: nodes.projectRoot,
    BEDS_MARIADB_ADMIN_URL: Object.assign(new URL(mariadb.url), { pathname: `/${nodes.prefix}` }).href,
  };
  const again = (): HostProcess =>
    nodes.start('admin-1', 'admin', { dashboard: { enabled: true, port, designs }, env });
  const admin = again();
  await admin.serving;
  const origin = `http://127.0.0.1:${String(port)}`;
  const cookies = new Map<PersonName, string>();
  const cookieOf = async (name: PersonName): Promise<string> => {
    const known = cookies.get(name);
    if (known !== undefined) return known;
    const { headers } = await post(origin, '/api/sign-in', { body: { name, password: PASSWORD } });
    const cookie = (headers.get('set-cookie') ?? '').replace(/;.*/, '');
    cookies.set(name, cookie);
    return cookie;
  };
  for (const [name, role] of Object.entries(PEOPLE)) await nodes.signIn(name, [role]);
  const ask: Stage['ask'] = async (name, path, body) => {
    const cookie = name === undefined ? '' : await cookieOf(name);
    const response =
      body === undefined
        ? await fetch(`${origin}${path}`, { headers: { cookie } })
        : await post(origin, path, { body, cookie });
    // n.b. a session goes on with the next pair of tokens, as in a browser.
    const next = (response.headers.get('set-cookie') ?? '').replace(/;.*/, '');
    if (name !== undefined && next !== '') cookies.set(name, next);
    return { status: response.status, answer: (await response.json()) as Answer };
  };
  const view = async (): Promise<DesignView> =>
    (await ask('vera', '/api/designs/songs')).answer as unknown as DesignView;
  const step: Stage['step'] = async (name, which, terms = {}) => {
    const { mark } = which === 'begin' ? { mark: undefined } : await view();
    const given = await ask(
      name,
      '/api/design',
      order(which, { ...terms, ...(mark === undefined ? {} : { seen: mark }) }),
    );
    assert.deepEqual(given, { status: 200, answer: {} });
    await eventually('the step ends', async () => (await view()).working === undefined, 120_000);
    return view();
  };
  return { nodes, origin, designs, admin, again, ask, step };
}

function order(step: string, terms: object = {}): object {
  return { id: crypto.randomUUID(), at: Date.now(), step, domain: 'songs', ...terms };
}

function post(
  origin: string,
  path: string,
  { body, cookie = '', from = origin }: { readonly body: object; readonly cookie?: string; readonly from?: string },
): Promise<Response> {
  const headers = { origin: from, cookie, 'content-type': 'application/json' };
  return fetch(`${origin}${path}`, { method: 'POST', body: JSON.stringify(body), headers });
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

interface Visitor {
  readonly name: PersonName;
  readonly isPhone?: boolean;
}

async function signIn(t: TestContext, origin: string, { name, isPhone = false }: Visitor): Promise<Page> {
  const viewport = isPhone ? { width: 390, height: 844 } : { width: 1_400, height: 900 };
  const context = await browser.newContext({ viewport });
  lastFirst(t, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.goto(`${origin}/designs`);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Designs' }).waitFor();
  return page;
}

const LOOKS = [
  { size: 'phone', colours: 'dark', viewport: { width: 390, height: 844 } },
  { size: 'desktop', colours: 'dark', viewport: { width: 1_400, height: 900 } },
  { size: 'desktop', colours: 'light', viewport: { width: 1_400, height: 900 } },
] as const;

/** By everybody, on every screen: what it was before, it is afterwards. */
async function check(page: Page, name: string): Promise<void> {
  const before = page.viewportSize() ?? LOOKS[2].viewport;
  for (const { size, colours, viewport } of LOOKS) {
    await page.emulateMedia({ colorScheme: colours, reducedMotion: 'reduce' });
    await page.setViewportSize(viewport);
    const about = `${name}, ${size}, ${colours}`;
    assert.deepEqual(await seriousFindings(page), [], about);
    const isWide = await page.evaluate<boolean>(
      'document.documentElement.scrollWidth > document.documentElement.clientWidth',
    );
    assert.equal(isWide, false, `${about}, is wider than the screen`);
    await picture(page, `design-${name}-${size}-${colours}`);
  }
  await page.setViewportSize(before);
}

/** Goes on by the keyboard alone until it is at this. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate<string>(
      `(document.activeElement?.labels?.[0] ?? document.activeElement)?.textContent?.trim() ?? ''`,
    );
    if (at.startsWith(name)) return;
  }
  assert.fail(`Tab never comes to ${name}`);
}

/** Opens the dialog of a button, types what is to be typed, and confirms. */
async function confirm(page: Page, button: string, verb: string): Promise<void> {
  await page.getByRole('button', { name: button }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: verb }).waitFor();
  const typed = dialog.getByRole('textbox');
  if ((await typed.count()) > 0) await typed.fill('songs');
  assert.deepEqual(await seriousFindings(page), [], button);
  await picture(page, `design-ask-${verb.toLowerCase().replaceAll(' ', '-')}`);
  await dialog.getByRole('button', { name: verb }).click();
  await dialog.waitFor({ state: 'detached' });
}

async function answer(page: Page, text: string): Promise<void> {
  await page.getByLabel('and paste its answer here').fill(text);
  await page.getByRole('button', { name: 'Read the answer' }).click();
}

describe('designs in the control room', { timeout: 600_000 }, () => {
  it('are led from a brief to a change in the database', { skip: noBrowser }, async (t) => {
    const { origin, nodes, designs } = await stage(t);
    const dialogs: string[] = [];
    const page = await signIn(t, origin, { name: 'olga' });
    page.on('dialog', (each) => {
      dialogs.push(each.message());
      void each.dismiss();
    });
    await page.getByText('There are none yet.').waitFor();
    // Without a mouse.
    await tabTo(page, 'New design …');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'New design' });
    await dialog.waitFor();
    await tabTo(page, 'Name of the domain');
    await page.keyboard.type('songs');
    await tabTo(page, 'Store');
    await page.keyboard.type('main');
    assert.equal(await dialog.getByLabel('Store').inputValue(), 'main');
    await tabTo(page, 'What it is to keep');
    await page.keyboard.insertText(SONGS_BRIEF);
    await check(page, 'new');
    await tabTo(page, 'Begin the design');
    await page.keyboard.press('Enter');
    await page.getByRole('row', { name: /^songs waits for an answer/ }).waitFor();
    await tabTo(page, 'songs');
    await page.keyboard.press('Enter');
    await page.getByLabel('Give this prompt to a model').waitFor();
    await check(page, 'prompt');
    await answer(page, SONGS_ANSWER);
    const words = page.getByRole('region', { name: 'In plain words' }).last();
    await words.getByRole('heading', { name: 'song: A song' }).waitFor();
    await words.getByText('Title <img src=x onerror=alert(1)>').waitFor();
    await words.getByText('May a song have no rating?').waitFor();
    await page.getByLabel('Text of the file').getByText('CREATE TABLE').first().waitFor();
    await check(page, 'review');
    assert.ok(!existsSync(join(designs, 'songs', 'db')));

    await confirm(page, 'Take it and prove it …', 'Prove songs');
    await page.getByRole('log', { name: 'Progress' }).waitFor();
    await page.context().close();

    const dba = await signIn(t, origin, { name: 'dora' });
    await dba.getByRole('link', { name: 'songs', exact: true }).click();
    await dba.getByText(/It holds on /).waitFor();
    await check(dba, 'proved');
    await confirm(dba, 'Plan the database …', 'Plan songs');
    await dba.getByText(/nothing of it is in the database yet\.$/).waitFor();
    await confirm(dba, 'Apply …', 'Apply songs to main');
    await dba.getByText(/: in the database\.$/).waitFor();
    await check(dba, 'applied');
    await nodes.query("INSERT INTO songs_song (title, rating) VALUES ('Ode', 5)");

    await dba.getByRole('button', { name: 'Ask for a change …' }).click();
    const change = dba.getByRole('dialog', { name: 'Ask for a change of songs' });
    await change.getByLabel('May a song have no rating?').fill('No.');
    await change.getByLabel('What is to be different').fill('Songs get a year.');
    await check(dba, 'change');
    await change.getByRole('button', { name: 'Ask for the change of songs' }).click();
    await dba.getByText('To the question "May a song have no rating?": No.').first().waitFor();
    await answer(dba, songsWithYear(2));
    await dba.getByRole('cell', { name: 'Year of the song' }).waitFor();
    await confirm(dba, 'Take it and prove it …', 'Prove songs');
    await confirm(dba, 'Plan the database …', 'Plan songs');
    await dba.getByRole('heading', { name: 'Expand, while the version before works on' }).waitFor();
    await check(dba, 'planned');
    await confirm(dba, 'Apply …', 'Apply songs to main');
    await dba.getByText(/two versions work in the database\.$/).waitFor();
    await check(dba, 'expanded');
    await confirm(dba, 'Contract …', 'Contract songs in main');
    await dba.getByText(/revision 2 to 2: in the database\.$|revision 2: in the database\.$/).waitFor();
    assert.deepEqual(JSON.parse(JSON.stringify(await nodes.query('SELECT title, year FROM songs_song'))), [
      { title: 'Ode', year: null },
    ]);
    assert.deepEqual(dialogs, []);

    const phone = await signIn(t, origin, { name: 'vera', isPhone: true });
    await phone.getByRole('link', { name: 'songs', exact: true }).click();
    await phone.getByText('An operator goes on with it.').waitFor();
    await check(phone, 'phone');
    await phone.goto(`${origin}/audit`);
    await phone.getByText('design.contract').first().waitFor();
  });

  it('are looked at by a viewer, worked on by an operator, and applied by a dba alone', async (t) => {
    const { ask, step, origin, designs, nodes } = await stage(t);
    const steps = [
      'begin',
      'answer',
      'change',
      'go-on',
      'prove',
      'plan',
      'stop',
      'drop-change',
      'set-aside',
      'apply',
      'contract',
      'undo',
    ];
    const codeOf = async (name: PersonName | undefined, body: object): Promise<string> => {
      const { status, answer: said } = await ask(name, '/api/design', body);
      return `${String(status)} ${said.problem?.code ?? ''}`;
    };
    for (const each of steps) {
      assert.equal(await codeOf('vera', order(each, { text: SONGS_BRIEF })), '403 BEDS_DASHBOARD_FORBIDDEN', each);
      assert.equal(await codeOf(undefined, order(each)), '401 BEDS_DASHBOARD_SIGNED_OUT', each);
    }
    for (const each of ['apply', 'contract', 'undo'])
      assert.equal(await codeOf('olga', order(each)), '403 BEDS_DASHBOARD_FORBIDDEN', each);
    for (const domain of ['../x', '..', 'a/b', 'A', '', 'x'.repeat(31), '.beds', 'songs\0'])
      assert.match(
        await codeOf('olga', { ...order('begin', { text: SONGS_BRIEF }), domain }),
        /^400 BEDS_DASHBOARD_INVALID$/,
        domain,
      );
    for (const [terms, expected] of [
      [{ text: SONGS_BRIEF, store: 'nowhere' }, '400 BEDS_ADMIN_INVALID'],
      [{ text: 'a\0b' }, '400 BEDS_DASHBOARD_INVALID'],
      [{ text: 'x'.repeat(20_001) }, '400 BEDS_ADMIN_INVALID'],
      [{ text: 'x'.repeat(3_000_000) }, '400 BEDS_DASHBOARD_TOO_LARGE'],
      [{ text: SONGS_BRIEF, at: Date.now() - 3_600_000 }, '504 BEDS_ADMIN_LATE'],
      [{ text: SONGS_BRIEF, more: 1 }, '400 BEDS_DASHBOARD_INVALID'],
    ] as const)
      assert.equal(await codeOf('olga', order('begin', terms)), expected);
    const foreign = await post(origin, '/api/design', { body: order('begin'), from: 'https://elsewhere.example' });
    assert.equal(foreign.status, 403);
    assert.equal((await ask('olga', '/api/designs/songs')).answer.problem?.code, 'BEDS_ADMIN_DESIGN_UNKNOWN');
    assert.ok(!existsSync(designs), 'nothing was begun');

    const begun = await step('olga', 'begin', { text: SONGS_BRIEF });
    assert.equal(begun.stage, 'waiting', JSON.stringify(begun.failure));
    const twice = order('answer', { text: SONGS_ANSWER, seen: begun.mark });
    const both = await Promise.all([codeOf('olga', twice), codeOf('dora', { ...twice, id: crypto.randomUUID() })]);
    assert.equal(both.filter((each) => each === '200 ').length, 1, both.join());
    assert.match(both.join(), /409 BEDS_ADMIN_DESIGN_(OVERTAKEN|BUSY)/);
    assert.equal(await codeOf('olga', twice), '409 BEDS_ADMIN_REPLAYED');
    await eventually('the answer is read', async () => {
      const { answer: said } = await ask('vera', '/api/designs/songs');
      return (said as unknown as DesignView).stage === 'review';
    });

    const proved = await step('olga', 'prove');
    assert.equal(proved.stage, 'proved', JSON.stringify([proved.failure, proved.problems]));
    const planned = await step('olga', 'plan');
    assert.equal(planned.plan?.state, 'new', JSON.stringify(planned.failure));
    const [table] = planned.files.filter(({ name }) => name.includes('table-songs_song'));
    const path = join(designs, 'songs', table?.name ?? '');
    writeFileSync(path, `${readFileSync(path, 'utf8')}-- by hand\n`);
    assert.equal(await codeOf('dora', order('apply', { seen: planned.mark })), '409 BEDS_ADMIN_DESIGN_STEP');
    writeFileSync(path, table?.text ?? '');
    const applied = await step('dora', 'apply');
    assert.equal(applied.plan?.state, 'current', JSON.stringify(applied.failure));
    assert.equal(await codeOf('olga', order('set-aside', { seen: applied.mark })), '409 BEDS_ADMIN_DESIGN_STEP');
    const records = (await ask('vera', '/api/audit')).answer as unknown as readonly {
      op: string;
      step: string;
      user_name: string;
      outcome: string;
      target: string;
    }[];
    assert.deepEqual(
      records
        .filter(({ op, step: is }) => op === 'design.apply' && is === 'done')
        .map(({ user_name, outcome, target }) => ({ user_name, outcome, target })),
      [
        { user_name: 'dora', outcome: 'ok', target: 'songs' },
        { user_name: 'dora', outcome: 'BEDS_ADMIN_DESIGN_STEP', target: 'songs' },
      ],
    );
    const said = JSON.stringify([applied, records]);
    assert.ok(!said.includes(new URL(services.mariadb?.url ?? '').password || 'no password'), 'no password is shown');
    assert.equal(await overRabbit(nodes, { op: 'designStep', ...order('begin') }), 'BEDS_ADMIN_UNKNOWN_COMMAND');
  });

  it('go on where they were when the host is killed in the middle', async (t) => {
    const { admin, again, ask, step } = await stage(t);
    await step('olga', 'begin', { text: SONGS_BRIEF });
    const { mark } = await step('olga', 'answer', { text: SONGS_ANSWER });
    await ask('olga', '/api/design', order('prove', { seen: mark }));
    await eventually('it is tried', async () => {
      const { answer: said } = await ask('vera', '/api/designs/songs');
      return ((said as unknown as DesignView).working?.lines.length ?? 0) > 0;
    });
    await admin.kill();
    await again().serving;
    const { answer: said } = await ask('vera', '/api/designs/songs');
    assert.equal((said as unknown as DesignView).interrupted, 'prove');
    await eventually('what was left has ended', async () => {
      const now = (await ask('vera', '/api/designs/songs')).answer as unknown as DesignView;
      const { status } = await ask('olga', '/api/design', order('prove', { seen: now.mark }));
      return status === 200;
    });
    await eventually(
      'it is proved',
      async () => ((await ask('vera', '/api/designs/songs')).answer as unknown as DesignView).stage === 'proved',
      120_000,
    );
  });
});

/** What the desk answers to a message that came over RabbitMQ. */
async function overRabbit({ model, prefix, key }: OrderNodes, message: object): Promise<string> {
  const channel = await model.createChannel();
  try {
    const got = new Promise<string>((resolve) => {
      void channel.consume('amq.rabbitmq.reply-to', (each) => resolve(each?.content.toString() ?? ''), { noAck: true });
    });
    const body = Buffer.from(JSON.stringify({ v: ADMIN_VERSION, session: key.ownerToken, ...message }));
    channel.sendToQueue(`${prefix}.admin.in`, body, { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'x' });
    const { error } = JSON.parse(await got) as { readonly error?: { readonly code: string } };
    return error?.code ?? 'ok';
  } finally {
    await channel.close();
  }
}
