import { peer, procedure, t, view } from '@beds/sdk';
import type users from '../users/template.js';

/** Milliseconds since 1970. */
const instant = t.int({ min: 0 });
const id = t.string({ max: 36 });
const hash = t.string({ max: 64 });

/** From where somebody signs in, as far as his application says it. */
export const place = t.object({
  address: t.string({ max: 100 }).optional(),
  device: t.string({ max: 200 }).optional(),
});

/** A session as its user may see it. */
export const session = t.row({
  ...{ id, user_id: id, place },
  ...{ created_at: instant, refreshed_at: instant, idle_until: instant, expires_at: instant },
});

/** What tells whether a token is right. */
const tokens = t.row({
  ...{ id, user_id: id, token_hash: hash, refresh_hash: hash },
  ...{ former_token_hash: hash, former_refresh_hash: hash, former_until: instant, salt: hash },
  ...{ created_at: instant, token_until: instant, idle_until: instant, expires_at: instant },
});

/** What the operations work with. */
export const definition = {
  store: 'accounts',
  key: 'id',
  fetch: view('session_list', session),
  objects: {
    insert: procedure('session_insert', {
      ...{ id, user_id: id, place, family_hash: hash, token_hash: hash, refresh_hash: hash },
      ...{ created_at: instant, token_until: instant, idle_until: instant, expires_at: instant },
    }),
    rotate: procedure('session_rotate', {
      ...{ id, former_refresh_hash: hash, former_token_hash: hash, former_until: instant, salt: hash },
      ...{ token_hash: hash, refresh_hash: hash, refreshed_at: instant, token_until: instant, idle_until: instant },
    }),
    end: procedure('session_end', { id, ended_at: instant, event: t.string() }),
    byToken: procedure('session_by_token', { token_hash: hash }, tokens),
    byFamily: procedure('session_by_family', { family_hash: hash }, tokens),
    any: procedure(
      'session_any',
      { token_hash: hash },
      { id, user_id: id, created_at: instant, ended_at: instant.optional() },
    ),
    owner: procedure('session_owner', { id }, { user_id: id }),
    purge: procedure('session_purge', { before_at: instant }),
    outbox: procedure('session_outbox', { now: instant, until: instant }, { id, outbox: t.json() }),
    outboxDone: procedure('session_outbox_done', { id, published: t.string(), events: t.json() }),
    outboxRest: procedure('session_outbox_rest', { id }),
  },
  peers: { users: peer<typeof users>({ as: 'domain' }) },
} as const;
