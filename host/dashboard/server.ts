import { isIP } from 'node:net';
import { isBedsError, type ErrorStatus } from '@beds/sdk';
import { BedsError } from '#sdk/template';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { networkOf } from '../../plugins/users/network.js';
import { domain as domainName, letterFields, letterId } from '../admin/commands.js';
import type { Answer, Refusal } from '../admin/protocol.js';
import { Mutex } from '../deploy/mutex.js';
import { adminErrors } from '../errors/admin.js';
import { dashboardErrors } from '../errors/dashboard.js';
import type { Assets } from './assets.js';
import { Board } from './board.js';
import type { DesignRoom } from './designs.js';
import type {
  AuditPart,
  CallerView,
  DomainDetails,
  FleetPart,
  LetterList,
  OperationPart,
  SignedIn,
  SignInWays,
  UsageRow,
} from './contract.js';
import { accountOf, Identities, mayAct, type Person, tokensOf } from './identities.js';
import { Kept } from './kept.js';
import { Nodes } from './nodes.js';
import { Orders, problemOf } from './orders.js';
import { Streams } from './streams.js';
import { Watch } from './watch.js';

export interface DashboardServerOptions {
  readonly amqp: { readonly url: string; readonly prefix: string };
  /** PEM. Undefined: without TLS, for this machine only. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Host names under which browsers reach it, beside those of this machine and IP addresses that it listens on. */
  readonly names: readonly string[];
  readonly maxBundleBytes: number;
  /** Whoever has it is let in. Undefined: only accounts are. */
  readonly hostKey: string | undefined;
  /** What orders of those whom the key let in carry; undefined: there is no admin node here. */
  readonly ownerToken: string | undefined;
  readonly designs: DesignRoom;
  readonly assets: Assets;
  readonly onFault: (error: unknown) => void;
}

interface Latency {
  readonly domain: string;
  readonly p95Ms: number;
}

/** Of so long the latency on the overview is. */
const LATENCY_MS = 180_000;
const SMALL_BODY_BYTES = 65_536;
/** A specification that a person pastes in place of a model. */
const ANSWER_BODY_BYTES = 2_000_000;
const QUERY_MS = 3_000;
const DETAILS_MS = 1_000;
/** There may be many: RabbitMQ hands over thousands of letters in seconds. */
const LETTERS_MS = 15_000;

/** Scripts, styles and connections are of this origin only, and nobody frames the page. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const STATUS: Readonly<Record<ErrorStatus, number>> = {
  invalid: 400,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  timeout: 504,
  overloaded: 429,
  unavailable: 503,
  indeterminate: 502,
  fault: 500,
};

/** The web server of the dashboard: a client of RabbitMQ like any other, with the session of who is signed in. */
export class DashboardServer {
  readonly #options: DashboardServerOptions;
  readonly #ending = new AbortController();
  readonly #board = new Board();
  readonly #nodes: Nodes;
  readonly #identities: Identities;
  readonly #watch: Watch;
  readonly #streams: Streams;
  readonly #orders: Orders;
  readonly #kept: Kept;
  readonly #signIns = new SignInBounds();
  readonly #uploads = new UploadBounds();
  readonly #questions = new QuestionBounds();
  readonly #details = new Map<string, { readonly atMs: number; readonly answer: Promise<DomainDetails> }>();
  /** n.b. a node answers so many questions at once, and refuses more. */
  readonly #lanes = Array.from({ length: 8 }, () => new Mutex());
  readonly #web: FastifyInstance;
  #port = 0;

