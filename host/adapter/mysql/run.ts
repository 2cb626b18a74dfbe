import type { CallResult, JsonObject, Page, Scalar, ValueType } from '@beds/sdk';
import type { KeyedQuery, NamedObject } from '../contract.js';
import { cursorOf } from '../page-cursor.js';
import { planQuery } from '../query-plan.js';
import { storeErrors } from '../../errors/store.js';
import type { DriverField, DriverRow } from './driver.js';
import { callStatement } from './call-statement.js';
import type { Routine } from './call-statement.js';
import { callResult, convertRows, functionResult } from './rows.js';
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
      const result = callResult(await send(session, statement));
      if (routine.kind === 'procedure') return result;
      return functionResult(result, routine.native['returns'] as ValueType | undefined);
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
      const found = convertRows(result as DriverRow[], (fields ?? []) as readonly DriverField[]);
      const cursor = cursorOf(plan, found, (row, { name }) => (row[name] ?? null) as Scalar);
      return cursor === undefined ? { rows: found } : { rows: found.slice(0, plan.limit), cursor };
    },
  };
}
