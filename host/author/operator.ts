import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { connectBeds } from '@beds/sdk/client';
import { readOwnerToken } from '../admin/orders.js';
import { makeNames } from '../amqp/names.js';
import type { Config } from '../config/schema.js';

/** What says which session is meant. */
export interface Login {
  readonly url: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly config: Pick<Config, 'security'>;
  /** `state.directory` of this checkout. */
  readonly directory: string;
}

/** What `beds login` keeps. */
export interface KeptSession {
  readonly name: string;
  readonly roles: readonly string[];
  readonly token: string;
  readonly refresh: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly idleUntil: number;
}

const FILE = 'logins.json';
/** A token that ends sooner is replaced. */
const LEFT_MS = 60_000;
const REFRESH_MS = 10_000;

/**
 * The session of whoever works here: that of BEDS_SESSION, that of `beds login`, or what stands for the owner of the checkout, who can read
 * the key of its admin node. Undefined: nobody's.
 */
export function operatorSession(login: Login): () => Promise<string | undefined> {
  return async () => {
    const { BEDS_SESSION: given } = login.env;
    if (given !== undefined && given !== '') return given;
    const kept = readLogin(login);
    if (kept === undefined) return readOwnerToken(login.config, login.directory);
    return kept.expiresAt - LEFT_MS > Date.now() ? kept.token : refreshed(kept, login);
  };
}

/** The session of this RabbitMQ and prefix. */
export function readLogin(login: Login): KeptSession | undefined {
  return readAll(login)[keyOf(login)];
}

/** Readable by its owner only, written whole or not at all; undefined: it has ended. */
export function keepLogin(login: Login, session: KeptSession | undefined): void {
  const { [keyOf(login)]: _, ...others } = readAll(login);
  writeKept(fileOf(login), session === undefined ? others : { ...others, [keyOf(login)]: session });
}

/** Writes JSON where only its owner may read it. */
export function writeKept(path: string, value: object): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${String(process.pid)}`;
  writeFileSync(draft, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

/** A file in the folder of this user's settings. */
export function settingsPath({ env }: Pick<Login, 'env'>, name: string): string {
  const { XDG_CONFIG_HOME: base = '' } = env;
  return join(base === '' ? join(homedir(), '.config') : base, 'beds', name);
}

/** RabbitMQ and prefix, without a password. */
export function keyOf({ url, prefix }: Pick<Login, 'url' | 'prefix'>): string {
  const { protocol, username, host, pathname } = new URL(url);
  return `${protocol}//${username}@${host}${pathname} ${prefix}`;
}

async function refreshed(kept: KeptSession, login: Login): Promise<string> {
  const { url, prefix, signal } = login;
  const client = await connectBeds({ url, name: 'beds login', exchange: makeNames(prefix).requests });
  try {
    const terms = { session: null, deadlineMs: REFRESH_MS, signal };
    const granted = (await client.domain('sessions').call('refresh', { refresh: kept.refresh }, terms)) as unknown;
    const { token, refresh, expiresAt, idleUntil } = granted as KeptSession;
    keepLogin(login, { ...kept, token, refresh, expiresAt, idleUntil });
    return token;
  } catch {
    // n.b. whoever is asked with it says that it has ended, or that nobody can be asked.
    return kept.token;
  } finally {
    await client.close();
  }
}

function fileOf(login: Pick<Login, 'env'>): string {
  return settingsPath(login, FILE);
}

function readAll(login: Pick<Login, 'env'>): Readonly<Record<string, KeptSession>> {
  try {
    return JSON.parse(readFileSync(fileOf(login), 'utf8')) as Record<string, KeptSession>;
  } catch {
    return {};
  }
}