  constructor(options: DashboardServerOptions) {
    this.#options = options;
    const { signal } = this.#ending;
    this.#nodes = new Nodes({ ...options.amqp, signal });
    this.#identities = new Identities(() => this.#nodes.client(), options.hostKey);
    this.#streams = new Streams(this.#board, this.#identities, (isWatched) => (this.#watch.isWatched = isWatched));
    this.#watch = new Watch({
      ...{ nodes: this.#nodes, board: this.#board, signal },
      others: () => options.designs.parts,
      fleet: () => this.#fleet(),
      latencies: () => this.#latencies(),
      onChange: () => this.#streams.changed(),
      onSample: (sample) => this.#streams.sample(sample),
    });
    this.#kept = new Kept(this.#nodes, () => this.#watch.answering.length);
    this.#orders = new Orders(this.#nodes, this.#watch, options.ownerToken);
    options.designs.onChange = () => this.#watch.refresh();
    this.#web = this.#open();
  }

  /** Rejects as `net.Server` does, with EADDRINUSE where the port is taken. Resolves to the port. */
  async listen(host: string, port: number): Promise<number> {
    await this.#web.listen({ host, port });
    const address = this.#web.server.address();
    this.#port = typeof address === 'object' && address !== null ? address.port : port;
    this.#watch.start();
    return this.#port;
  }

  async close(): Promise<void> {
    this.#ending.abort();
    this.#streams.close();
    await this.#web.close();
    await this.#watch.ended();
    await this.#nodes.close();
  }

  #open(): FastifyInstance {
    const { tls, maxBundleBytes, onFault } = this.#options;
    const bounds = { bodyLimit: SMALL_BODY_BYTES, connectionTimeout: 60_000, requestTimeout: 60_000 };
    const shared = { ...bounds, logger: false, forceCloseConnections: true, exposeHeadRoutes: false } as const;
    // n.b. the two have types of their own, and differ in nothing that is used here.
    const web = (tls === undefined
      ? fastify(shared)
      : fastify({ ...shared, https: tls })) as unknown as FastifyInstance;
    web.addHook('onRequest', async (request, reply) => {
      this.#secure(reply);
      this.#refuseStrangers(request);
    });
    web.setErrorHandler((error: unknown, _request, reply) => {
      const { code = '', statusCode = 500 } = error as { readonly code?: string; readonly statusCode?: number };
      let known = error;
      if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') known = dashboardErrors.make('BEDS_DASHBOARD_TOO_LARGE');
      else if (!isBedsError(error) && statusCode < 500) known = dashboardErrors.make('BEDS_DASHBOARD_INVALID');
      else if (!isBedsError(error)) onFault(error);
      return reply.code(httpStatusOf(known)).send({ problem: problemOf(known) });
    });
    web.setNotFoundHandler((request, reply) => this.#asset(request, reply));
    this.#addSessions(web);
    this.#addReads(web);
    this.#addDesigns(web);
    web.post(
      '/api/order',
      {
        bodyLimit: Math.ceil(maxBundleBytes / 3) * 4 + SMALL_BODY_BYTES,
        onRequest: (request, reply) => this.#beginUpload(request, reply),
      },
      async (request, reply) => this.#orders.give(request.body, await this.#personOfNow(request, reply)),
    );
    web.post('/api/user', async (request, reply) =>
      this.#kept.order(request.body, await this.#personOfNow(request, reply)),
    );
    return web;
  }

  /** n.b. before its body is read: who may not order is not to fill the memory of this process. */
  async #beginUpload(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { me } = await this.#person(request, reply);
    if (!mayAct(me, 'operator')) throw dashboardErrors.make('BEDS_DASHBOARD_FORBIDDEN');
    this.#uploads.begin(request, reply);
  }

  /** Who orders, with the roles of this moment. */
  async #personOfNow(request: FastifyRequest, reply: FastifyReply): Promise<Person> {
    const person = await this.#person(request, reply);
    await this.#identities.refreshRoles(person);
    this.#keep(reply, person);
    return person;
  }

  #addDesigns(web: FastifyInstance): void {
    web.post(
      '/api/design',
      {
        bodyLimit: ANSWER_BODY_BYTES,
        onRequest: (request, reply) => this.#beginUpload(request, reply),
      },
      async (request, reply) => {
        const person = await this.#personOfNow(request, reply);
        return this.#options.designs.order(request.body, person, this.#sessionOf(person));
      },
    );
  }

  #addSessions(web: FastifyInstance): void {
    const account = z.strictObject({ name: z.string().max(100), password: z.string().max(200) });
    const asked = z.union([account, z.strictObject({ key: z.string().max(100) })]);
    web.get('/api/ways', (): SignInWays => {
      this.#watch.glance();
      return { accounts: this.#watch.isServed('sessions'), key: this.#identities.takesKey };
    });
    const shown = ({ me }: Person): SignedIn => ({ me, maxBundleBytes: this.#options.maxBundleBytes });
    web.get('/api/me', async (request, reply) => shown(await this.#person(request, reply)));
    web.post('/api/sign-in', async (request, reply) => {
      const read = asked.safeParse(request.body);
      if (!read.success) throw dashboardErrors.make('BEDS_DASHBOARD_INVALID');
      const device = (request.headers['user-agent'] ?? '').slice(0, 200);
      const { data } = read;
      const person = await this.#signIns.run(networkOf(request.ip), async () =>
        'key' in data
          ? this.#identities.signInByKey(data.key)
          : this.#identities.signIn(data, { address: request.ip, device }),
      );
      this.#keep(reply, person);
      return shown(person);
    });
    web.post('/api/sign-out', async (request, reply) => {
      const person = await this.#person(request, reply);
      reply.header('set-cookie', `${this.#cookieName}=; Max-Age=0${this.#cookieTerms}`);
      await this.#identities.signOut(person);
      return {};
    });
  }

  #addReads(web: FastifyInstance): void {
    const viewer = async (request: FastifyRequest, reply: FastifyReply): Promise<Person> => {
      const person = await this.#person(request, reply);
      if (!mayAct(person.me, 'viewer')) throw dashboardErrors.make('BEDS_DASHBOARD_FORBIDDEN');
      return person;
    };
    const looking = async (request: FastifyRequest, reply: FastifyReply): Promise<Person> => {
      const person = await viewer(request, reply);
      this.#questions.begin(person, reply);
      return person;
    };
    web.get('/api/stream', async (request, reply) => {
      const person = await viewer(request, reply);
      const { since } = request.query as { readonly since?: string };
      const last = request.headers['last-event-id'];
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) reply.raw.setHeader(name, value);
      }
      this.#streams.open(reply.raw, person, typeof last === 'string' ? last : since);
      reply.hijack();
    });
    web.get('/api/samples', async (request, reply) => {
      await looking(request, reply);
      return this.#watch.samples;
    });
    web.get('/api/domains/:domain', async (request, reply) => {
      const { domain } = request.params as { readonly domain: string };
      await looking(request, reply);
      if (!domainName.safeParse(domain).success) throw dashboardErrors.make('BEDS_DASHBOARD_NOT_FOUND');
      return this.#detailsOf(domain);
    });
    web.get('/api/designs/:domain', async (request, reply) => {
      const { domain } = request.params as { readonly domain: string };
      return this.#options.designs.view(domain, this.#sessionOf(await looking(request, reply)));
    });
    web.post('/api/dead', async (request, reply) => {
      await looking(request, reply);
      return this.#lettersOf(request.body);
    });
    web.post('/api/kept/:question', async (request, reply) => {
      const { question } = request.params as { readonly question: string };
      return this.#kept.ask(question, request.body, await looking(request, reply));
    });
    web.get('/api/audit', async (request, reply) => {
      const { records } = await this.#nodes.audit({}, this.#sessionOf(await looking(request, reply)));
      return records.toReversed() satisfies readonly AuditPart[];
    });
  }

  /** In whose name an admin node is asked. */
  #sessionOf({ cookie }: Person): string | undefined {
    const { token } = tokensOf(cookie);
    return token === '' ? this.#options.ownerToken : token;
  }

  async #fleet(): Promise<FleetPart | undefined> {
    const session = this.#options.ownerToken ?? this.#streams.someToken;
    if (session === undefined) return undefined;
    try {
      const { desired, drift } = await this.#nodes.fleet(session);
      return { desired, drift };
    } catch {
      // n.b. where no admin node keeps that, or it is away, the nodes themselves are shown all the same.
      return undefined;
    }
  }

  async #latencies(): Promise<ReadonlyMap<string, number>> {
    const to = Date.now();
    const input = { from: to - LATENCY_MS, to };
    const asked = { domain: 'metrics', op: 'overview', input, session: undefined, deadlineMs: QUERY_MS };
    const rows = await this.#nodes.call(asked).catch(() => []);
    const latencies = new Map<string, number>();
    for (const { domain, p95Ms } of rows as unknown as readonly Latency[]) {
      if (p95Ms > 0) latencies.set(domain, Math.max(p95Ms, latencies.get(domain) ?? 0));
    }
    return latencies;
  }

  async #lettersOf(filter: unknown): Promise<LetterList> {
    const read = z.strictObject({ ...letterFields, after: letterId.exactOptional() }).safeParse(filter);
    if (!read.success) throw dashboardErrors.make('BEDS_DASHBOARD_INVALID');
    const answers = await this.#nodes.query(
      'dead',
      { ...read.data, limit: 100 },
      { timeoutMs: LETTERS_MS, expected: 1 },
    );
    const [answer] = answered(answers);
    return answer.result;
  }

  /** Asked of the nodes once for all who look within a second. */
  #detailsOf(domain: string): Promise<DomainDetails> {
    const known = this.#details.get(domain);
    if (known !== undefined && Date.now() - known.atMs < DETAILS_MS) return known.answer;
    const lane = this.#lanes.shift() ?? new Mutex();
    this.#lanes.push(lane);
    const answer = lane.run(() => this.#askDetails(domain));
    for (const [name, { atMs }] of this.#details) if (Date.now() - atMs >= DETAILS_MS) this.#details.delete(name);
    this.#details.set(domain, { atMs: Date.now(), answer });
    return answer;
  }

  async #askDetails(domain: string): Promise<DomainDetails> {
    const ask = { timeoutMs: QUERY_MS, expected: Math.max(1, this.#watch.answering.length) };
    const [versions, history, callers] = await Promise.all([
      this.#nodes.query('versions', { domain }, ask),
      this.#nodes.query('history', { domain }, ask),
      this.#nodes.query('callers', { domain }, ask),
    ]);
    const on = <T extends object>(node: string, entries: readonly T[]) => entries.map((entry) => ({ node, ...entry }));
    const counted = answered(callers);
    return {
      domain,
      history: answered(history)
        .flatMap(({ node, result }) => on(node, result.entries))
        .sort((a, b) => (a.at < b.at ? 1 : -1))
        .slice(0, 200),
      refusals: answered(versions).flatMap(({ node, result }) => on(node, result.refusals)),
      quarantined: answered(versions).flatMap(({ node, result }) => on(node, result.quarantined)),
      callers: sumCallers(counted.flatMap(({ result }) => result.callers)),
      countedDays: Math.max(0, ...counted.map(({ result }) => result.countedDays)),
      operations: sumOperations(counted.flatMap(({ result }) => result.operations)),
    };
  }

  /** Who asks. A cookie that was exchanged meanwhile is set anew. */
  async #person(request: FastifyRequest, reply: FastifyReply): Promise<Person> {
    const cookie = cookieOf(request.headers.cookie, this.#cookieName);
    try {
      const person = await this.#identities.of(cookie);
      if (person.cookie !== cookie) this.#keep(reply, person);
      return person;
    } catch (error) {
      const isEnded = isBedsError(error) && error.code === 'BEDS_DASHBOARD_SIGNED_OUT';
      if (isEnded && cookie !== undefined)
        reply.header('set-cookie', `${this.#cookieName}=; Max-Age=0${this.#cookieTerms}`);
      throw error;
    }
  }

  #keep(reply: FastifyReply, { cookie }: Person): void {
    reply.header('set-cookie', `${this.#cookieName}=${cookie}; Max-Age=1209600${this.#cookieTerms}`);
  }

  /** n.b. browsers send cookies to every port of a machine: with the port in its name, two checkouts sign nobody out. */
  get #cookieName(): string {
    return this.#options.tls === undefined ? `beds-${String(this.#port)}` : `__Host-beds-${String(this.#port)}`;
  }

  get #cookieTerms(): string {
    return `; Path=/; HttpOnly; SameSite=Strict${this.#options.tls === undefined ? '' : '; Secure'}`;
  }

  #secure(reply: FastifyReply): void {
    reply.headers({
      'content-security-policy': POLICY,
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
      ...(this.#options.tls === undefined ? {} : { 'strict-transport-security': 'max-age=31536000' }),
    });
  }

  /**
   * A name that is not ours may be one that an attacker lets point to us (DNS rebinding). What changes something must come from a
   * page of ours: browsers say so in Origin and Sec-Fetch-Site, which no page can forge.
   */
  #refuseStrangers({ method, headers }: FastifyRequest): void {
    const host = headers.host ?? '';
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    if (!this.#isOurs(host, scheme)) throw dashboardErrors.make('BEDS_DASHBOARD_HOST_REFUSED');
    const site = headers['sec-fetch-site'];
    if (method === 'GET') {
      // Of a link on another site only the page itself may be loaded.
      const isNavigation = headers['sec-fetch-mode'] === 'navigate';
      if (site !== undefined && site !== 'same-origin' && site !== 'none' && !isNavigation) {
        throw dashboardErrors.make('BEDS_DASHBOARD_CROSS_SITE');
      }
      return;
    }
    const isSame = headers.origin === `${scheme}://${host}` && (site === undefined || site === 'same-origin');
    if (!isSame) throw dashboardErrors.make('BEDS_DASHBOARD_CROSS_SITE');
  }

  #isOurs(host: string, scheme: string): boolean {
    if (!URL.canParse(`${scheme}://${host}`)) return false;
    const { hostname } = new URL(`${scheme}://${host}`);
    const name = hostname.replace(/^\[|\]$/g, '');
    return name === 'localhost' || isIP(name) !== 0 || this.#options.names.includes(name);
  }

  #asset(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = request.url.replace(/\?.*$/, '');
    if (request.method !== 'GET' || path.startsWith('/api/')) throw dashboardErrors.make('BEDS_DASHBOARD_NOT_FOUND');
    const { assets } = this.#options;
    const asset = assets.get(path) ?? (path.startsWith('/assets/') ? undefined : assets.get('/'));
    if (asset === undefined) throw dashboardErrors.make('BEDS_DASHBOARD_NOT_FOUND');
    if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send();
    const isGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    reply.headers({
      'content-type': asset.type,
      etag: asset.etag,
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
    });
    if (isGzip) reply.header('content-encoding', 'gzip');
    return reply.code(200).send(isGzip ? asset.gzip : asset.content);
  }
}

