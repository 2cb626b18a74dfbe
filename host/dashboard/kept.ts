import { isBedsError, type Json, type JsonObject } from '@beds/sdk';
import { z } from 'zod';
import { type KeptUsage, usageKnown, verdictOf } from '../admin/object-usage.js';
import { adminErrors } from '../errors/admin.js';
import { dashboardErrors } from '../errors/dashboard.js';
import { type ObjectsView, type Role, USER_ORDERS } from './contract.js';
import { mayAct, type Person, tokensOf } from './identities.js';
import type { Nodes } from './nodes.js';

const name = z.string().max(200);
const instant = z.int().min(0);
const id = z.string().min(1).max(36);

/** What a page may ask of what is kept, and which role that needs. */
const QUESTIONS = {
  logs: {
    role: 'viewer',
    input: z.strictObject({
      ...{ domain: name.exactOptional(), node: name.exactOptional(), requestId: name.exactOptional() },
      ...{ level: z.int().min(0).max(100).exactOptional(), cause: z.string().max(16).exactOptional() },
      ...{ since: instant.exactOptional(), limit: z.int().min(1).max(500).exactOptional() },
    }),
  },
  faults: { role: 'viewer', input: z.strictObject({ domain: name.exactOptional(), since: instant }) },
  series: {
    role: 'viewer',
    input: z.strictObject({
      ...{ domain: name.exactOptional(), node: name.exactOptional(), from: instant, to: instant },
      points: z.int().min(1).max(1_000),
    }),
  },
  objects: { role: 'viewer', input: z.strictObject({ name: name.min(1).exactOptional() }) },
  users: { role: 'operator', input: z.strictObject({}) },
  sessions: { role: 'operator', input: z.strictObject({ user: id }) },
} as const satisfies Readonly<Record<string, { readonly role: Role; readonly input: z.ZodType }>>;

interface Asked {
  readonly domain: string;
  readonly op: string;
  readonly input: JsonObject;
}

type Question = keyof typeof QUESTIONS;
type Input<Q extends Question> = z.output<(typeof QUESTIONS)[Q]['input']>;

const userOrder = z.strictObject({
  op: z.enum(USER_ORDERS),
  id,
  roles: z.array(z.string().min(1).max(50)).max(50).exactOptional(),
  name: z.string().min(1).max(100).exactOptional(),
  password: z.string().max(200).exactOptional(),
});

const CALL_MS = 8_000;
const OBJECTS_MS = 3_000;
/** Those who ask the same within this time are given one answer. */
const REMEMBERED_MS = 1_000;
const MAX_REMEMBERED = 200;
const MAX_USERS = 500;

/** A domain that nobody serves: no node plays the role, or its version is not live. */
const ABSENT: ReadonlySet<string> = new Set([
  'BEDS_REQUEST_UNKNOWN_DOMAIN',
  'BEDS_REQUEST_ROLE_ABSENT',
  'BEDS_CLIENT_UNROUTABLE',
]);

/** What the domains of the roles admin and tercero keep, for pages: log lines, samples, how objects are used, users and their sessions. */
export class Kept {
  readonly #nodes: Pick<Nodes, 'call' | 'query'>;
  readonly #expected: () => number;
  readonly #answers = new Map<string, { readonly atMs: number; readonly answer: Promise<unknown> }>();

  /** `expected`: how many nodes answer. */
  constructor(nodes: Pick<Nodes, 'call' | 'query'>, expected: () => number) {
    this.#nodes = nodes;
    this.#expected = expected;
  }

