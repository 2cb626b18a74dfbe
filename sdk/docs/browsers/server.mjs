// The application's own server: browsers speak HTTP with it, and it speaks with BEDS for them. See ../browsers.md.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { connectBeds, signIn } from '@beds/sdk/client';

const {
  BEDS_URL: url = 'amqp://localhost',
  BEDS_EXCHANGE: exchange = 'beds.request',
  PORT: port = '3000',
  ORIGIN,
} = process.env;
const beds = await connectBeds({ url, exchange, name: 'web' });

/** Sessions by what the cookie says. The tokens stay here: no script of a page, and no cookie, has them. */
const sessions = new Map();
const MAX_AGE_SECONDS = 14 * 86_400;
const MAX_BODY_BYTES = 10_000;

/** What a browser may ask, each with a query of our own: nothing of what it sends becomes a query by itself. */
const routes = {
  'POST /sign-in': async ({ request, body: { name, password } }) => {
    const where = { address: request.socket.remoteAddress, device: request.headers['user-agent']?.slice(0, 100) };
    const session = await signIn(beds, { name, password }, { where });
    // n.b. always another one: what a page knew before it signed in must not be good afterwards.
    const id = randomBytes(32).toString('base64url');
    sessions.set(id, session);
    return { status: 204, cookie: `${id}; Max-Age=${MAX_AGE_SECONDS}` };
  },
  'POST /sign-out': async ({ id, session }) => {
    sessions.delete(id);
    await beds.domain('sessions').call('signOut', { token: session.tokens.token }, { session: null });
    return { status: 204, cookie: '; Max-Age=0' };
  },
  'GET /cities': async ({ session, search }) => {
    const country = search.get('country') ?? 'CH';
    const { rows } = await beds.domain('cities').fetch({ where: { country }, limit: 50 }, { session });
    return { status: 200, body: rows };
  },
};

createServer((request, response) => {
  answer(request).then(
    ({ status, body, cookie }) => {
      const cookies =
        cookie === undefined ? {} : { 'set-cookie': `id=${cookie}; Path=/; HttpOnly; Secure; SameSite=Strict` };
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...cookies });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    },
    () => response.writeHead(500).end(),
  );
}).listen(Number(port), '127.0.0.1', function () {
  console.log(`http://127.0.0.1:${this.address().port}`);
});

async function answer(request) {
  const { pathname, searchParams: search } = new URL(request.url, 'http://localhost');
  const route = routes[`${request.method} ${pathname}`];
  if (route === undefined) return { status: 404 };
  // A page of somebody else may make a browser send a form, but not JSON from this origin.
  const isOwn = request.method === 'GET' || (ORIGIN !== undefined && request.headers.origin === ORIGIN);
  if (!isOwn) return { status: 403 };
  const [, id] = /(?:^|; )id=([\w-]{43})/.exec(request.headers.cookie ?? '') ?? [];
  const session = sessions.get(id);
  if (session === undefined && pathname !== '/sign-in') return { status: 401 };
  try {
    return await route({ request, search, id, session, body: request.method === 'POST' ? await bodyOf(request) : {} });
  } catch (error) {
    if (error.code === 'BEDS_CLIENT_SESSION_ENDED') sessions.delete(id);
    // What BEDS says to a caller it may say to a user: its errors repeat nothing of a request.
    const { code, message, status } = error;
    if (status === undefined) throw error;
    const isEnded = code === 'BEDS_CLIENT_SESSION_ENDED';
    return { status: isEnded ? 401 : (STATUS[status] ?? 500), body: { code, message } };
  }
}

const STATUS = {
  invalid: 400,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  overloaded: 503,
  unavailable: 503,
  timeout: 504,
};

async function bodyOf(request) {
  let text = '';
  for await (const part of request) {
    text += part;
    if (text.length > MAX_BODY_BYTES) break;
  }
  try {
    return JSON.parse(text === '' ? '{}' : text);
  } catch {
    return {};
  }
}