/** What nodes answered. Throws where none did: that nothing is known is not the same as that there is nothing. */
function answered<R>(answers: readonly (Answer<R> | Refusal)[]): readonly [Answer<R>, ...Answer<R>[]] {
  const [first, ...others] = answers.filter((answer) => answer.ok);
  if (first !== undefined) return [first, ...others];
  const [refused] = answers.flatMap((answer) => (answer.ok ? [] : [answer]));
  if (refused === undefined) throw adminErrors.make('BEDS_ADMIN_NO_NODES');
  const { code, message, hint: action = '' } = refused.error;
  throw new BedsError(code, { message, status: 'unavailable', action });
}

function httpStatusOf(error: unknown): number {
  if (!isBedsError(error)) return 500;
  return error.code === 'BEDS_DASHBOARD_SIGNED_OUT' || error.code === 'BEDS_REQUEST_SIGN_IN'
    ? 401
    : STATUS[error.status];
}

function cookieOf(header: string | undefined, name: string): string | undefined {
  const pairs = (header ?? '').split(';').map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}

function sumCallers(callers: readonly CallerView[]): readonly CallerView[] {
  const sums = new Map<string, CallerView>();
  for (const caller of callers) {
    const key = `${caller.operation}\n${caller.client}`;
    const before = sums.get(key)?.callsPerDay ?? 0;
    sums.set(key, { ...caller, callsPerDay: before + caller.callsPerDay });
  }
  return [...sums.values()].sort((a, b) => b.callsPerDay - a.callsPerDay).slice(0, 200);
}

