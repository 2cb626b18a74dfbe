import { ConnectionString } from 'mongodb-connection-string-url';

/**
 * The URL of another database of the same server, whose account is known in `authSource`, else in `admin` where there is
 * one. n.b. a URL of several hosts is none for `URL`.
 */
export function databaseUrl(server: string, database: string, authSource?: string): string {
  const url = new ConnectionString(server);
  url.pathname = `/${database}`;
  const isUnsaid = url.username !== '' && !url.searchParams.has('authSource');
  const source = authSource ?? (isUnsaid ? 'admin' : undefined);
  if (source !== undefined) url.searchParams.set('authSource', source);
  return url.href;
}
