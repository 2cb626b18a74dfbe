import { createHash } from 'node:crypto';
import type { BundleOptions } from './bundles.js';

/** A domain `sessions` without a store: whose session a token is, is written into its code. A session ends when somebody says so, in each thread. */
export function sessionsBundle(people: Readonly<Record<string, readonly string[]>>): BundleOptions {
  const entries = Object.entries(people).map(([id, roles]) => {
    const tokenHash = createHash('sha256').update(tokenOf(id)).digest('hex');
    return [tokenHash, { user: { id, name: id, roles }, session: `s-${id}` }] as const;
  });
  return {
    ...{ domain: 'sessions', name: 'sessions.mjs', form: 'file', objects: {} },
    head: `const SESSIONS = ${JSON.stringify(Object.fromEntries(entries))}; const ENDED = new Set();`,
    operations: {
      resolve: {
        mode: 'read',
        args: { tokenHash: { type: 'string' } },
        run: `
          const found = SESSIONS[input.tokenHash];
          if (found === undefined || ENDED.has(found.session)) return null;
          const until = new Date(Date.now() + 600000).toISOString();
          return { ...found, expiresAt: until, idleUntil: until };`,
      },
      end: {
        mode: 'read',
        args: { session: { type: 'string' }, isOver: { type: 'boolean' } },
        run: `ENDED[input.isOver ? 'add' : 'delete'](input.session); return null;`,
      },
    },
    access: { resolve: 'host', end: 'anyone' },
  };
}

/** The token of a session of that user. */
export function tokenOf(id: string): string {
  return `bs_secret-token-of-${id}`;
}
