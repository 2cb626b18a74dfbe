import { procedure, t, view } from '@beds/sdk';

/** Milliseconds since 1970. */
const instant = t.int({ min: 0 });
const id = t.string({ max: 36 });

/** A user as others may see him. */
export const user = t.row({
  id,
  name: t.string({ max: 100 }),
  roles: t.list(t.string({ max: 50 }), { max: 50 }),
  disabled: t.boolean(),
  created_at: instant,
  password_at: instant,
});

const nameKey = t.string({ max: 200 });
const hash = t.string({ max: 64 });
const password = t.string({ max: 255 });
const event = t.string();
const attempt = t.row({ id: hash, failures: t.int(), failed_at: instant });

/** What the operations work with. Every object is one statement: a user and what others are to be told of him change together. */
export const definition = {
  store: 'accounts',
  key: 'id',
  fetch: view('user_list', user),
  objects: {
    insert: procedure('user_insert', {
      ...{ id, name: user.fields.name, name_key: nameKey, roles: user.fields.roles, password },
      ...{ created_at: instant, event },
    }),
    change: procedure(
      'user_change',
      t
        .row({ name: user.fields.name, name_key: nameKey, roles: user.fields.roles, disabled: t.boolean(), password })
        .extend({ password_at: instant, sessions_after: instant, reset_hash: hash, reset_until: instant })
        .extend({ event, outbox_at: instant })
        .partial()
        .extend({ id }),
      user,
    ),
    byReset: procedure('user_by_reset', { reset_hash: hash, now: instant }, { id, sessions_after: instant }),
    resetPassword: procedure(
      'user_reset',
      { reset_hash: hash, now: instant, password, sessions_after: instant, event },
      user,
    ),
    erase: procedure('user_erase', { id, deleted_at: instant, event }),
    secret: procedure(
      'user_secret',
      { name_key: nameKey },
      user.pick('id', 'name', 'roles', 'disabled').extend({ password, sessions_after: instant }),
    ),
    brief: procedure(
      'user_brief',
      { id },
      user.pick('id', 'name', 'roles', 'disabled').extend({ sessions_after: instant }),
    ),
    attempts: view('user_attempts', attempt),
    attemptTake: procedure('user_attempt_take', { ...attempt.fields, seen: t.int() }),
    attemptAdd: procedure('user_attempt_add', { id: hash, failed_at: instant }),
    attemptClear: procedure('user_attempt_clear', { id: hash }),
    attemptPurge: procedure('user_attempt_purge', { before_at: instant }),
    outbox: procedure('user_outbox', { now: instant, until: instant }, { id, outbox: t.json() }),
    outboxDone: procedure('user_outbox_done', { id, published: t.string(), events: t.json() }),
    outboxRest: procedure('user_outbox_rest', { id }),
  },
} as const;
