import type { NamedObject } from '../contract.js';
import type { Send } from './run.js';
import type { Executed, Session, SessionMode } from './session.js';
import type { Statement } from './statement.js';

/** How far a transaction has come. */
export interface Progress {
  /** Whether a COMMIT may have reached the server: then a lost connection leaves the outcome open. */
  mayHaveCommitted: boolean;
}

export interface Sending {
  readonly kind: NamedObject['kind'];
  readonly mode: SessionMode;
  readonly progress: Progress;
}

/** Sends a statement inside a transaction that is open already. */
export function sendInside(session: Session, { sql, values }: Statement): Promise<Executed> {
  return session.execute(sql, values);
}

/**
 * Makes the sender of one statement as a transaction of its own. A procedure needs one: under autocommit each of its
 * statements would be kept by itself, so one that fails in the middle would leave half of its work. In a block that
 * takes one round trip, as bare CALL does; elsewhere three. A view or a function is a single statement, which is a
 * transaction anyway, READ ONLY by its session for reads.
 */
export function sendAlone({ kind, mode, progress }: Sending): Send {
  if (kind === 'view') return sendInside;
  return (session, statement) => {
    const { blocks } = session.profile;
    if (kind === 'procedure' && !blocks && mode === 'write') return sendInThree(session, statement, progress);
    progress.mayHaveCommitted = mode === 'write';
    // n.b. of a write whose result is too large it shall be known whether it was kept.
    const isDrained = mode === 'write';
    if (blocks) return session.execute(statement.block ?? statement.sql, statement.values, isDrained);
    // Only a block's (or a CALL's) last answer tells whether the session was left changed.
    if (kind === 'function') session.markDirty();
    return session.execute(statement.sql, statement.values, isDrained);
  };
}

async function sendInThree(session: Session, { sql, values }: Statement, progress: Progress): Promise<Executed> {
  await session.begin();
  const executed = await session.execute(sql, values);
  progress.mayHaveCommitted = true;
  await session.commit();
  return executed;
}
