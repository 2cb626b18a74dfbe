import { randomUUID } from 'node:crypto';
import {
  type Call,
  defineDomain,
  type JsonObject,
  notFound,
  operationsOf,
  refused,
  type RowOf,
  t,
  type User,
} from '@beds/sdk';
import { definition, place, session } from './definition.js';
import { forgetEvents, publishedEvents, takeEvents, takenEvents, told } from '../users/outbox.js';
import { familyOf, newPair, newSalt, nextPair, type Pair, sha256 } from './tokens.js';

/** Without a refresh a token ends after this time. */
const TOKEN_MS = 1_800_000;
/** Without a refresh a session ends after this time, and in any case after the other. */
const IDLE_MS = 14 * 86_400_000;
const LONGEST_MS = 90 * 86_400_000;
/** For so long the pair before is good as well: others may have refreshed in the same moment, and requests are under way. */
const GRACE_MS = 10_000;
/** What has ended is kept for so long. */
const KEPT_MS = 7 * 86_400_000;
const PURGE_ONE_IN = 64;

const { query, mutation, unsupported } = operationsOf<typeof definition>();
const { id } = session.fields;
const user = t.object({ id: t.string(), name: t.string(), roles: t.list(t.string()) });
const granted = t.object({
  ...{ token: t.string(), refresh: t.string(), session: t.string(), user },
  ...{ expiresAt: t.int(), idleUntil: t.int(), endsAt: t.int() },
});

type Terms = Pick<Call<unknown, typeof definition>, 'db' | 'peers'>;
type Tokens = NonNullable<Awaited<ReturnType<Terms['db']['byToken']>>>;
type SignedIn = RowOf<typeof user.fields>;
type Grant = RowOf<typeof granted.fields>;

/** The user of a session that has not ended; undefined: it has. */
async function userOf({ user_id: id, created_at: beganAt }: Tokens, { peers }: Terms): Promise<SignedIn | undefined> {
  const { user: found } = await peers.users.brief({ id });
  if (found === null || beganAt <= found.sessions_after) return undefined;
  return { id: found.id, name: found.name, roles: found.roles };
}

/** Ends a session, and says why to whoever remembers it. */
async function end(
  { id, user_id: user }: Pick<Tokens, 'id' | 'user_id'>,
  reason: string,
  db: Terms['db'],
): Promise<void> {
  const at = Date.now();
  const event = told(at, ['session.revoked', { session: id, user, reason }]);
  await db.end({ id, ended_at: at, event });
}

function ended(): Error {
  return refused('The session has ended. Sign in again.');
}

function grantOf(found: Tokens, { token, refresh }: Pair, { user, tokenUntil, idleUntil }: GrantTimes): Grant {
  const { id: session, expires_at: endsAt } = found;
  return { token, refresh, session, user, expiresAt: tokenUntil, idleUntil, endsAt };
}

interface GrantTimes {
  readonly user: SignedIn;
  readonly tokenUntil: number;
  readonly idleUntil: number;
}

