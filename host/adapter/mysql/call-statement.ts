import type { Json, JsonObject } from '@beds/sdk';
import { storeErrors } from '../../errors/store.js';
import { bindValues } from '../bind-values.js';
import type { NamedObject, NamedValue } from '../contract.js';
import { toDriver } from './bind.js';
import { qualified } from './names.js';
import type { Statement } from './statement.js';

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
  routine.args.forEach((arg, index) => requireRange(arg, values[index] ?? null));
  return { ...textsOf(routine), values };
}

/** n.b. the server takes the nearest it can hold where its sql_mode is not strict. */
function requireRange({ name, nativeType }: NamedValue, value: Statement['values'][number]): void {
  if (typeof value !== 'string' || !/^bigint/i.test(nativeType)) return;
  const isUnsigned = /unsigned/i.test(nativeType);
  const [least, most] = isUnsigned ? [0n, 2n ** 64n - 1n] : [-(2n ** 63n), 2n ** 63n - 1n];
  const whole = BigInt(value);
  if (whole >= least && whole <= most) return;
  const message = `Argument ${name} must be from ${String(least)} to ${String(most)}.`;
  throw storeErrors.make('BEDS_STORE_INVALID_VALUE', message, { field: name });
}

type Texts = Required<Pick<Statement, 'sql' | 'block'>>;

const texts = new WeakMap<Routine, Texts>();

function textsOf(routine: Routine): Texts {
  const known = texts.get(routine);
  if (known !== undefined) return known;
  const call = `${qualified(routine)}(${routine.args.map(() => '?').join(', ')})`;
  const sql = routine.kind === 'function' ? `SELECT ${call} AS value` : `CALL ${call}`;
  const block =
    routine.kind === 'function'
      ? `BEGIN NOT ATOMIC ${sql}; END`
      : `BEGIN NOT ATOMIC START TRANSACTION; ${sql}; COMMIT; END`;
  const both = { sql, block };
  texts.set(routine, both);
  return both;
}
