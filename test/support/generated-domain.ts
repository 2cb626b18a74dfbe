import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import mysql from 'mysql2/promise';
import { generateMysql } from '#sdk/generate';
import { type Caller, type CheckedSpecification, checkSpecification } from '#sdk/spec';
import type { Services } from '../../host/dev-servers/index.js';
import { type DomainStage, startDomainStage } from './domain-stage.js';
import { lastFirst, type Teardown } from './services.js';
import { teachTimeZone } from './time-zones.js';

export function specificationOf(text: string): CheckedSpecification {
  const { checked, problems } = checkSpecification(JSON.parse(text));
  assert.ok(checked, JSON.stringify(problems));
  return checked;
}

/** The files of a domain. */
export function filesOf(specification: CheckedSpecification): Readonly<Record<string, string>> {
  const { files, refused } = generateMysql(specification);
  assert.ok(files, JSON.stringify(refused));
  return files;
}

let folders = 0;

/** Generates a domain, applies it as its DBA would, and starts a host with its template. */
export async function generatedStage(
  teardown: Teardown,
  {
    services,
    specification,
    callers = [],
  }: {
    readonly services: Services;
    readonly specification: CheckedSpecification;
    readonly callers?: readonly Caller[];
  },
): Promise<DomainStage> {
  folders += 1;
  // n.b. inside of the checkout: a template imports the SDK.
  const folder = join('dist', `generated-${String(process.pid)}-${String(folders)}`);
  lastFirst(teardown, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [name, text] of Object.entries(filesOf(specification))) {
    const path = join(folder, specification.domain, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const { mariadb } = services;
  assert.ok(mariadb);
  const dba = await mysql.createConnection(mariadb.url);
  await teachTimeZone(dba, specification.source.zone);
  await dba.end();
  return startDomainStage(teardown, { services, specification, folder, kind: 'mysql', callers });
}
