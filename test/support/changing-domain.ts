import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mysql from 'mysql2/promise';
import { type CheckedSpecification, checkSpecification, formatSpecification, type Specification } from '#sdk/spec';
import type { AdministeredStore, ApplyOptions } from '../../host/dba/index.js';
import { filesOf, type Kind } from './generated-domain.js';
import { lastFirst, temporaryDirectory, type Teardown } from './services.js';

/** A shelf of songs: what the first revision is. */
export const SONGS: Specification = {
  beds: 1,
  domain: 'songs',
  description: 'Songs and who sings them.',
  store: 'main',
  zone: 'UTC',
  records: [
    {
      name: 'song',
      description: 'A song',
      key: 'auto',
      fields: [
        { name: 'title', description: 'Its title', type: 'text', max_length: 100 },
        { name: 'artist', description: 'Who sings it', type: 'reference', references: 'artist' },
        { name: 'seconds', description: 'How long it is', type: 'integer', min: '1', max: '7200' },
        { name: 'mood', description: 'How it sounds', type: 'enum', values: ['calm', 'loud'], default: "'calm'" },
        { name: 'label', description: 'Who sells it', type: 'text', max_length: 60, optional: true },
        { name: 'added_on', description: 'When it came', type: 'date', default: '@today' },
      ],
      operations: ['create', 'update', 'delete'],
    },
    {
      name: 'artist',
      description: 'Who sings',
      key: 'auto',
      fields: [
        { name: 'name', description: 'The name', type: 'text', max_length: 80 },
        { name: 'web', description: 'A page', type: 'text', max_length: 200, optional: true },
      ],
      operations: ['create', 'update'],
    },
  ],
  queries: [
    {
      name: 'long_ones',
      description: 'Songs that last',
      from: 'song',
      args: [{ name: 'least', description: 'Seconds at least', type: 'integer' }],
      where: ['seconds >= :least'],
      columns: ['title = title', 'seconds = seconds'],
      order_by: ['title'],
    },
  ],
  assumptions: [],
  questions: [],
};

/** A document that is being written: what it must be, the checker says. */
export interface Draft {
  revision?: number | undefined;
  records: { readonly name: string; key?: unknown; fields: Record<string, unknown>[]; [other: string]: unknown }[];
  queries?: Record<string, unknown>[];
  actions?: Record<string, unknown>[];
}

/** The next revision of a document. */
export function nextOf(before: Specification, change: (next: Draft) => void): Specification {
  const next = structuredClone(before) as unknown as Draft;
  next.revision = (before.revision ?? 1) + 1;
  change(next);
  return next as unknown as Specification;
}

export function fieldsOf({ records }: Draft, record: string): Draft['records'][number]['fields'] {
  const found = records.find(({ name }) => name === record);
  assert.ok(found);
  return found.fields;
}

/** Much of it is another: names, words, what is there and what is not. */
export const MANY = nextOf(SONGS, (next) => {
  const song = fieldsOf(next, 'song');
  const title = song.find(({ name }) => name === 'title');
  Object.assign(title ?? {}, { name: 'name', was: 'title' });
  song.push({
    name: 'stars',
    description: 'How good it is',
    type: 'integer',
    min: '0',
    max: '5',
    default: '0',
  });
  song.push({ name: 'heard_at', description: 'When it was heard last', type: 'timestamp', default: '@now' });
  song.push({ name: 'note', description: 'A word about it', type: 'text', optional: true });
  const mood = song.find(({ name }) => name === 'mood');
  Object.assign(mood ?? {}, { values: ['calm', 'loud', 'odd'] });
  song.splice(
    song.findIndex(({ name }) => name === 'label'),
    1,
  );
  fieldsOf(next, 'artist').push({
    ...{ name: 'songs', description: 'How many there are', type: 'integer' },
    rollup: { function: 'count', child: 'song', via: 'artist' },
  });
  next.records.push({
    ...{ name: 'playlist', description: 'Songs in an order', key: 'auto', operations: ['create'] },
    fields: [{ name: 'name', description: 'Its name', type: 'text' }],
  });
  for (const query of next.queries ?? [])
    Object.assign(query, { columns: ['name = name', 'seconds = seconds'], order_by: ['name'] });
});

export interface Workplace {
  readonly options: ApplyOptions & { readonly stores: Readonly<Record<string, AdministeredStore>> };
  readonly database: string;
  readonly adminUrl: string;
  readonly folder: string;
  readonly dba: mysql.Connection;
  /** Puts domain.json and what is generated from it into the folder. */
  readonly write: (specification: Specification) => void;
}

let folders = 0;

/** A database of its own, and a folder of domains. `url`: of the server, as its administrator. */
export async function changingDomain(teardown: Teardown, url: string): Promise<Workplace> {
  folders += 1;
  const database = `t${randomBytes(5).toString('hex')}`;
  // n.b. inside of the checkout: a template imports the SDK.
  const folder = join('dist', `changing-${String(process.pid)}-${String(folders)}`);
  mkdirSync(folder, { recursive: true });
  const dba = await mysql.createConnection({ uri: url, multipleStatements: true });
  await dba.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
  await dba.query(`USE ${database}`);
  lastFirst(teardown, async () => {
    rmSync(folder, { recursive: true, force: true });
    await dba.query(`DROP DATABASE ${database}`);
    await dba.end();
  });
  const adminUrl = Object.assign(new URL(url), { pathname: `/${database}` }).href;
  const directory = temporaryDirectory(teardown);
  return {
    ...{ database, adminUrl, folder, dba },
    options: { stores: { main: { kind: 'mysql', adminUrl } }, folder, directory },
    write: (specification) => {
      writeDomain(folder, specification);
    },
  };
}

/** domain.json and what is generated from it, in a folder of its own. */
export function writeDomain(folder: string, specification: Specification, kind: Kind = 'mysql'): CheckedSpecification {
  const { checked, problems } = checkSpecification(specification);
  assert.ok(checked, JSON.stringify(problems, undefined, 1));
  const root = join(folder, checked.domain);
  rmSync(root, { recursive: true, force: true });
  const files = { ...filesOf(checked, kind), 'domain.json': formatSpecification(checked.source) };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return checked;
}

/** One life of a process that changes the database: what it said last, and how it ended. */
export async function lostProcess(
  work: 'apply' | 'contract',
  options: ApplyOptions,
  seen: readonly string[],
): Promise<{ readonly said: string; readonly signal: NodeJS.Signals | null }> {
  const script = new URL('./change-killed.js', import.meta.url);
  const args = [work, options, seen].map((part) => JSON.stringify(part));
  const child = spawn(process.execPath, [fileURLToPath(script), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { said, signal };
}
