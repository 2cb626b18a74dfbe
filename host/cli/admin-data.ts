import { isBedsError } from '@beds/sdk';
import { AdminClient } from '../admin/client.js';
import type { KeptName } from '../admin/desk-queries.js';
import { cliErrors } from '../errors/cli.js';
import { operatorOf } from './broker-of.js';
import type { CommandContext } from './command.js';

/** Nobody keeps it: no node plays the role, or the version of its domain is not live. */
const ABSENT: ReadonlySet<string> = new Set([
  'BEDS_ADMIN_NO_DESK',
  'BEDS_REQUEST_UNKNOWN_DOMAIN',
  'BEDS_REQUEST_ROLE_ABSENT',
  'BEDS_CLIENT_UNROUTABLE',
]);
const NOT_FOR_THIS_ONE: ReadonlySet<string> = new Set(['BEDS_ADMIN_SIGN_IN', 'BEDS_ADMIN_ROLE']);

/** Asks an admin node for what is kept of all nodes. */
export type AskKept = (what: KeptName, input: object) => Promise<unknown>;

/** Asks for what an admin node keeps. `BEDS_CLI_NOTHING_KEPT` where there is none. */
export async function withAdminData<T>(context: CommandContext, work: (ask: AskKept) => Promise<T>): Promise<T> {
  const client = await AdminClient.open(operatorOf(context));
  try {
    return await work((what, input) => client.kept(what, input));
  } catch (cause) {
    if (isBedsError(cause) && ABSENT.has(cause.code)) {
      throw cliErrors.make('BEDS_CLI_NOTHING_KEPT', undefined, { cause });
    }
    throw cause;
  } finally {
    await client.close();
  }
}

/** The same; undefined where nobody keeps it, or does not let this one read it. */
export async function adminDataIfAny<T>(
  context: CommandContext,
  work: (ask: AskKept) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await withAdminData(context, work);
  } catch (error) {
    const code = isBedsError(error) ? error.code : '';
    if (code === 'BEDS_CLI_NOTHING_KEPT' || NOT_FOR_THIS_ONE.has(code)) return undefined;
    throw error;
  }
}
