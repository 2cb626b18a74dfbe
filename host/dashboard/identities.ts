import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { BedsClient } from '@beds/sdk/client';
import { isBedsError } from '@beds/sdk';
import { z } from 'zod';
import { dashboardErrors } from '../errors/dashboard.js';
import { type Me, type Role, ROLES } from './contract.js';

/** Who is signed in with one session, for as long as the server knows it. */
export interface Person {
  me: Me;
  /** The pair that is good now. */
  cookie: string;
  /** When the token ends, milliseconds since 1970. */
  expiresAtMs: number;
  /** Milliseconds since 1970: then the domain `sessions` said last that the session is good, and which roles he has. */
  checkedAtMs: number;
  rolesAtMs: number;
  /** It has ended: nothing more is done for it. */
  isEnded: boolean;
}

/** What the domain `sessions` answers to `signIn` and `refresh`. */
const grant = z.object({
  token: z.string(),
  refresh: z.string(),
  user: z.object({ id: z.string(), name: z.string(), roles: z.array(z.string()) }),
  expiresAt: z.number(),
});

/** Of a session that began with the key of the host; it is known here only, and ends with the server. */
const KEY_COOKIE = /^bk_[\w-]{43}$/;
const KEY_SESSION_MS = 12 * 3_600_000;
const COOKIE = /^(bs_[\w-]{43})\.(br_[\w-]{64})$/;
const CALL_MS = 8_000;
const CHECK_MS = 3_000;
const CHECK_EVERY_MS = 5_000;
/** A token is exchanged for the next one when it lasts no longer than this. */
const RENEW_BEFORE_MS = 600_000;
/** Roles that are older than this are asked for again before an order. */
const ROLES_MS = 30_000;
/** Requests that were under way when a pair was replaced still have the former one. */
const FORMER_MS = 10_000;
const MAX_PEOPLE = 1_000;
const MAX_RENEWALS = 8;

/**
 * Who asks. The browser keeps the tokens of tercero in a cookie that no script reads; here it is remembered whose they are,
 * so that a page costs no question to the database, and they are exchanged before they end. A restart of the server signs
 * nobody out.
 */
export class Identities {
  readonly #client: () => Promise<BedsClient>;
  readonly #key: string | undefined;
  /** By the hash of the cookie. */
  readonly #people = new Map<string, Person>();
  readonly #renewing = new Map<string, Promise<Person>>();
  readonly #checking = new Map<Person, Promise<void>>();

  /** `key`: whoever has it may do everything; undefined: there is none. */
  constructor(client: () => Promise<BedsClient>, key: string | undefined) {
    this.#client = client;
    this.#key = key;
  }

  get takesKey(): boolean {
    return this.#key !== undefined;
  }

  /** Throws BEDS_DASHBOARD_KEY_WRONG. */
  signInByKey(key: string): Person {
    const isRight = this.#key !== undefined && timingSafeEqual(digestOf(key), digestOf(this.#key));
    if (!isRight) throw dashboardErrors.make('BEDS_DASHBOARD_KEY_WRONG');
    const now = Date.now();
    const cookie = `bk_${randomBytes(32).toString('base64url')}`;
    const me: Me = { name: 'the key of this host', id: '', role: 'dba' };
    const times = { expiresAtMs: now + KEY_SESSION_MS, checkedAtMs: now, rolesAtMs: now };
    return this.#keep({ me, cookie, ...times, isEnded: false });
  }

  /** Rejects with what the domain answers to a wrong name or password, or with BEDS_DASHBOARD_SESSIONS_AWAY. */
  async signIn(
    { name, password }: { readonly name: string; readonly password: string },
    where: { readonly address: string; readonly device: string },
  ): Promise<Person> {
    const client = await this.#reach();
    const terms = { session: null, deadlineMs: CALL_MS };
    const answer = await client
      .domain('sessions')
      .call('signIn', { name, password, where: { ...where } }, terms)
      .catch(throwAway);
    return this.#remember(answer);
  }

  /** The person of a cookie. Rejects with BEDS_DASHBOARD_SIGNED_OUT or _SESSIONS_AWAY. */
  async of(cookie: string | undefined): Promise<Person> {
    const isByKey = cookie !== undefined && KEY_COOKIE.test(cookie);
    if (cookie === undefined || !(isByKey || COOKIE.test(cookie)))
      throw dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT');
    const person = this.#people.get(hashOf(cookie));
    if (isByKey) {
      if (person === undefined || Date.now() >= person.expiresAtMs)
        throw dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT');
      return person;
    }
    if (person === undefined) return this.#renew(cookie);
    if (person.isEnded) throw dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT');
    if (person.expiresAtMs - Date.now() < RENEW_BEFORE_MS) await this.#renewOf(person);
    else await this.check(person);
    return person;
  }

  /** Makes sure, before an order, of the roles that he has now. */
  async refreshRoles(person: Person): Promise<void> {
    if (!isByKey(person) && Date.now() - person.rolesAtMs >= ROLES_MS) await this.#renew(person.cookie, person);
  }

  /** Makes sure, every few seconds, that the session has not been ended. Rejects with BEDS_DASHBOARD_SIGNED_OUT. */
  async check(person: Person): Promise<void> {
    const hasEnded = person.isEnded || (isByKey(person) && Date.now() >= person.expiresAtMs);
    if (hasEnded) throw dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT');
    if (isByKey(person) || Date.now() - person.checkedAtMs < CHECK_EVERY_MS) return;
    const checking = this.#checking.get(person) ?? this.#check(person).finally(() => this.#checking.delete(person));
    this.#checking.set(person, checking);
    await checking;
  }

