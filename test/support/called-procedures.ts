import assert from 'node:assert/strict';
import type { Json, JsonObject } from '@beds/sdk';
import mysql from 'mysql2/promise';
import { type CheckedSpecification, type ErrorClass, type Outcome, type PlayedCall, TENANT_ROLE } from '#sdk/spec';

/**
 * What a generator made, called without a host: each operation is the procedure that the template names. Many small domains are
 * tried in the time that one host takes to start.
 */

export interface CalledProcedures {
  readonly call: (call: PlayedCall) => Promise<Outcome>;
  /** What a call takes and what it answers, as one object without parts: `<record>__<field>`. */
  readonly end: () => Promise<void>;
}

type Row = Readonly<Record<string, unknown>>;

const CLASSES: Readonly<Record<string, ErrorClass>> = {
  ...{ invalid: 'invalid', conflict: 'conflict', forbidden: 'forbidden', 'not-found': 'not_found' },
};
/** Values that do not fit: what a host says is invalid. */
const UNFIT: readonly number[] = [1048, 1264, 1265, 1292, 1366, 1406, 3140, 4025];

/** Loads the files of a domain into a database of its own on a server, as its administrator. */
export async function calledProcedures(
  url: string,
  database: string,
  {
    specification,
    files,
  }: { readonly specification: CheckedSpecification; readonly files: Readonly<Record<string, string>> },
): Promise<CalledProcedures> {
  const connection = await mysql.createConnection({
    uri: url,
    multipleStatements: true,
    dateStrings: true,
    decimalNumbers: false,
    timezone: 'Z',
  });
  await connection.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
  await connection.query(`USE ${database}`);
  const parameters = new Map<string, readonly { readonly name: string; readonly type: string }[]>();
  for (const [name, text] of Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.endsWith('.sql')) continue;
    try {
      await connection.query(text);
    } catch (error) {
      await connection.query(`DROP DATABASE ${database}`);
      await connection.end();
      throw new Error(`${name}: ${(error as Error).message}\n${text}`, { cause: error });
    }
    const [, procedure] = /CREATE PROCEDURE (\S+?)\(/.exec(text) ?? [];
    if (procedure === undefined) continue;
    const [head = ''] = text.split('SQL SECURITY');
    parameters.set(
      procedure,
      [...head.matchAll(/^ {2}IN (\w+) (.*?),?$/gm)].map(([, each = '', type = '']) => ({ name: each, type })),
    );
  }
  await connection.query(
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', SESSION collation_connection = utf8mb4_bin`,
  );
  const prefix = specification.domain.replaceAll('-', '_');
  const template = files['template.ts'] ?? '';
  const procedureOf = (operation: string): string | undefined => {
    // The first record is read by its view; where who asks decides, by its list.
    const named = `${prefix}_${operation}`;
    if (parameters.has(named)) return named;
    return operation === 'fetch' && parameters.has(`${prefix}_list`) ? `${prefix}_list` : undefined;
  };
  const rowsOf = async (call: PlayedCall): Promise<readonly Row[]> => {
    const { operation, arguments: given, user } = call;
    const procedure = procedureOf(operation);
    if (procedure === undefined) {
      const [first] = specification.records;
      const view = `${prefix}_${first?.name ?? ''}_rows`;
      assert.ok(template.includes(`view('${view}'`), `${operation} is served by nothing`);
      const names = Object.keys(given);
      const where = names.map((name) => `\`${name}\` <=> ?`).join(' AND ');
      const [rows] = await connection.query(
        `SELECT * FROM ${view}${where === '' ? '' : ` WHERE ${where}`} ORDER BY \`${first?.key[0] ?? 'id'}\` LIMIT 1000`,
        names.map((name) => sent(given[name] ?? null)),
      );
      return rows as readonly Row[];
    }
    const roles = [...(user?.roles ?? []), ...(user?.tenant === undefined ? [] : [`${TENANT_ROLE}${user.tenant}`])];
    const clears = Object.entries(given).flatMap(([name, value]) => (value === null ? [name] : []));
    const own: Readonly<Record<string, unknown>> = {
      p_caller_id: user?.id ?? null,
      p_caller_roles: JSON.stringify(roles),
      p_clears: JSON.stringify(clears),
    };
    const all = parameters.get(procedure) ?? [];
    const strange = Object.keys(given).find((name) => !all.some((one) => one.name === `p_${name}`));
    if (strange !== undefined) throw new Strange(`${strange} is not known`);
    const values = all.map(({ name, type }) => {
      if (name in own && !(name.slice(2) in given)) return own[name];
      return sent(given[name.slice(2)] ?? null, type === 'JSON');
    });
    const [results] = await connection.query(`CALL ${procedure}(${values.map(() => '?').join(', ')})`, values);
    const [rows] = Array.isArray(results) ? (results as unknown[]) : [];
    return Array.isArray(rows) ? (rows as readonly Row[]) : [];
  };
  return {
    call: async (call) => {
      await connection.query('START TRANSACTION');
      try {
        const rows = (await rowsOf(call)).map((row) => JSON.parse(JSON.stringify(row)) as JsonObject);
        await connection.query('COMMIT');
        return { ok: true, answer: rows as Json };
      } catch (error) {
        await connection.query('ROLLBACK');
        return refusal(error);
      }
    },
    end: async () => {
      await connection.query(`DROP DATABASE ${database}`);
      await connection.end();
    },
  };
}

class Strange extends Error {}

function refusal(error: unknown): Outcome {
  const { errno, message } = error as { readonly errno?: number; readonly message: string };
  if (error instanceof Strange) return { ok: false, error: 'invalid', message };
  const [, kind = ''] = /^\[([a-z-]+)(?: [a-z0-9_]+)?\] /.exec(message) ?? [];
  const found = errno === 1644 ? CLASSES[kind] : UNFIT.includes(errno ?? 0) ? 'invalid' : undefined;
  return { ok: false, error: found ?? 'fault', message: `${String(errno)}: ${message}` };
}

/** A value as a host gives it to a procedure. */
function sent(value: Json, isJson = false): unknown {
  if (value === null) return null;
  if (isJson) return JSON.stringify(value);
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value))
    return new Date(value).toISOString().replace('T', ' ').replace('Z', '');
  return value;
}
