import { isBedsError } from '@beds/sdk';
import { type BedsClient, connectBeds } from '@beds/sdk/client';
import { makeNames } from '../amqp/names.js';
import { cliErrors } from '../errors/cli.js';
import { OWNER_TOKEN } from '../admin/orders.js';
import { operatorOf } from './broker-of.js';
import type { CommandContext } from './command.js';

/** A domain that nobody serves: no node plays the role, or its version is not live. */
const ABSENT: ReadonlySet<string> = new Set([
  'BEDS_REQUEST_UNKNOWN_DOMAIN',
  'BEDS_REQUEST_ROLE_ABSENT',
  'BEDS_CLIENT_UNROUTABLE',
]);

/** Asks the domains of the role admin. `BEDS_CLI_NOTHING_KEPT` where nobody serves them. */
export async function withAdminData<T>(context: CommandContext, work: (client: BedsClient) => Promise<T>): Promise<T> {
  const { url, prefix, session } = operatorOf(context);
  const token = (await session()) ?? '';
  const client = await connectBeds({
    ...{ url, name: 'beds', exchange: makeNames(prefix).requests },
    ...(token === '' || token.startsWith(OWNER_TOKEN) ? {} : { session: token }),
  });
  try {
    return await work(client);
  } catch (cause) {
    if (isBedsError(cause) && ABSENT.has(cause.code)) {
      throw cliErrors.make('BEDS_CLI_NOTHING_KEPT', undefined, { cause });
    }
    throw cause;
  } finally {
    await client.close();
  }
}

/** The same; undefined where nobody serves the domain, or does not let this one read it. */
export async function adminDataIfAny<T>(
  context: CommandContext,
  work: (client: BedsClient) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await withAdminData(context, work);
  } catch (error) {
    const code = isBedsError(error) ? error.code : '';
    if (['BEDS_CLI_NOTHING_KEPT', 'BEDS_REQUEST_SIGN_IN', 'BEDS_REQUEST_FORBIDDEN'].includes(code)) return undefined;
    throw error;
  }
}
