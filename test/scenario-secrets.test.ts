import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Json, JsonObject } from '@beds/sdk';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { beds } from './support/beds.js';
import { eventually } from './support/eventually.js';
import { makeOrderNodes, type OrderNodes, PASSWORD } from './support/order-nodes.js';
import { openOtlpReceiver } from './support/otlp-receiver.js';
import { sharedServices } from './support/services.js';

const services = await sharedServices(['rabbitmq', 'mariadb']);

const MISTAKEN = 'mistaken-Password-7Qx';
const NEXT = 'another-Password-9Kz';
const MADE_UP = `bs_${'Zq'.repeat(21)}Z`;

/** Whatever is written or sent, by where that was. */
type Written = Map<string, string>;

describe('passwords and tokens', { timeout: 300_000 }, () => {
  it('are in nothing that is logged, told, counted, kept or shown, whatever goes wrong', async (t) => {
    const nodes = await makeOrderNodes(t, services, {
      more: ['logs', 'metrics'],
    });
    const collector = await openOtlpReceiver(t);
    const port = await freePort();
    const tracing = { endpoint: collector.endpoint };
    const processes = [
      nodes.start('admin-1', 'admin', {
        dashboard: { enabled: true, port },
        tracing,
      }),
      nodes.start('app-1', 'app', { tracing }),
    ];
    await Promise.all(processes.map(({ serving }) => serving));
    const heard = await listen(nodes);
    const secrets = new Set([PASSWORD, MISTAKEN, NEXT, MADE_UP]);
    const written: Written = new Map();

    const session = await nodes.signIn('root', ['operator', 'viewer']);
    secrets.add(session);
    const client = await connectBeds({
      ...{
        url: nodes.url,
        name: 'test',
        exchange: `${nodes.prefix}.request`,
        defaultDeadlineMs: 30_000,
      },
    });
    t.after(() => client.close());
    const browser = new Browser(`http://127.0.0.1:${String(port)}`);
    written.set('dashboard refuses', await browser.post('/api/sign-in', { name: 'root', password: MISTAKEN }));
    written.set('dashboard sign-in', await browser.post('/api/sign-in', { name: 'root', password: PASSWORD }));
    assert.match(browser.cookie, /=bs_/);
    for (const token of (browser.cookie.split('=')[1] ?? '').split('.')) secrets.add(token);
    await converse({ client, nodes, session, secrets, written, heard });

    // What operators are shown.
    const env = {
      ...{
        BEDS_SESSION: session,
        BEDS_CONFIG: nodes.projectRoot,
        XDG_CONFIG_HOME: join(nodes.projectRoot, 'home'),
      },
      ...{ BEDS_AMQP_URL: nodes.url, BEDS_AMQP_PREFIX: nodes.prefix },
    };
    const run = async (command: string): Promise<string> => {
      const { stdout, stderr } = await beds(command.split(' '), {
        projectRoot: nodes.projectRoot,
        env,
      });
      written.set(`beds ${command}`, stdout + stderr);
      return stdout;
    };
    await eventually('the lines of the log are kept', async () =>
      (await run('logs --level warn --json')).includes('BEDS_STORE_'),
    );
    const shown = ['logs --limit 1000', 'faults', 'audit', 'dead', 'status', 'versions', 'metrics', 'graph', 'fleet'];
    for (const command of shown) for (const more of ['', ' --json']) await run(`${command}${more}`);
    const { letters } = JSON.parse(written.get('beds dead --json') ?? '') as {
      readonly letters: readonly { readonly id: string }[];
    };
    assert.ok(letters.length > 0);
    for (const { id } of letters) await run(`dead show ${id}`);
    await lookAround(browser, written, letters[0]?.id ?? '');

    // What is kept.
    await eventually('all events are told', async () => {
      const rows = (await nodes.query(
        "SELECT outbox FROM user_account WHERE outbox <> '' UNION ALL SELECT outbox FROM user_session WHERE outbox <> ''",
      )) as readonly unknown[];
      return rows.length === 0;
    });
    for (const { name } of (await nodes.query(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    )) as readonly { readonly name: string }[]) {
      written.set(`table ${name}`, JSON.stringify(await nodes.query(`SELECT * FROM \`${name}\``)));
    }
    for (const file of filesBelow(nodes.projectRoot)) written.set(`file ${file}`, readFileSync(file, 'latin1'));
    await eventually('spans are exported', () => collector.spans.some(({ name }) => name.includes('signIn')));
    written.set(
      'traces',
      JSON.stringify(collector.spans, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    );
    written.set('events', heard.texts.join('\n'));
    for (const [index, { log }] of processes.entries()) written.set(`log ${String(index)}`, JSON.stringify(log));
    assert.ok(heard.texts.length > 10 && heard.resets.length === 1, 'events were heard');
    assert.match(written.get('log 0') ?? '', /BEDS_STORE_/, 'the failures were logged');

    const found = [...written].flatMap(([where, text]) =>
      [...secrets].filter((secret) => text.includes(secret)).map((secret) => `${where}: ${secret.slice(0, 12)}…`),
    );
    assert.deepEqual(found, []);
    t.diagnostic(`${String(secrets.size)} secrets in ${String(written.size)} places`);
  });
});

interface Talk {
  readonly client: BedsClient;
  readonly nodes: OrderNodes;
  /** Token of an operator. */
  readonly session: string;
  readonly secrets: Set<string>;
  readonly written: Written;
  readonly heard: Heard;
}

/** Signs in, out, wrongly and with what fails, and keeps each answer but those that give tokens. */
async function converse({ client, nodes, session, secrets, written, heard }: Talk): Promise<void> {
  const replies: Json[] = [];
  const ask = async (key: string, payload: Json, token?: string): Promise<JsonObject> => {
    const [domain = '', op = ''] = key.split('.');
    const meta = {
      deadlineMs: 20_000,
      trace: true,
      ...(token === undefined ? {} : { session: token }),
    };
    const id = `${op}-${String(replies.length)}`;
    const reply = await client.request({
      v: 1,
      id,
      domain,
      op,
      payload,
      meta,
    } as never);
    if (!reply.ok || !['signIn', 'refresh'].includes(op)) replies.push(reply as unknown as Json);
    return reply as unknown as JsonObject;
  };
  const grantOf = ({ data }: JsonObject): { readonly token: string; readonly refresh: string } => {
    const grant = data as unknown as {
      readonly token: string;
      readonly refresh: string;
    };
    for (const secret of [grant.token, grant.refresh]) secrets.add(secret);
    return grant;
  };
  await ask('users.create', { name: 'ann', password: PASSWORD }, session);
  const ann = grantOf(await ask('sessions.signIn', { name: 'ann', password: PASSWORD }));
  await ask('sessions.signIn', { name: 'ann', password: MISTAKEN });
  await ask('sessions.signIn', { name: 'nobody', password: MISTAKEN });
  await ask('sessions.signIn', {
    name: 'ann',
    password: PASSWORD,
    token: ann.token,
  });
  await ask('sessions.signIn', {
    name: { [PASSWORD]: 1 },
    password: [PASSWORD],
  });
  await ask('sessions.signIn', {
    name: 'ann',
    password: PASSWORD.repeat(20),
  });
  await ask('users.create', { name: 'short', password: PASSWORD.slice(0, 7) }, session);
  await ask('users.create', { name: 'ann', password: PASSWORD }, session);
  await ask('users.create', { name: 'eve', password: PASSWORD }, MADE_UP);
  await ask('users.fetch', {}, ann.token);
  await ask('seen.fetch', {}, ann.token);
  await ask('seen.no-such', { password: PASSWORD }, ann.token);
  const second = grantOf(await ask('sessions.refresh', { refresh: ann.refresh }));
  const third = grantOf(await ask('sessions.refresh', { refresh: second.refresh }));
  await ask('sessions.refresh', { refresh: ann.refresh });
  await ask('sessions.refresh', { refresh: third.refresh });
  await ask('users.fetch', {}, third.token);
  const again = grantOf(await ask('sessions.signIn', { name: 'ann', password: PASSWORD }));
  await ask('users.changePassword', { old: MISTAKEN, password: NEXT }, again.token);
  await ask('users.changePassword', { old: PASSWORD, password: NEXT }, again.token);
  await ask('users.askReset', { name: 'ann' });
  await eventually('the token is told', () => heard.resets.length === 1);
  const [token = ''] = heard.resets;
  secrets.add(token);
  await ask('users.reset', { token: `${token}x`, password: NEXT });
  await ask('users.reset', { token, password: PASSWORD });
  const last = grantOf(await ask('sessions.signIn', { name: 'ann', password: PASSWORD }));
  await ask('sessions.signOut', { token: `${last.token}x` });
  await ask('sessions.signOut', { token: last.token });
  // The store fails in the middle of it.
  const broken: JsonObject[] = [];
  for (const table of ['user_session', 'user_account']) {
    await nodes.query(`RENAME TABLE ${table} TO away`);
    broken.push(await ask('sessions.signIn', { name: 'ann', password: PASSWORD }));
    broken.push(await ask('sessions.refresh', { refresh: ann.refresh }));
    await nodes.query(`RENAME TABLE away TO ${table}`);
  }
  assert.deepEqual(
    broken.map(({ ok }) => ok),
    [false, false, false, false],
  );
  // What nobody waits for is kept as a dead letter, and what is no request at all.
  const channel = await nodes.model.createConfirmChannel();
  const send = (key: string, body: string): void => {
    channel.publish(`${nodes.prefix}.request`, key, Buffer.from(body), {
      contentType: 'application/json',
    });
  };
  const meta = { session: last.token };
  for (const op of ['create', 'setPassword'])
    send(
      `users.${op}`,
      JSON.stringify({
        v: 1,
        id: op,
        domain: 'users',
        op,
        payload: { password: PASSWORD },
        meta,
      }),
    );
  send('users.create', `{"v":1,"id":"x","domain":"users","op":"create","payload":{"password":"${PASSWORD}"`);
  send(
    'users.create',
    JSON.stringify({
      v: 1,
      id: 'y',
      domain: 'users',
      op: 'create',
      Password2: PASSWORD,
      meta,
    }),
  );
  await channel.waitForConfirms();
  await channel.close();
  written.set('replies', JSON.stringify(replies));
}

interface Heard {
  readonly texts: readonly string[];
  /** Tokens of `password.reset-asked`, which are told to whoever sends them, and nowhere else. */
  readonly resets: readonly string[];
}

async function listen({ model, prefix }: OrderNodes): Promise<Heard> {
  const channel = await model.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  for (const exchange of ['event', 'events', 'admin', 'operate'])
    await channel.bindQueue(queue, `${prefix}.${exchange}`, '#');
  const [texts, resets]: [string[], string[]] = [[], []];
  await channel.consume(
    queue,
    (message) => {
      const text = message?.content.toString() ?? '';
      const isReset = message?.fields.routingKey === 'password.reset-asked';
      const { data } = (isReset ? JSON.parse(text) : {}) as {
        readonly data?: { readonly user: string; readonly token: string };
      };
      if (data !== undefined) resets.push(data.token);
      else texts.push(`${text} ${JSON.stringify(message?.properties)}`);
    },
    { noAck: true },
  );
  return { texts, resets };
}

/** A browser at the dashboard of a node: gives what it is answered, with its cookie. */
class Browser {
  cookie = '';
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  async post(path: string, body: object): Promise<string> {
    const { cookie } = this;
    const headers = {
      'content-type': 'application/json',
      origin: this.#origin,
      cookie,
    };
    const answer = await fetch(`${this.#origin}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers,
    });
    const [set] = answer.headers.getSetCookie();
    if (set !== undefined) this.cookie = set.split(';')[0] ?? '';
    return `${String(answer.status)} ${await answer.text()}`;
  }

  /** What comes by the stream in the first moments. */
  async stream(): Promise<string> {
    const answer = await fetch(`${this.#origin}/api/stream`, {
      headers: { cookie: this.cookie },
    });
    let text = '';
    const until = AbortSignal.timeout(3_000);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    until.addEventListener('abort', () => void reader.cancel());
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += Buffer.from(part.value).toString();
    return text;
  }
}

/** Everything that the pages ask for. */
async function lookAround(browser: Browser, written: Written, letter: string): Promise<void> {
  const now = Date.now();
  const questions: readonly (readonly [string, object])[] = [
    ['/api/order', { op: 'deadLetter', id: letter }],
    ['/api/dead', {}],
    ['/api/user', { op: 'setPassword', id: 'nobody', password: PASSWORD }],
    ['/api/kept/logs', { since: now - 600_000 }],
    ['/api/kept/faults', { since: now - 600_000 }],
    ['/api/kept/series', { from: now - 600_000, to: now, points: 10 }],
    ['/api/kept/objects', {}],
    ['/api/kept/users', {}],
    ['/api/kept/sessions', { user: 'nobody' }],
  ];
  for (const [path, body] of questions) written.set(`dashboard ${path}`, await browser.post(path, body));
  const stream = await browser.stream();
  assert.match(stream, /app-1/, 'the page is told of the nodes');
  written.set('dashboard /api/stream', stream);
  for (const what of ['logs', 'faults', 'users'])
    assert.match(written.get(`dashboard /api/kept/${what}`) ?? '', /^200 /, what);
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}