  /** Rejects with BEDS_DASHBOARD_INVALID, _FORBIDDEN, _NOTHING_KEPT, or what the domain answers with. */
  async ask(question: string, body: unknown, person: Person): Promise<unknown> {
    if (!isQuestion(question)) throw dashboardErrors.make('BEDS_DASHBOARD_NOT_FOUND');
    const { role, input } = QUESTIONS[question];
    if (!mayAct(person.me, role)) throw dashboardErrors.make('BEDS_DASHBOARD_FORBIDDEN');
    const read = input.safeParse(body);
    if (!read.success) throw dashboardErrors.make('BEDS_DASHBOARD_INVALID');
    // n.b. whom the domain lets see users it decides itself, each time.
    if (role !== 'viewer') return this.#answer(question, read.data, person);
    const key = `${question} ${JSON.stringify(read.data)}`;
    const known = this.#answers.get(key);
    const now = Date.now();
    if (known !== undefined && now - known.atMs < REMEMBERED_MS) return known.answer;
    for (const [each, { atMs }] of this.#answers) {
      if (now - atMs >= REMEMBERED_MS || this.#answers.size >= MAX_REMEMBERED) this.#answers.delete(each);
    }
    const answer = this.#answer(question, read.data, person);
    this.#answers.set(key, { atMs: now, answer });
    answer.catch(() => this.#answers.delete(key));
    return answer;
  }

  /** What an operator does to a user. */
  async order(body: unknown, person: Person): Promise<object> {
    if (!mayAct(person.me, 'operator')) throw dashboardErrors.make('BEDS_DASHBOARD_FORBIDDEN');
    const read = userOrder.safeParse(body);
    if (!read.success) throw dashboardErrors.make('BEDS_DASHBOARD_INVALID');
    const { op, id: user, roles = [], name: called = '', password = '' } = read.data;
    if (op === 'endSession') await this.#call({ domain: 'sessions', op: 'revoke', input: { session: user } }, person);
    else if (op === 'setRoles')
      await this.#call({ domain: 'users', op: 'setRoles', input: { id: user, roles } }, person);
    else if (op === 'create')
      await this.#call({ domain: 'users', op: 'create', input: { name: called, password, roles } }, person);
    else await this.#call({ domain: 'users', op, input: { id: user } }, person);
    return {};
  }

  #answer(question: Question, input: unknown, person: Person): Promise<unknown> {
    switch (question) {
      case 'logs':
        return this.#call(
          {
            domain: 'logs',
            op: 'search',
            input: { ...(input as JsonObject), limit: (input as Input<'logs'>).limit ?? 200 },
          },
          person,
        );
      case 'faults':
        return this.#call({ domain: 'logs', op: 'faults', input: input as JsonObject }, person);
      case 'series':
        return this.#call({ domain: 'metrics', op: 'series', input: input as JsonObject }, person);
      case 'objects':
        return this.#objects(input as Input<'objects'>, person);
      case 'users':
        return this.#call(
          { domain: 'users', op: 'fetch', input: { order: [{ column: 'name', direction: 'asc' }], limit: MAX_USERS } },
          person,
        );
      case 'sessions':
        return this.#call({ domain: 'sessions', op: 'list', input: input as JsonObject }, person);
    }
  }

  /** n.b. without a node that keeps them, calls are those that nodes have counted today. */
  async #objects(input: Input<'objects'>, person: Person): Promise<ObjectsView> {
    const ask = { timeoutMs: OBJECTS_MS, expected: Math.max(1, this.#expected()) };
    const [answers, kept] = await Promise.all([
      this.#nodes.query('objects', input, ask),
      this.#call({ domain: 'metrics', op: 'objects', input }, person).then(
        (answer) => answer as unknown as KeptUsage,
        (error: unknown) => {
          if (isBedsError(error) && error.code === 'BEDS_DASHBOARD_NOTHING_KEPT') return undefined;
          throw error;
        },
      ),
    ]);
    const good = answers.flatMap((answer) => (answer.ok ? [answer] : []));
    if (good.length === 0) throw adminErrors.make('BEDS_ADMIN_NO_NODES');
    const known = usageKnown(good, kept);
    return {
      ...(input.name === undefined ? {} : { verdict: verdictOf(input.name, known, agoOf) }),
      declared: [
        ...new Map(known.declared.map(({ node: _, ...each }) => [Object.values(each).join('\n'), each])).values(),
      ],
      uses: known.uses.filter(({ object }) => object !== ''),
      since: known.since,
      isKept: known.isKept,
    };
  }

  async #call({ domain, op, input }: Asked, { cookie }: Person): Promise<Json> {
    const { token } = tokensOf(cookie);
    const session = token === '' ? undefined : token;
    try {
      return await this.#nodes.call({ domain, op, input, session, deadlineMs: CALL_MS });
    } catch (error) {
      if (!isBedsError(error) || !ABSENT.has(error.code)) throw error;
      const words = `No node that answers has the domain ${domain} live.`;
      throw dashboardErrors.make('BEDS_DASHBOARD_NOTHING_KEPT', words, { cause: error });
    }
  }
}

function isQuestion(text: string): text is Question {
  return Object.hasOwn(QUESTIONS, text);
}

function agoOf(ms: number): string {
  const minutes = Math.round((Date.now() - ms) / 60_000);
  if (minutes < 2) return 'just now';
  if (minutes < 120) return `${String(minutes)} minutes ago`;
  return minutes < 2_880
    ? `${String(Math.round(minutes / 60))} hours ago`
    : `${String(Math.round(minutes / 1_440))} days ago`;
}
