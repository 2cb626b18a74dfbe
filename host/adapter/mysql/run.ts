import type { CallResult, JsonObject, Page, ValueType } from '@beds/sdk';
import type { KeyedQuery, NamedObject } from '../contract.js';
import { cursorOf } from '../page-cursor.js';
import { planQuery } from '../query-plan.js';
import { storeErrors } from '../../errors/store.js';
import type { DriverField, DriverRow } from './driver.js';
import { callStatement } from './call-statement.js';
import type { Routine } from './call-statement.js';
import { callResult, convertRows, functionResult, positionOf } from './rows.js';
import type { Executed, Session } from './session.js';
import type { Statement } from './statement.js';
import { viewStatement } from './view-statement.js';

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
