import { createHash, randomBytes } from 'node:crypto';
import { conflict, defineDomain, notFound, operationsOf, refused, t } from '@beds/sdk';
import { Attempt, type Database, type Trial as AttemptBy } from './attempts.js';
import { definition, user } from './definition.js';
import { keyOf, nameOf, newUser, strong } from './new-user.js';
import { forgetEvents, publishedEvents, takeEvents, takenEvents, told } from './outbox.js';
import { comparePassword, hashPassword } from './password.js';

const RESET_MS = 1_800_000;
/** Who asks for a reset is answered after this time, or a multiple of it: a name that somebody has takes longer, as something is written. */
const RESET_ANSWER_MS = 250;
/** Clocks of hosts may differ by so much: sessions that seem to have begun until then have ended as well. */
const CLOCKS_DIFFER_MS = 60_000;

const { query, mutation } = operationsOf<typeof definition>();
const { id, name, roles } = user.fields;
/** n.b. a bound on what is hashed, and long enough for any sentence. */
const password = t.string({ max: 200 });
const signedIn = user.pick('id', 'name', 'roles');
type Secret = NonNullable<Awaited<ReturnType<Database['secret']>>>;

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Whoever remembers sessions of the user must ask again. */
function sessionsOf(user: string): readonly [string, object] {
  return ['session.revoked', { user }];
}

function existing<T>(found: T | undefined): T {
  if (found === undefined) throw notFound('There is no such user.');
  return found;
}

function unusable(): Error {
  return refused('The token is wrong, was used, or is too old.');
}

function isTaken(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === 'BEDS_STORE_CONFLICT';
}

interface Trial extends AttemptBy {
  readonly password: string;
  /** Who it has to be. */
  readonly id?: string | undefined;
  readonly signal: AbortSignal;
}

/** Throws the same, after the same time, whatever is wrong. */
async function passwordHolder(db: Database, trial: Trial): Promise<Secret> {
  const { nameKey, password, id, signal } = trial;
  const attempt = new Attempt(db, trial);
  await attempt.begin(Date.now());
  const named = await db.secret({ name_key: nameKey });
  const found = id === undefined || named?.id === id ? named : undefined;
  const terms = { signal, before: () => attempt.mayStill(Date.now()) };
  const { isRight, isOutdated } = await comparePassword(password, found?.password, terms);
  if (found === undefined || !isRight || found.disabled) {
    await attempt.failed(Date.now());
    throw refused('Name or password is wrong.');
  }
  await attempt.succeeded();
  if (isOutdated) await db.change({ id: found.id, password: await hashPassword(password, signal) });
  return found;
}

/**
 * The moment until which all sessions have ended of a user whose others ended until `before`, whatever clock the host then had: of two at
 * once the database keeps the later one.
 */
function endAfter(before: number): number {
  return Math.max(Date.now() + CLOCKS_DIFFER_MS, before + 2);
}

async function sessionsEndAt(db: Database, id: string): Promise<number> {
  return endAfter((await db.brief({ id }))?.sessions_after ?? 0);
}

/** Resolves when `stepMs`, or a multiple of it, have passed since a moment. */
function nextStep(sinceMs: number, stepMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, stepMs - ((Date.now() - sinceMs) % stepMs)));
}

async function renewPassword(
  db: Database,
  { id, password, signal }: { readonly id: string; readonly password: string; readonly signal: AbortSignal },
): Promise<Awaited<ReturnType<Database['change']>>> {
  const kept = await hashPassword(password, signal);
  const at = Date.now();
  const event = told(at, ['user.changed', { user: id, what: 'password' }], sessionsOf(id));
  const times = { password_at: at, sessions_after: await sessionsEndAt(db, id), outbox_at: at, reset_until: 0 };
  return db.change({ id, password: kept, ...times, event });
}

