import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RuntimeAccount } from './contract.js';

/** The accounts that `beds db apply` made for this checkout, by store; null where the server has no access control. */
export type RuntimeAccounts = Readonly<Record<string, RuntimeAccount | null>>;

const FILE = 'runtime-accounts.json';
/** MySQL's limit is 32: https://dev.mysql.com/doc/refman/8.0/en/user-names.html */
const MAX_STORE_CHARACTERS = 20;

/** `directory` is `state.directory`. A file that is absent or damaged holds no accounts. */
export function readRuntimeAccounts(directory: string): RuntimeAccounts {
  try {
    const file = JSON.parse(readFileSync(join(directory, FILE), 'utf8')) as { version?: unknown; stores?: unknown };
    return file.version === 1 && typeof file.stores === 'object' ? (file.stores as RuntimeAccounts) : {};
  } catch {
    return {};
  }
}

/** Readable by its owner only, written whole or not at all. */
export function writeRuntimeAccounts(directory: string, stores: RuntimeAccounts): void {
  const path = join(directory, FILE);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, `${JSON.stringify({ version: 1, stores }, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

/** A new account. Its name is one of a kind, so that checkouts that share a server do not change each other's password. */
export function makeRuntimeAccount(store: string): RuntimeAccount {
  const name = store.replaceAll('-', '_').slice(0, MAX_STORE_CHARACTERS);
  return { user: `beds_${name}_${randomBytes(3).toString('hex')}`, password: randomBytes(24).toString('base64url') };
}

/** The administrator's URL with the runtime account in it, or as it is where the server has no accounts. */
export function runtimeUrl(adminUrl: string, account: RuntimeAccount | null): string {
  if (account === null) return adminUrl;
  if (/^mongodb(\+srv)?:/.test(adminUrl)) return mongodbRuntimeUrl(adminUrl, account);
  const url = new URL(adminUrl);
  url.username = account.user;
  url.password = account.password;
  return url.href;
}

/** Scheme, hosts, database and options. n.b. a URL of several hosts is none for `URL`; the driver's reader is not installed everywhere. */
const MONGODB_URL = /^(mongodb(?:\+srv)?:\/\/)(?:[^@/?]*@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/;
/** How the administrator logs in: by a certificate, a ticket, a token. The runtime account has a password. */
const OF_THE_ADMINISTRATOR = ['authMechanism', 'authMechanismProperties', 'gssapiServiceName'];

/**
 * The account is made in the database itself, so that is where its password is known:
 * https://www.mongodb.com/docs/manual/reference/connection-string-options/#mongodb-urioption-urioption.authSource
 */
function mongodbRuntimeUrl(adminUrl: string, { user, password }: RuntimeAccount): string {
  const [, scheme = '', hosts = '', database = '', query = ''] = MONGODB_URL.exec(adminUrl) ?? [];
  const options = new URLSearchParams(query);
  for (const name of OF_THE_ADMINISTRATOR) options.delete(name);
  if (database !== '') options.set('authSource', decodeURIComponent(database));
  const said = options.size === 0 ? '' : `?${options.toString()}`;
  return `${scheme}${encodeURIComponent(user)}:${encodeURIComponent(password)}@${hosts}/${database}${said}`;
}
