import { hash } from 'node:crypto';
import { isBedsError, type Json } from '@beds/sdk';
import type { RequestEnvelope, User } from '#sdk/template';
import { withTimeout } from '#sdk/time';
import type { Config } from '../config/schema.js';
import { requestErrors } from '../errors/request.js';
import { publishFault } from '../observe/channels.js';

/** Asks the domain `sessions` whose session this is; `null` in answer: nobody's. `timeoutMs`: how long the one waits who asks first. */
export type ResolveSession = (tokenHash: string, timeoutMs: number) => Promise<Json>;

/** Asks the domain `sessions` whether a token is of a session that was ended as `asked`: the same is asked once more. */
export type AskHasEnded = (tokenHash: string, asked: Readonly<Record<string, string>>) => Promise<Json>;

/** Reads the token of an OpenID provider. Undefined: it is none that counts. */
export type ReadToken = (token: string) => Promise<Resolved | undefined>;

/** Who is signed in, and until when that holds, milliseconds since 1970. */
export interface Resolved {
  readonly user: User;
  readonly untilMs: number;
}

/** A session, or a user, that is not to be let in any more. */
export interface Revocation {
  readonly session?: string | undefined;
  readonly user?: string | undefined;
}

export interface AccessOptions {
  readonly security: Pick<Config['security'], 'sessionCacheMs' | 'sessionCacheEntries'>;
  readonly resolve: ResolveSession;
  /** Undefined: nobody can say that. */
  readonly hasEnded?: AskHasEnded;
  /** Undefined: no provider is configured. */
  readonly readToken?: ReadToken | undefined;
  /** Begins to listen for revocations. Called once, with the first session. */
  readonly listen: () => void;
}

interface Entry {
  /** Undefined: nobody. */
  readonly user: User | undefined;
  /** In terms of performance.now(). */
  readonly untilMs: number;
}

/** A token that is nobody's is not asked for again in this time. */
const NOBODY_MS = 1_000;
/** Sessions that are asked for at once. */
const MAX_ASKED = 1_000;
/** Longer tokens, those of providers, are kept by their hashes. */
const LONGEST_KEY = 128;
/** Operations of `sessions` by which a user ends his own, with what they name; and how many of them may be looked into at once. */
const ENDINGS: ReadonlyMap<string, string> = new Map([
  ['revoke', 'session'],
  ['revokeAll', 'user'],
]);
const MAX_ENDINGS = 100;
const LONGEST_ID = 36;
/** What a user may have, so that the cache has a bound in bytes as well. */
const MOST_ROLES = 100;
const MOST_TEXT = 255;

/**
 * Whose session a request carries. What was asked is kept for `security.sessionCacheMs`, in this thread’s memory alone; a revocation
 * takes it away at once. While revocations cannot be heard nothing is kept.
 */
export class Access {
  readonly #options: AccessOptions;
  readonly #known = new Map<string, Entry>();
  /** n.b. apart from the others: who makes up tokens pushes out no user. */
  readonly #nobody = new Map<string, Entry>();
  readonly #asked = new Map<string, Promise<User | undefined>>();
  #isListening: boolean | undefined;
  #endings = 0;
  /** The one that was asked for last: mostly it is asked for again, and to compare two tokens costs a fraction of a look-up. */
  #lastKey = '';
  #last: Entry | undefined;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /** Sessions that are kept. */
  get size(): number {
    return this.#known.size;
  }