function sumOperations(rows: readonly UsageRow[]): readonly OperationPart[] {
  const sums = new Map<string, OperationPart>();
  for (const { version, operation, calls, failures, p95Ms, firstAt, lastAt } of rows) {
    const key = `${operation}\n${version}`;
    const before = sums.get(key) ?? { version, operation, calls: 0, failures: 0, p95Ms, firstAt, lastAt };
    sums.set(key, {
      ...{ version, operation, calls: before.calls + calls, failures: before.failures + failures },
      p95Ms: Math.max(before.p95Ms, p95Ms),
      firstAt: Math.min(before.firstAt, firstAt),
      lastAt: Math.max(before.lastAt, lastAt),
    });
  }
  return [...sums.values()].sort((a, b) =>
    a.operation < b.operation ? -1 : a.operation > b.operation ? 1 : b.lastAt - a.lastAt,
  );
}

/** Pages ask for a few things at once; somebody may have several of them open. */
const MAX_QUESTIONS = 10;

/** What one account asks at once: whoever may look is not to keep the nodes and the stores from answering others. */
class QuestionBounds {
  readonly #underWay = new Map<string, number>();

  /** Throws BEDS_DASHBOARD_TOO_MANY. */
  begin(person: Person, { raw }: FastifyReply): void {
    const who = accountOf(person);
    const count = this.#underWay.get(who) ?? 0;
    if (count >= MAX_QUESTIONS) throw dashboardErrors.make('BEDS_DASHBOARD_TOO_MANY', 'You ask too much at once.');
    if (raw.closed) return;
    this.#underWay.set(who, count + 1);
    raw.once('close', () => {
      const left = (this.#underWay.get(who) ?? 1) - 1;
      if (left === 0) this.#underWay.delete(who);
      else this.#underWay.set(who, left);
    });
  }
}

/** A body that is larger, or does not say how large it is, is kept in memory with few others only. */
const MAX_LARGE_BODIES = 4;

class UploadBounds {
  #underWay = 0;