export const operations = {
  create: unsupported('A session begins by signIn.'),
  update: unsupported('A session changes by refresh.'),
  delete: unsupported('A session ends by signOut or revoke.'),

  /** A name and a password become a session. The answer to whatever is wrong is that of `users.verify`. */
  signIn: mutation(
    {
      input: { name: t.string({ max: 100 }), password: t.string({ max: 200 }), where: place.optional() },
      output: granted,
    },
    async ({ input: { name, password, where }, db, peers }) => {
      const address = where?.address ?? null;
      const verified = await peers.users.verify({ name, password, ...(address !== null && { address }) });
      const { sessions_after: endedUntil, ...user } = verified;
      const now = Date.now();
      if (Math.random() * PURGE_ONE_IN < 1) await db.purge({ before_at: now - KEPT_MS });
      const pair = newPair();
      const times = { token_until: now + TOKEN_MS, idle_until: now + IDLE_MS, expires_at: now + LONGEST_MS };
      const session = randomUUID();
      const place = { address, device: where?.device ?? null };
      const hashes = { family_hash: familyOf(pair.refresh) ?? '', token_hash: sha256(pair.token) };
      // n.b. what was known before the password was compared: whatever ended all sessions since then ends this one, too.
      const createdAt = Math.max(now, endedUntil + 1);
      const begun = { id: session, user_id: user.id, place, created_at: createdAt, ...times };
      await db.insert({ ...begun, ...hashes, refresh_hash: sha256(pair.refresh) });
      const until = { expiresAt: times.token_until, idleUntil: times.idle_until, endsAt: times.expires_at };
      return { ...pair, session, user, ...until };
    },
  ),

  /** The next pair of tokens. One that was replaced some time ago ends its session: somebody else has it, too. */
  refresh: mutation(
    { input: { refresh: t.string({ max: 100 }) }, output: granted },
    async ({ input: { refresh }, db, peers }) => {
      const terms = { db, peers };
      const family = familyOf(refresh);
      if (family === undefined) throw ended();
      const hash = sha256(refresh);
      let found = await db.byFamily({ family_hash: family });
      const now = Date.now();
      if (found === undefined || now >= Math.min(found.idle_until, found.expires_at)) throw ended();
      const user = await userOf(found, terms);
      if (user === undefined) throw ended();
      if (found.refresh_hash === hash) {
        const salt = newSalt();
        const pair = nextPair(refresh, salt);
        const tokenUntil = Math.min(now + TOKEN_MS, found.expires_at);
        const idleUntil = Math.min(now + IDLE_MS, found.expires_at);
        const former = { former_refresh_hash: hash, former_token_hash: found.token_hash, former_until: now + GRACE_MS };
        const next = { token_hash: sha256(pair.token), refresh_hash: sha256(pair.refresh), salt };
        const times = { refreshed_at: now, token_until: tokenUntil, idle_until: idleUntil };
        const { affected } = await db.rotate({ id: found.id, ...former, ...next, ...times });
        if (affected > 0) return grantOf(found, pair, { user, tokenUntil, idleUntil });
        // Another one was quicker.
        found = await db.byFamily({ family_hash: family });
        if (found === undefined) throw ended();
      }
      if (found.former_refresh_hash === hash && Date.now() <= found.former_until) {
        const times = { user, tokenUntil: found.token_until, idleUntil: found.idle_until };
        return grantOf(found, nextPair(refresh, found.salt), times);
      }
      await end(found, 'replayed', db);
      throw ended();
    },
  ),

  /** Whose token it is; null: nobody's any more. For hosts. */
  resolve: query(
    {
      input: { tokenHash: t.string({ max: 64 }) },
      output: t.object({ user, session: t.string(), expiresAt: t.int(), idleUntil: t.int() }).optional(),
    },
    async ({ input: { tokenHash }, db, peers }) => {
      const found = await db.byToken({ token_hash: tokenHash });
      if (found === undefined) return null;
      const isFormer = found.token_hash !== tokenHash;
      const expiresAt = isFormer ? Math.min(found.former_until, found.token_until) : found.token_until;
      if (Date.now() >= Math.min(expiresAt, found.expires_at)) return null;
      const user = await userOf(found, { db, peers });
      if (user === undefined) return null;
      return { user, session: found.id, expiresAt, idleUntil: found.idle_until };
    },
  ),

  /**
   * Whether a token is of the session that is to be ended, or of one of all those of the user, and that has been done: who ends his
   * own session and asks once more is answered as the first time, though he is nobody any more. For hosts.
   */
  hasEnded: query(
    { input: { tokenHash: t.string({ max: 64 }), session: id.optional(), user: id.optional() }, output: t.boolean() },
    async ({ input: { tokenHash, session, user }, db, peers }) => {
      const found = await db.any({ token_hash: tokenHash });
      if (found === undefined) return false;
      if (typeof session === 'string') return found.id === session && typeof found.ended_at === 'number';
      if (user !== found.user_id) return false;
      const { user: owner } = await peers.users.brief({ id: found.user_id });
      return owner !== null && found.created_at <= owner.sessions_after;
    },
  ),

  /** Who has its token may end a session. */
  signOut: mutation({ input: { token: t.string({ max: 100 }) }, output: {} }, async ({ input: { token }, db }) => {
    const found = await db.byToken({ token_hash: sha256(token) });
    if (found !== undefined) await end(found, 'signed-out', db);
    return {};
  }).idempotent(),

  /** Ends one session, of who asks or, for an operator, of anybody. One that has ended already stays so: whoever asks again is told the same. */
  revoke: mutation({ input: { session: id }, output: {} }, async ({ input: { session }, db, user: asking }) => {
    const found = await db.owner({ id: session });
    const isTheirs = asking?.roles.includes('operator') === true || found?.user_id === asking?.id;
    if (found === undefined || !isTheirs) throw notFound('There is no such session.');
    await end({ id: session, user_id: found.user_id }, 'revoked', db);
    return {};
  }).idempotent(),

  /** Ends all sessions of a user. */
  revokeAll: mutation({ input: { user: id }, output: {} }, async ({ input: { user }, peers }) => {
    await peers.users.endSessions({ id: user });
    return {};
  }).idempotent(),

  /** Where and since when a user is signed in, the newest first. */
  list: query({ input: { user: id }, output: t.list(session, { max: 100 }) }, async ({ input, db, peers }) => {
    const { user } = await peers.users.brief({ id: input.user });
    const began = { gt: user?.sessions_after ?? Date.now() };
    const order = [{ column: 'created_at', direction: 'desc' }] as const;
    const where = { user_id: input.user, created_at: began, idle_until: { gt: Date.now() } };
    return (await db.fetch({ where, order, limit: 100 })).rows;
  }),

  /** Events of one record, for the broker that publishes them; they are its own for some seconds. */
  outbox: mutation({ output: takenEvents }, ({ db }) => takeEvents(db)).idempotent(),

  /** These have been published. */
  outboxDone: mutation({ input: publishedEvents, output: {} }, ({ input, db }) => forgetEvents(db, input)).idempotent(),
};

/** n.b. nobody is told whether there is a session of somebody else. */
function isOwnOrOperator({ id, roles }: User, { user }: JsonObject): boolean {
  return user === id || roles.includes('operator');
}

/** Who is signed in. */
export default defineDomain({
  ...definition,
  name: 'sessions',
  version: '1.0.0',
  access: {
    fetch: ['operator'],
    signIn: 'anyone',
    refresh: 'anyone',
    signOut: 'anyone',
    resolve: 'host',
    hasEnded: 'host',
    revoke: 'signed-in',
    revokeAll: isOwnOrOperator,
    list: isOwnOrOperator,
    outbox: 'host',
    outboxDone: 'host',
  },
  operations: () => operations,
});
