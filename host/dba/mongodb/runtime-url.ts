import { ConnectionString } from 'mongodb-connection-string-url';
import type { RuntimeAccount } from '../contract.js';

/** How the administrator logs in: by a certificate, a ticket, a token. The runtime account has a password. */
const OF_THE_ADMINISTRATOR = ['authMechanism', 'authMechanismProperties', 'gssapiServiceName'];

export function isMongodbUrl(url: string): boolean {
  return /^mongodb(\+srv)?:\/\//.test(url);
}

/** The database that a URL names; undefined where it names none, for which the driver would take `test`. */
export function databaseOf(url: string): string | undefined {
  const name = decodeURIComponent(new ConnectionString(url).pathname.slice(1));
  return name === '' ? undefined : name;
}

/**
 * The administrator's URL with the runtime account in it. n.b. a URL of several hosts is none for `URL`. The account is
 * made in the database itself, so that is where its password is known:
 * https://www.mongodb.com/docs/manual/reference/connection-string-options/#mongodb-urioption-urioption.authSource
 */
export function mongodbRuntimeUrl(adminUrl: string, account: RuntimeAccount): string {
  const url = new ConnectionString(adminUrl);
  url.username = encodeURIComponent(account.user);
  url.password = encodeURIComponent(account.password);
  for (const name of OF_THE_ADMINISTRATOR) url.searchParams.delete(name);
  const database = databaseOf(adminUrl);
  if (database !== undefined) url.searchParams.set('authSource', database);
  return url.href;
}
