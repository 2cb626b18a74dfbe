import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Json, JsonObject, Scalar } from '@beds/sdk';
import { buildTemplate } from '@beds/sdk/build';
import { connectBeds, type DomainClient } from '@beds/sdk/client';
import { MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import { type Caller, type CheckedSpecification, type PlayedCall, TENANT_ROLE, wireCall } from '#sdk/spec';
import { type Scratch, scratchMongodb, scratchMysql } from '../../host/author/prove/scratch-data.js';
import { noteDays, outcomeOf } from '../../host/author/prove/scratch-stage.js';
import { configSchema } from '../../host/config/schema.js';
import { applyObjects, type AdministeredStore, contractObjects } from '../../host/dba/index.js';
import type { Services } from '../../host/dev-servers/index.js';
import { startHost } from '../../host/main.js';
import type { RacingStage } from './brief-checks.js';
import { writeBundle } from './bundles.js';
import { endOfLog, eventually } from './eventually.js';
import { deleteTopology } from './delete-topology.js';
import { lastFirst, temporaryDirectory, type Teardown } from './services.js';
import { sessionsBundle, tokenOf } from './sessions-domain.js';

export interface DomainStageOptions {
  readonly services: Services;
  readonly specification: CheckedSpecification;
  /** Holds `<domain>/template.ts` and `<domain>/db/`. */
  readonly folder: string;
  readonly kind: 'mysql' | 'mongodb';
  /** Who calls. */
  readonly callers?: readonly Caller[];
  /** Whether a version may answer what callers of today do not know: another word of an enum. Default false. */
  readonly mayBreak?: boolean;
}

/** A stage that is the real thing: the objects in a database of its own, the template built and loaded by a host, calls over RabbitMQ. */
export interface DomainStage extends RacingStage {
  /** Back to the rows that are there from the start. */
  readonly empty: () => Promise<void>;
  /** The administrator's own connection; undefined on MongoDB. */
  readonly dba: mysql.Connection | undefined;
  /** Of the host's queues. */
  readonly prefix: string;
  /** What is put there, the host takes. */
  readonly plugins: string;
  /** Whether a version has begun to serve: `seats 1.0.0`. */
  readonly serves: (version: string) => boolean;
  /** Puts what is in the folder now, the next revision of the domain, into the database, beside what is there. */
  readonly expand: () => Promise<void>;
  /** Lets the host take the template that is in the folder now. */
  readonly deploy: (next: CheckedSpecification) => Promise<void>;
  /** Takes out of the database what only the revision before needed. */
  readonly contract: () => Promise<void>;
  /** From here on callers know this document. */
  readonly speak: (next: CheckedSpecification) => void;
}

const SIGN_IN_MS = 30_000;

/** Applies the objects of a domain, starts a host with it and plays calls on that. Everything ends with the test. */
export async function startDomainStage(teardown: Teardown, options: DomainStageOptions): Promise<DomainStage> {
  const { services, specification, folder, kind, callers = [], mayBreak = false } = options;
  const { rabbitmq } = services;
  assert.ok(rabbitmq, 'RabbitMQ is needed');
  const { domain, source } = specification;
  const name = `t${randomBytes(5).toString('hex')}`;
  const projectRoot = temporaryDirectory(teardown);
  const plugins = join(projectRoot, 'plugins');
  mkdirSync(plugins);
  const { scratch, adminUrl, dba } = await makeDatabase(teardown, { options, name });
  const stores: Readonly<Record<string, AdministeredStore>> = { [source.store]: { kind, adminUrl } };
  const applied = { stores, folder, directory: projectRoot, domains: [domain] };
  const { urls } = await applyObjects(applied);
  await scratch.keep('start');
  const people = Object.fromEntries(
    callers.map(({ id, roles = [], tenant }) => [
      id,
      [...roles, ...(tenant === undefined ? [] : [`${TENANT_ROLE}${tenant}`])],
    ]),
  );
  await writeBundle(plugins, sessionsBundle(people));
  await buildTemplate({ entry: join(folder, domain, 'template.ts'), outDir: plugins, form: 'file' });
  const log: Record<string, unknown>[] = [];
  const lines = {
    write: (line: string): void => {
      log.push(JSON.parse(line) as Record<string, unknown>);
    },
  };
  const host = await startHost({
    config: configSchema.parse({
      node: { name },
      amqp: { url: rabbitmq.url, prefix: name },
      threads: { default: { count: 2 } },
      stores: { [source.store]: { kind, url: urls[source.store] } },
      plugins: { probeTimeoutMs: SIGN_IN_MS },
      ...(mayBreak ? { rollout: { breaking: 'allow' } } : {}),
    }),
    projectRoot,
    log: pino({ level: 'info' }, lines),
  });
  lastFirst(teardown, async () => {
    await host.stop();
    await deleteTopology(rabbitmq.url, name, { domains: [domain, 'sessions'] });
  });
  const serves = (what: string): boolean =>
    log.some(({ msg }) => new RegExp(`^${what} \\S+ active$`).test(String(msg)));
  await eventually(
    () => `${domain} serves; the last lines are:\n${endOfLog(log)}`,
    () => serves(domain) && serves('sessions'),
  );
  // n.b. two clients: calls that are made at once are not in one message.
  const clients = await Promise.all(
    [1, 2].map((number) =>
      connectBeds({
        url: rabbitmq.url,
        name: `test-${number}`,
        exchange: `${name}.request`,
        defaultDeadlineMs: 30_000,
      }),
    ),
  );
  lastFirst(teardown, async () => {
    await Promise.all(clients.map((client) => client.close()));
  });
  const fixed = new Set<string>();
  let turn = 0;
  let current = specification;
  return {
    ...{ dba, prefix: name, plugins },
    serves: (version) => log.some(({ msg }) => msg === `${version} active`),
    expand: async () => {
      await applyObjects(applied);
    },
    contract: async () => {
      await contractObjects(applied);
    },
    deploy: async (next) => {
      await buildTemplate({ entry: join(folder, domain, 'template.ts'), outDir: plugins, form: 'file' });
      const version = `${domain} ${next.source.revision ?? 1}.0.0`;
      await eventually(
        () => `${version} serves; the last lines are:\n${endOfLog(log)}`,
        () => log.some(({ msg }) => msg === `${version} active`),
      );
    },
    speak: (next) => {
      current = next;
    },
    now: () => new Date(),
    call: async (call) => {
      noteDays(call.arguments, fixed);
      turn += 1;
      const client = clients[turn % clients.length];
      assert.ok(client);
      return outcomeOf(carryOut(client.domain(domain), current, call));
    },
    pass: (ms) => scratch.pass(ms, fixed),
    keep: () => scratch.keep('round'),
    putBack: () => scratch.putBack('round'),
    empty: () => scratch.putBack('start'),
  };
}

async function makeDatabase(
  teardown: Teardown,
  { options, name }: { readonly options: DomainStageOptions; readonly name: string },
): Promise<{ readonly scratch: Scratch; readonly adminUrl: string; readonly dba: mysql.Connection | undefined }> {
  const { services, kind, specification } = options;
  const server = kind === 'mysql' ? services.mariadb : services.mongodb;
  assert.ok(server, `a server for ${kind} is needed`);
  const adminUrl = Object.assign(new URL(server.url), { pathname: `/${name}` }).href;
  if (kind === 'mysql') {
    const dba = await mysql.createConnection(server.url);
    await dba.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
    await dba.query(`USE ${name}`);
    lastFirst(teardown, async () => {
      await dba.query(`DROP DATABASE ${name}`);
      await dba.end();
    });
    return { scratch: scratchMysql(dba), adminUrl, dba };
  }
  const client = new MongoClient(adminUrl);
  lastFirst(teardown, async () => {
    await client.db().dropDatabase();
    await client.close();
  });
  const days = new Set(
    specification.records.flatMap(({ fields }) =>
      fields.filter(({ type }) => type.kind === 'date').map((field) => field.name),
    ),
  );
  return { scratch: scratchMongodb(client.db(), (field) => days.has(field)), adminUrl, dba: undefined };
}

async function carryOut(domain: DomainClient, specification: CheckedSpecification, call: PlayedCall): Promise<Json> {
  const said = wireCall(specification, call);
  const options = call.user === undefined ? {} : { session: tokenOf(call.user.id) };
  switch (said.kind) {
    case 'create':
      return domain.create(said.payload, options);
    case 'update':
      return domain.update(said.key, said.payload, options);
    case 'delete':
      return domain.delete(said.key, options);
    case 'list':
      return {
        ...(await domain.fetch({ where: said.where as Readonly<Record<string, Scalar>>, limit: 1_000 }, options)),
      } as JsonObject;
    case 'fetch': {
      const [row] = (await domain.fetch({ key: said.key }, options)).rows;
      return row ?? null;
    }
    case 'call':
      return domain.call(said.operation, said.input, options);
  }
}