  /** The user of a session that is known at `nowMs`, in terms of performance.now(); null: it is nobody's. Undefined: ask. */
  known(token: string, nowMs: number): User | null | undefined {
    const last = this.#last;
    if (last !== undefined && token === this.#lastKey && last.untilMs > nowMs) return last.user ?? null;
    if (this.#isListening !== true) return undefined;
    const key = keyOf(token);
    const entry = this.#known.get(key) ?? this.#nobody.get(key);
    if (entry === undefined || entry.untilMs <= nowMs) return undefined;
    this.#lastKey = token;
    this.#last = entry;
    return entry.user ?? null;
  }

  /**
   * Asks for the user of a session; undefined: it is nobody's. Requests that ask for the same at once ask once. Rejects with
   * BEDS_REQUEST_SESSION_UNAVAILABLE where nobody can say it, or BEDS_REQUEST_DEADLINE_EXCEEDED.
   */
  async ask(token: string, timeoutMs: number): Promise<User | undefined> {
    if (this.#isListening === undefined) {
      this.#isListening = false;
      this.#options.listen();
    }
    const key = keyOf(token);
    let asking = this.#asked.get(key);
    if (asking === undefined) {
      if (this.#asked.size >= MAX_ASKED) {
        throw requestErrors.make('BEDS_REQUEST_SESSION_UNAVAILABLE', 'Too many sessions are being asked for at once.');
      }
      asking = this.#ask(key, token, timeoutMs);
      this.#asked.set(key, asking);
    }
    return withTimeout(asking, Math.max(1, Math.ceil(timeoutMs)), () =>
      requestErrors.make('BEDS_REQUEST_DEADLINE_EXCEEDED'),
    );
  }

  /**
   * Whether somebody whose token is nobody's asks once more for the end of his session, as RabbitMQ delivers again what a host had
   * carried out when it was lost. Undefined: he asks for something else. Never rejects.
   */
  asksForEndAgain(token: string, { domain, op, payload }: RequestEnvelope): Promise<boolean> | undefined {
    const { hasEnded } = this.#options;
    const field = domain === 'sessions' ? ENDINGS.get(op) : undefined;
    const value = field === undefined ? undefined : payload?.[field];
    const isAskable = typeof value === 'string' && value.length <= LONGEST_ID && !isJwt(token);
    if (hasEnded === undefined || field === undefined || !isAskable || this.#endings >= MAX_ENDINGS) return undefined;
    this.#endings += 1;
    return hasEnded(hashOf(token), { [field]: value })
      .then(
        (answer) => answer === true,
        () => false,
      )
      .finally(() => (this.#endings -= 1));
  }

  /** Revocations are heard from now on, or not any more: what was revoked meanwhile is not known. */
  listening(isListening: boolean): void {
    this.#isListening = isListening;
    this.#forgetAll();
  }

  /** n.b. what is being asked may have been answered before: who asks from now on asks anew, and the answer is not kept. */
  revoke({ session, user }: Revocation): void {
    this.#asked.clear();
    this.#last = undefined;
    for (const [key, entry] of this.#known) {
      if (entry.user?.session === session || entry.user?.id === user) this.#known.delete(key);
    }
  }

  async #ask(key: string, token: string, timeoutMs: number): Promise<User | undefined> {
    // n.b. in a later turn: it is among those that are asked for by then.
    await Promise.resolve();
    const asking = this.#asked.get(key);
    try {
      const resolved = await this.#resolve(token, timeoutMs);
      // n.b. a revocation in the turn in which it was asked for has forgotten it as well.
      if (asking !== undefined && this.#asked.get(key) === asking) this.#keep(key, resolved);
      return resolved?.user;
    } finally {
      if (this.#asked.get(key) === asking) this.#asked.delete(key);
    }
  }

  async #resolve(token: string, timeoutMs: number): Promise<Resolved | undefined> {
    const { readToken, resolve } = this.#options;
    try {
      if (!isJwt(token)) return resolvedOf(await resolve(hashOf(token), timeoutMs));
      return await readToken?.(token);
    } catch (error) {
      if (isBedsError(error) && error.code === 'BEDS_REQUEST_SESSION_UNAVAILABLE') throw error;
      if (!isBedsError(error) || error.status === 'fault') publishFault({ where: 'session', error });
      const isAbsent = isBedsError(error) && error.code === 'BEDS_REQUEST_ROLE_ABSENT';
      const words = isAbsent ? 'No node that plays the role of the domain sessions serves it.' : undefined;
      throw requestErrors.make('BEDS_REQUEST_SESSION_UNAVAILABLE', words, { cause: error });
    }
  }

  #keep(key: string, resolved: Resolved | undefined): void {
    if (this.#isListening !== true) return;
    const nowMs = performance.now();
    const { sessionCacheMs, sessionCacheEntries } = this.#options.security;
    const [kept, forMs, most] =
      resolved === undefined
        ? ([this.#nobody, NOBODY_MS, MAX_ASKED] as const)
        : ([this.#known, Math.min(sessionCacheMs, resolved.untilMs - Date.now()), sessionCacheEntries] as const);
    this.#last = undefined;
    kept.delete(key);
    if (kept.size >= most) for (const [oldest] of kept) if (kept.delete(oldest)) break;
    kept.set(key, { user: resolved?.user, untilMs: nowMs + forMs });
  }

  #forgetAll(): void {
    this.#last = undefined;
    for (const kept of [this.#known, this.#nobody, this.#asked]) kept.clear();
  }
}

/** What a token is kept by. n.b. a hash would cost each request as much as all else that is done to know its user. */
function keyOf(token: string): string {
  return token.length <= LONGEST_KEY ? token : hashOf(token);
}

/** What stands for a token where it is asked for. */
function hashOf(token: string): string {
  return hash('sha256', token, 'hex');
}

/** Header, claims and signature; our own tokens have no dots. */
function isJwt(token: string): boolean {
  return token.split('.', 4).length === 3;
}

/** Throws BEDS_REQUEST_SESSION_UNAVAILABLE where the domain answers with something else than agreed. */
function resolvedOf(answer: Json): Resolved | undefined {
  if (answer === null) return undefined;
  const { user, session, expiresAt, idleUntil } = answer as Readonly<Record<string, unknown>>;
  const { id, name, roles } = (user ?? {}) as Readonly<Record<string, unknown>>;
  const untilMs = Math.min(...[expiresAt, idleUntil].map(instantOf));
  const made = userOf({ id, name, roles, session });
  if (made === undefined || Number.isNaN(untilMs)) {
    throw requestErrors.make('BEDS_REQUEST_SESSION_UNAVAILABLE', 'sessions.resolve answered with what is no session.');
  }
  return untilMs > Date.now() ? { user: made, untilMs } : undefined;
}

function instantOf(value: unknown): number {
  if (value === undefined || value === null) return Infinity;
  return typeof value === 'string' ? Date.parse(value) : Number(value);
}

/** The user, as code may have it for as long as it likes; undefined where these are not the parts of one. */
export function userOf(parts: Readonly<Record<'id' | 'name' | 'roles' | 'session', unknown>>): User | undefined {
  const { name, roles } = parts;
  const [id, session] = [textOf(parts.id), textOf(parts.session)];
  if (id === undefined || session === undefined || !Array.isArray(roles) || roles.length > MOST_ROLES) return undefined;
  const named = roles.map(textOf).filter((role) => role !== undefined);
  if (named.length !== roles.length || isPadded(id)) return undefined;
  const [shown, own] = [textOf(name), named.filter((role) => !isPadded(role))];
  return Object.freeze({ id, ...(shown !== undefined && { name: shown }), roles: Object.freeze(own), session });
}

/** n.b. databases compare texts without the spaces at their ends: rows of `ann` would be those of `ann ` as well. */
function isPadded(text: string): boolean {
  return text.endsWith(' ');
}

/** n.b. a text of its own: a part of a longer one would keep the whole of it in memory. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  return typeof value === 'string' && value !== '' && value.length <= MOST_TEXT ? value : undefined;
}