export const operations = {
  create: mutation(
    { input: { name, password, roles: roles.default([]) }, output: user },
    async ({ input, db, signal }) => {
      const made = await newUser(input, signal);
      try {
        await db.insert(made);
      } catch (error) {
        throw isTaken(error) ? conflict('The name is taken.') : error;
      }
      const { id, name, roles, created_at } = made;
      return { id, name, roles, disabled: false, created_at, password_at: created_at };
    },
  ),

  /** Another name. */
  update: mutation({ input: { id, name }, output: user }, async ({ input, db }) => {
    const at = Date.now();
    const event = told(at, ['user.changed', { user: input.id, what: 'name' }], sessionsOf(input.id));
    const change = { id: input.id, name: nameOf(input.name), name_key: keyOf(input.name), event, outbox_at: at };
    try {
      return existing(await db.change(change));
    } catch (error) {
      throw isTaken(error) ? conflict('The name is taken.') : error;
    }
  }).idempotent(),

  /** What is personal is gone; his sessions have ended. */
  delete: mutation({ input: { id }, output: { id } }, async ({ input, db }) => {
    const at = Date.now();
    const event = told(at, ['user.deleted', { user: input.id }], sessionsOf(input.id));
    if ((await db.erase({ id: input.id, deleted_at: at, event })).affected === 0)
      throw notFound('There is no such user.');
    return { id: input.id };
  }),

  setRoles: mutation({ input: { id, roles }, output: user }, async ({ input, db }) => {
    const at = Date.now();
    const event = told(at, ['user.changed', { user: input.id, what: 'roles' }], sessionsOf(input.id));
    return existing(await db.change({ ...input, event, outbox_at: at }));
  }).idempotent(),

  /** He is not let in any more, and his sessions have ended. */
  disable: mutation({ input: { id }, output: user }, async ({ input, db }) => {
    const at = Date.now();
    const event = told(at, ['user.disabled', { user: input.id }], sessionsOf(input.id));
    const after = await sessionsEndAt(db, input.id);
    return existing(await db.change({ id: input.id, disabled: true, sessions_after: after, event, outbox_at: at }));
  }).idempotent(),

  enable: mutation({ input: { id }, output: user }, async ({ input, db }) => {
    const at = Date.now();
    const event = told(at, ['user.enabled', { user: input.id }]);
    return existing(await db.change({ id: input.id, disabled: false, event, outbox_at: at }));
  }).idempotent(),

  /** All his sessions have ended. */
  endSessions: mutation({ input: { id }, output: { id } }, async ({ input, db }) => {
    const at = Date.now();
    const after = await sessionsEndAt(db, input.id);
    existing(
      await db.change({ id: input.id, sessions_after: after, event: told(at, sessionsOf(input.id)), outbox_at: at }),
    );
    return { id: input.id };
  }).idempotent(),

  setPassword: mutation({ input: { id, password }, output: user }, async ({ input, db, signal }) =>
    existing(await renewPassword(db, { id: input.id, password: strong(input.password), signal })),
  ),

  /** By himself, who is signed in and knows the old one. All his sessions have ended, the one that asks as well. */
  changePassword: mutation(
    { input: { old: password, password }, output: user },
    async ({ input, db, client, user: self, signal }) => {
      const wanted = strong(input.password);
      const trial = { nameKey: keyOf(self?.name ?? ''), client, address: undefined };
      const found = await passwordHolder(db, { ...trial, password: input.old, id: self?.id, signal });
      return existing(await renewPassword(db, { id: found.id, password: wanted, signal }));
    },
  ),

  /** The user of a name and a password. Whatever is wrong, the answer and its time are the same. */
  verify: mutation(
    {
      input: { name, password, address: t.string({ max: 100 }).optional() },
      output: signedIn.extend({ sessions_after: t.int() }),
    },
    async ({ input, db, client, signal }) => {
      const trial = { nameKey: keyOf(input.name), client, address: input.address ?? undefined };
      const found = await passwordHolder(db, { ...trial, password: input.password, signal });
      return { id: found.id, name: found.name, roles: found.roles, sessions_after: found.sessions_after };
    },
  ),

  /** What a session needs to know of its user; null: he is not let in. */
  brief: query(
    { input: { id }, output: { user: signedIn.extend({ sessions_after: t.int() }).optional() } },
    async ({ input, db }) => {
      const found = await db.brief({ id: input.id });
      if (found === undefined || found.disabled) return { user: null };
      const { disabled: _, ...shown } = found;
      return { user: shown };
    },
  ),

  /**
   * The event `password.reset-asked` has the token, for whoever sends it. The answer is the same for a name that nobody has, and for one
   * for which that was asked too often: the token that was sent last is good still.
   */
  askReset: mutation(
    { input: { name, address: t.string({ max: 100 }).optional() }, output: {} },
    async ({ input, db, client }) => {
      const at = Date.now();
      const nameKey = keyOf(input.name);
      const attempt = new Attempt(db, { nameKey, client, address: input.address ?? undefined }, 'reset');
      await attempt.mayStill(at);
      const isTooEarly = (await attempt.waitBefore(at)) > 0;
      await attempt.failed(at);
      const token = `bp_${randomBytes(32).toString('base64url')}`;
      const found = await db.secret({ name_key: nameKey });
      const asked = { user: found?.id ?? '', name: found?.name ?? '', token, until: at + RESET_MS };
      const event = told(at, ['password.reset-asked', asked]);
      const times = { reset_until: at + RESET_MS, outbox_at: at };
      const id = found?.disabled === false && !isTooEarly ? found.id : 'nobody';
      await db.change({ id, reset_hash: sha256(token), ...times, event });
      await nextStep(at, RESET_ANSWER_MS);
      return {};
    },
  ),

  /** Sets a password by such a token, once; all sessions of the user have ended. */
  reset: mutation(
    { input: { token: t.string({ max: 100 }), password }, output: signedIn },
    async ({ input, db, signal }) => {
      const password = strong(input.password);
      const hash = sha256(input.token);
      const named = await db.byReset({ reset_hash: hash, now: Date.now() });
      if (named === undefined) throw unusable();
      const kept = await hashPassword(password, signal);
      const at = Date.now();
      const event = told(at, ['user.changed', { user: named.id, what: 'password' }], sessionsOf(named.id));
      const ended = { sessions_after: endAfter(named.sessions_after), event };
      // n.b. of two who have the token one is the first.
      const found = await db.resetPassword({ reset_hash: hash, now: at, password: kept, ...ended });
      if (found === undefined) throw unusable();
      const asked = { nameKey: keyOf(found.name), client: undefined, address: undefined };
      await new Attempt(db, asked, 'reset').succeeded();
      return { id: found.id, name: found.name, roles: found.roles };
    },
  ),

  /** Events of one record, for the broker that publishes them; they are its own for some seconds. */
  outbox: mutation({ output: takenEvents }, ({ db }) => takeEvents(db)).idempotent(),

  /** These have been published. */
  outboxDone: mutation({ input: publishedEvents, output: {} }, ({ input, db }) => forgetEvents(db, input)).idempotent(),
};

/** n.b. a domain that asks in its own name passes: `sessions` verifies passwords so. */
const OPERATORS = ['operator'] as const;

const access = {
  ...Object.fromEntries(
    ['create', 'fetch', 'update', 'delete', 'setRoles', 'disable', 'enable', 'endSessions', 'setPassword'].map(
      (name) => [name, OPERATORS],
    ),
  ),
  changePassword: 'signed-in',
  verify: OPERATORS,
  brief: OPERATORS,
  askReset: 'anyone',
  reset: 'anyone',
  outbox: 'host',
  outboxDone: 'host',
} as const;

/** Who signs in. */
export default defineDomain({ ...definition, name: 'users', version: '1.0.0', access, operations: () => operations });
