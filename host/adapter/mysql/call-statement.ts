import type { Json, JsonObject } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import { bindValues } from '../bind-values.js';
import type { NamedObject } from '../contract.js';
import { toDriver } from './bind.js';
import { qualified } from './names.js';
import type { Statement } from './view-statement.js';

export type Routine = Extract<NamedObject, { args: unknown }>;

/** `CALL` of a procedure or `SELECT` of a function, its arguments checked and in order. */
export function callStatement(routine: Routine, args: JsonObject): Statement {
  const { notSupported } = routine.native;
  if (typeof notSupported === 'string') {
    throw storeErrors.make('BEDS_STORE_NOT_SUPPORTED', `${routine.name} cannot be called: ${notSupported}.`);
  }
  const values = bindValues(routine.args, args).map((value: Json, index) => {
    const { type } = routine.args[index] ?? { type: 'string' };
    return toDriver(value, type);
  });
  return { sql: statementText(routine), values };
}

const texts = new WeakMap<Routine, string>();

function statementText(routine: Routine): string {
  const known = texts.get(routine);
  if (known !== undefined) return known;
  const call = `${qualified(routine)}(${routine.args.map(() => '?').join(', ')})`;
  const text = routine.kind === 'function' ? `SELECT ${call} AS value` : `CALL ${call}`;
  texts.set(routine, text);
  return text;
}
