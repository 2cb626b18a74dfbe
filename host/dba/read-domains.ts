import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dbaErrors } from '../errors/dba.js';
import type { DomainObjects, ObjectFile, StoreKind } from './contract.js';

const KIND_OF_FILE: Readonly<Record<string, StoreKind>> = { sql: 'mysql', json: 'mongodb' };

/**
 * The objects of the domains below `folder`, of all that have any or of those named. Throws BEDS_DBA_DOMAIN_UNKNOWN,
 * BEDS_DBA_FILE_INVALID.
 */
export function readDomains(folder: string, names: readonly string[] = []): readonly DomainObjects[] {
  const known = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'db')))
    .map(({ name }) => name)
    .sort();
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const hint = `Known are ${known.join(', ') || 'none'}.`;
    throw dbaErrors.make('BEDS_DBA_DOMAIN_UNKNOWN', `There is no folder ${unknown}/db. ${hint}`);
  }
  return (names.length === 0 ? known : names).flatMap((domain) => readDomain(folder, domain));
}

function readDomain(folder: string, domain: string): readonly DomainObjects[] {
  const directory = join(folder, domain, 'db');
  const names = readdirSync(directory)
    .filter((name) => Object.hasOwn(KIND_OF_FILE, extensionOf(name)))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const [first] = names;
  if (first === undefined) return [];
  const other = names.find((name) => extensionOf(name) !== extensionOf(first));
  if (other !== undefined) {
    const message = `${domain}/db holds ${first} and ${other}; a domain has one store, so its files are all of one kind.`;
    throw dbaErrors.make('BEDS_DBA_FILE_INVALID', message);
  }
  const files = names.map((name) => readFile(join(directory, name), `${domain}/db/${name}`));
  const kind = KIND_OF_FILE[extensionOf(first)] ?? 'mysql';
  return [{ domain, kind, files, store: storeOf(join(folder, domain, 'package.json')) }];
}

function readFile(path: string, name: string): ObjectFile {
  const text = readFileSync(path, 'utf8');
  return { name, text, sha256: createHash('sha256').update(text).digest('hex') };
}

function extensionOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function storeOf(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const { beds } = JSON.parse(readFileSync(path, 'utf8')) as { readonly beds?: { readonly store?: unknown } };
    return typeof beds?.store === 'string' ? beds.store : undefined;
  } catch (cause) {
    throw dbaErrors.make('BEDS_DBA_FILE_INVALID', `${path} is not JSON.`, { cause });
  }
}