  /** Throws BEDS_DASHBOARD_TOO_MANY. */
  begin({ headers }: FastifyRequest, { raw }: FastifyReply): void {
    const length = Number(headers['content-length'] ?? Infinity);
    // n.b. who gave up while it was asked who he is has been closed already, and says so no more.
    if (length <= SMALL_BODY_BYTES || raw.closed) return;
    if (this.#underWay >= MAX_LARGE_BODIES) {
      throw dashboardErrors.make('BEDS_DASHBOARD_TOO_MANY', 'Other bundles are on their way.');
    }
    this.#underWay += 1;
    raw.once('close', () => (this.#underWay -= 1));
  }
}

const MINUTE_MS = 60_000;

/** How often somebody may try to sign in: passwords are not tried out here, and hashing them costs. */
class SignInBounds {
  readonly #tries = new Map<string, number[]>();
  #underWay = 0;

  async run<T>(address: string, signIn: () => Promise<T>): Promise<T> {
    const now = Date.now();
    for (const [key, times] of this.#tries) if ((times.at(-1) ?? 0) < now - MINUTE_MS) this.#tries.delete(key);
    const recent = (this.#tries.get(address) ?? []).filter((at) => at > now - MINUTE_MS);
    if (recent.length >= 20 || this.#underWay >= 4 || this.#tries.size >= 1_000) {
      throw dashboardErrors.make('BEDS_DASHBOARD_TOO_MANY', 'Too many have tried to sign in within a minute.');
    }
    this.#tries.set(address, [...recent, now]);
    this.#underWay += 1;
    try {
      return await signIn();
    } finally {
      this.#underWay -= 1;
    }
  }
}
