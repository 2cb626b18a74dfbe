import type { CallResult, JsonObject, Page, ValueType } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import type { KeyedQuery, NamedObject } from '../contract.js';
import type { Deadline } from '../deadline.js';
import { cursorOf } from '../page-cursor.js';
import { planQuery } from '../query-plan.js';
import type { DriverField, DriverRow } from './driver.js';
import { callResult, convertRows, functionResult, positionOf } from './rows.js';
import type { Executed, Session, SessionMode } from './session.js';
import { callStatement, viewStatement } from './statements.js';
import type { Routine, Statement } from './statements.js';

/** How a CALL or SELECT is sent: alone, or as a transaction of its own. */
export type Send = (session: Session, statement: Statement) => Promise<Executed>;

/** A checked piece of work, to be run on a session; making it throws what is wrong with the request. */
export interface Work<T> {
  readonly kind: NamedObject['kind'];
  readonly args: readonly string[];
  run(session: Session, send: Send): Promise<T>;
}

export function callWork(object: NamedObject, args: JsonObject): Work<CallResult> {
  if (object.kind === 'view') throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', `${object.name} is a view: read it.`);
  const routine: Routine = object;
  const statement = callStatement(routine, args);
  return {
    kind: routine.kind,
    args: routine.args.map(({ name }) => name),
    run: async (session, send) => {
      const executed = await send(session, statement);
      if (routine.kind === 'procedure') return callResult(executed);
      return functionResult(executed, routine.native['returns'] as ValueType | undefined, session.profile);
    },
  };
}

export function viewWork(object: NamedObject, query: KeyedQuery): Work<Page> {
  if (object.kind !== 'view') {
    throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', `${object.name} is a ${object.kind}: call it.`);
  }
  const plan = planQuery(object, query);
  const statement = viewStatement(object, plan);
  return {
    kind: 'view',
    args: [],
    run: async (session, send) => {
      const { result, fields } = await send(session, statement);
      const found = result as DriverRow[];
      // n.b. before the rows are converted: the next page is found by what is stored.
      const cursor = cursorOf(plan, found, positionOf);
      if (cursor !== undefined) found.length = plan.limit;
      const rows = convertRows(found, (fields ?? []) as readonly DriverField[], object.columns);
      return cursor === undefined ? { rows } : { rows, cursor };
    },
  };
}

/** How far a transaction has come. */
export interface Progress {
  /** Whether a COMMIT may have reached the server: then a lost connection leaves the outcome open. */
  mayHaveCommitted: boolean;
}

export interface Sending {
  readonly kind: NamedObject['kind'];
  readonly mode: SessionMode;
  readonly progress: Progress;
  readonly deadline: Deadline;
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
export function sendAlone({ kind, mode, progress, deadline }: Sending): Send {
  if (kind === 'view') return sendInside;
  return (session, statement) => {
    const { blocks } = session.profile;
    if (kind === 'procedure' && !blocks && mode === 'write')
      return sendInThree(session, statement, { progress, deadline });
    progress.mayHaveCommitted = mode === 'write';
    // n.b. of a write whose result is too large it shall be known whether it was kept.
    const isDrained = mode === 'write';
    if (blocks) return session.execute(statement.block ?? statement.sql, statement.values, isDrained);
    // Only a block's (or a CALL's) last answer tells whether the session was left changed.
    if (kind === 'function') session.markDirty();
    return session.execute(statement.sql, statement.values, isDrained);
  };
}

async function sendInThree(
  session: Session,
  { sql, values }: Statement,
  { progress, deadline }: Pick<Sending, 'progress' | 'deadline'>,
): Promise<Executed> {
  await session.begin();
  deadline.remainingMs();
  const executed = await session.execute(sql, values);
  deadline.remainingMs();
  progress.mayHaveCommitted = true;
  await session.commit();
  return executed;
}
