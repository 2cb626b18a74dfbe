import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generateMongodb, generateMysql } from '#sdk/generate';
import { type Caller, type CheckedSpecification, checkSpecification } from '#sdk/spec';
import { teachTimeZones } from '../../host/dba/time-zones.js';
import type { Services } from '../../host/dev-servers/index.js';
import { type DomainStage, startDomainStage } from './domain-stage.js';
import { lastFirst, type Teardown } from './services.js';

export function specificationOf(text: string): CheckedSpecification {
  const { checked, problems } = checkSpecification(JSON.parse(text));
  assert.ok(checked, JSON.stringify(problems));
  return checked;
}

export type Kind = 'mysql' | 'mongodb';

/** The files of a domain. */
export function filesOf(specification: CheckedSpecification, kind: Kind = 'mysql'): Readonly<Record<string, string>> {
  const { files, refused } = kind === 'mysql' ? generateMysql(specification) : generateMongodb(specification);
  assert.ok(files, JSON.stringify(refused));
  return files;
}

/** Whether the files are those that are kept in a folder, byte for byte. BEDS_WRITE_GOLDEN=1 keeps them there. */
export function assertKept(files: Readonly<Record<string, string>>, folder: string): void {
  if (process.env['BEDS_WRITE_GOLDEN'] === '1') {
    rmSync(folder, { recursive: true, force: true });
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), content);
    }
  }
  const kept = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  assert.deepEqual(kept.toSorted(), Object.keys(files).toSorted());
  for (const file of kept) assert.equal(files[file], readFileSync(join(folder, file), 'utf8'), file);
}

let folders = 0;

/** Generates a domain, applies it as its DBA would, and starts a host with its template. */
export async function generatedStage(
  teardown: Teardown,
  {
    services,
    specification,
    callers = [],
    kind = 'mysql',
  }: {
    readonly services: Services;
    readonly specification: CheckedSpecification;
    readonly callers?: readonly Caller[];
    readonly kind?: Kind;
  },
): Promise<DomainStage> {
  folders += 1;
  // n.b. inside of the checkout: a template imports the SDK.
  const folder = join('dist', `generated-${String(process.pid)}-${String(folders)}`);
  lastFirst(teardown, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [name, text] of Object.entries(filesOf(specification, kind))) {
    const path = join(folder, specification.domain, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const { mariadb } = services;
  if (kind === 'mysql') {
    assert.ok(mariadb);
    await teachTimeZones(mariadb.url, [specification.source.zone]);
  }
  return startDomainStage(teardown, { services, specification, folder, kind, callers });
}