  async signOut(person: Person): Promise<void> {
    this.#end(person);
    if (isByKey(person)) return;
    const client = await this.#reach();
    const { token } = tokensOf(person.cookie);
    await client.domain('sessions').call('signOut', { token }, { session: null, deadlineMs: CALL_MS }).catch(throwAway);
  }

  /** n.b. that nobody can be asked ends no session: who watches an outage goes on watching it, until the token ends. */
  async #check(person: Person): Promise<void> {
    try {
      const client = await this.#reach();
      const { token } = tokensOf(person.cookie);
      await client.domain('sessions').call('list', { user: person.me.id }, { session: token, deadlineMs: CHECK_MS });
      person.checkedAtMs = Date.now();
    } catch (error) {
      if (isEndOfSession(error)) this.#end(person);
      else if (Date.now() >= person.expiresAtMs) throw away(error);
    }
    if (person.isEnded) throw dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT');
  }

  async #renewOf(person: Person): Promise<void> {
    try {
      await this.#renew(person.cookie, person);
    } catch (error) {
      const isAway = isBedsError(error) && error.code === 'BEDS_DASHBOARD_SESSIONS_AWAY';
      if (!isAway || Date.now() >= person.expiresAtMs) throw error;
    }
  }

  /** Those who come with the same cookie exchange it once. */
  #renew(cookie: string, person?: Person): Promise<Person> {
    const key = hashOf(cookie);
    const renewing = this.#renewing.get(key);
    if (renewing !== undefined) return renewing;
    if (this.#renewing.size >= MAX_RENEWALS) return Promise.reject(dashboardErrors.make('BEDS_DASHBOARD_TOO_MANY'));
    const begun = this.#exchange(cookie, person).finally(() => this.#renewing.delete(key));
    this.#renewing.set(key, begun);
    return begun;
  }

  async #exchange(cookie: string, person: Person | undefined): Promise<Person> {
    const client = await this.#reach();
    const { refresh } = tokensOf(cookie);
    try {
      const terms = { session: null, deadlineMs: CALL_MS };
      const answer = await client.domain('sessions').call('refresh', { refresh }, terms);
      return this.#remember(answer, person);
    } catch (error) {
      if (!isEndOfSession(error)) throw away(error);
      if (person !== undefined) this.#end(person);
      throw dashboardErrors.make('BEDS_DASHBOARD_SIGNED_OUT', undefined, { cause: error });
    }
  }

  #remember(answer: unknown, known?: Person): Person {
    const { token, refresh, user, expiresAt } = grant.parse(answer);
    const role = roleOf(user.roles);
    const me: Me = { name: user.name, id: user.id, ...(role === undefined ? {} : { role }) };
    const now = Date.now();
    const fresh = { me, cookie: `${token}.${refresh}`, expiresAtMs: expiresAt, checkedAtMs: now, rolesAtMs: now };
    const person: Person = Object.assign(known ?? { isEnded: false }, fresh);
    if (known !== undefined) this.#forgetFormer(known);
    return this.#keep(person);
  }

  #keep(person: Person): Person {
    const [oldest] = this.#people.keys();
    if (this.#people.size >= MAX_PEOPLE && oldest !== undefined) this.#people.delete(oldest);
    this.#people.set(hashOf(person.cookie), person);
    return person;
  }

  #forgetFormer(person: Person): void {
    const former = [...this.#people].flatMap(([key, each]) => (each === person ? [key] : []));
    setTimeout(() => {
      for (const key of former) this.#people.delete(key);
    }, FORMER_MS).unref();
  }

  #end(person: Person): void {
    person.isEnded = true;
    for (const [key, each] of this.#people) if (each === person) this.#people.delete(key);
  }

  async #reach(): Promise<BedsClient> {
    try {
      return await this.#client();
    } catch (error) {
      throw away(error);
    }
  }
}

/** The tokens of a cookie that `Identities.of` let through; empty where the session began with the key of the host. */
export function tokensOf(cookie: string): { readonly token: string; readonly refresh: string } {
  const [, token = '', refresh = ''] = COOKIE.exec(cookie) ?? [];
  return { token, refresh };
}

/** The same for all sessions of one account; those who came with the key of the host are told apart. */
export function accountOf({ me, cookie }: Person): string {
  return me.id === '' ? hashOf(cookie) : `account ${me.id}`;
}

export function mayAct(me: Me, least: Role): boolean {
  return me.role !== undefined && ROLES.indexOf(me.role) >= ROLES.indexOf(least);
}

function roleOf(roles: readonly string[]): Role | undefined {
  return ROLES.findLast((role) => roles.includes(role));
}

function isByKey({ cookie }: Person): boolean {
  return KEY_COOKIE.test(cookie);
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** n.b. a cookie is a secret: only its hash is kept as a key. */
function hashOf(cookie: string): string {
  return createHash('sha256').update(cookie).digest('base64url');
}

function isEndOfSession(error: unknown): boolean {
  return (
    isBedsError(error) && (error.code === 'BEDS_REQUEST_SIGN_IN' || ['forbidden', 'invalid'].includes(error.status))
  );
}

function away(cause: unknown): Error {
  if (isBedsError(cause) && cause.code.startsWith('BEDS_DASHBOARD_')) return cause;
  return dashboardErrors.make('BEDS_DASHBOARD_SESSIONS_AWAY', undefined, { cause });
}

/** What is wrong with the answer is for him who signs in; that there is none is another matter. */
function throwAway(error: unknown): never {
  throw isBedsError(error) && ['forbidden', 'invalid', 'overloaded'].includes(error.status) ? error : away(error);
}
