import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from 'amqplib';
import { MongoClient } from 'mongodb';
import { createConnection } from 'mysql2/promise';
import { isBedsError } from '@beds/sdk';
import { newerServers, readServices, startServices } from '../host/dev-servers/index.js';
import type { ServerState, Service, ServiceName } from '../host/dev-servers/index.js';
import { identify } from '../host/process-identity.js';
import { privateServices, temporaryDirectory } from './support/services.js';

const ALL: readonly ServiceName[] = ['rabbitmq', 'mariadb', 'mongodb'];
const HOLD = fileURLToPath(new URL('support/hold-services.js', import.meta.url));
const BOUND = { timeout: 240_000 };

const file = { after };
const directory = temporaryDirectory(file);
const words: string[] = [];
const started = privateServices(file, ALL, { directory, onProgress: (event) => words.push(event.words) });

describe('private servers', () => {
  test('all three start on loopback ports and say so in words', BOUND, async () => {
    const services = await started;
    for (const name of ALL) {
      assert.equal(services[name]?.host, '127.0.0.1');
      assert.match(words.join('\n'), new RegExp(` is up on port ${String(services[name].port)} after [0-9.]+ s`));
    }
  });

  test('the state of running servers is for their owner only', BOUND, async () => {
    await started;
    for (const name of ALL) assert.equal(statSync(join(directory, name, 'state.json')).mode & 0o777, 0o600);
  });

  test('a second command reuses them and does not stop them', BOUND, async () => {
    const first = await started;
    const second = await startServices({ directory, need: ALL, environment: {} });
    for (const name of ALL) {
      assert.equal(second[name]?.pid, first[name]?.pid);
      assert.equal(second[name]?.url, first[name]?.url);
    }
    await assert.rejects(async () => second.mariadb?.stop(), hasCode('BEDS_SERVICES_NOT_OWNED'));
    await second.close();
    assert.deepEqual(Object.keys(readServices(directory) ?? {}), ALL);
  });

  test('the broker knows our account and not guest', BOUND, async () => {
    const { rabbitmq } = await started;
    assert.ok(rabbitmq);
    await assert.rejects(connect(`amqp://guest:guest@127.0.0.1:${String(rabbitmq.port)}/beds`), /ACCESS-REFUSED|403/);
    assert.deepEqual((await rabbitmq.control(['-q', '--no-table-headers', 'list_vhosts'])).trim(), 'beds');
  });

  test(
    'MariaDB, or MySQL, has the administrator, utf8mb4, statement limits and no account without a password',
    BOUND,
    async () => {
      const { mariadb } = await started;
      const limit = mariadb?.kind === 'mysql' ? 'max_execution_time' : 'max_statement_time';
      const connection = await createConnection(mariadb?.url ?? '');
      try {
        const [rows] = await connection.query(
          `SELECT @@character_set_server AS charset, @@${limit} AS statementLimit, DATABASE() AS name,
        (SELECT GROUP_CONCAT(User) FROM mysql.user WHERE User <> 'root' AND User NOT LIKE '%.%') AS users,
        (SELECT COUNT(*) FROM mysql.user WHERE authentication_string = '' AND User <> 'mariadb.sys') AS open`,
        );
        assert.deepEqual(rows, [{ charset: 'utf8mb4', statementLimit: 0, name: 'beds', users: 'beds_admin', open: 0 }]);
      } finally {
        await connection.end();
      }
    },
  );

  for (const how of ['stop', 'kill'] as const) {
    test(`data and address outlive ${how} and start`, { timeout: 240_000 }, async () => {
      const services = await started;
      for (const name of ALL) await writeMark(services[name], how);
      const before = ALL.map((name) => [services[name]?.url, services[name]?.pid] as const);
      await Promise.all(ALL.map(async (name) => services[name]?.[how]()));
      assert.equal(readServices(directory), undefined);
      await Promise.all(ALL.map(async (name) => services[name]?.start()));
      for (const [index, name] of ALL.entries()) {
        assert.equal(services[name]?.url, before[index]?.[0]);
        assert.notEqual(services[name]?.pid, before[index]?.[1]);
        assert.equal(await readMark(services[name], how), true, name);
      }
    });
  }
});

describe('two commands', () => {
  test('in one directory start a server once', BOUND, async (t) => {
    const directory = temporaryDirectory(t);
    const both = await Promise.all([1, 2].map(() => privateServices(t, ['mariadb'], { directory })));
    assert.equal(both[0]?.mariadb?.pid, both[1]?.mariadb?.pid);
    assert.equal(both.filter((each) => each.mariadb?.owned === true).length, 1);
  });
});

describe('a command that is killed', () => {
  test('leaves no server behind; until then it shared nothing with another checkout', BOUND, async (t) => {
    const directory = temporaryDirectory(t);
    const owner = await holdServices(directory, ALL);
    const states = readServices(directory) ?? {};
    assert.deepEqual(Object.keys(states), ALL);
    for (const name of ALL) {
      const one = (await started)[name];
      assert.notEqual(one?.port, states[name]?.port);
      await writeMark(one, 'shared');
      assert.equal(await marks[name](states[name]?.url ?? '', 'shared', false), false, name);
    }
    owner.kill('SIGKILL');
    await untilGone(Object.values(states).flatMap(pids));
    assert.equal(readServices(directory), undefined);
  });

  test('together with its guard leaves a server that the next start ends', BOUND, async (t) => {
    const directory = temporaryDirectory(t);
    const owner = await holdServices(directory, ['mariadb']);
    const state = readServices(directory)?.mariadb;
    assert.ok(state?.guard && state.process);
    // n.b. first frozen, or it would see its guard's end and clean up after it.
    owner.kill('SIGSTOP');
    process.kill(state.guard.pid, 'SIGKILL');
    owner.kill('SIGKILL');
    await untilGone([state.guard.pid]);
    assert.ok(isAlive(state.process.pid));
    assert.equal(readServices(directory), undefined);
    const services = await privateServices(t, ['mariadb'], { directory });
    assert.equal(isAlive(state.process.pid), false);
    assert.equal(services.mariadb?.url, state.url);
  });

  test('by its guard alone ends the server and forgets it', BOUND, async (t) => {
    const directory = temporaryDirectory(t);
    const services = await privateServices(t, ['mariadb'], { directory });
    const state = readServices(directory)?.mariadb;
    assert.ok(state?.guard && state.process);
    process.kill(state.guard.pid, 'SIGKILL');
    await untilGone(pids(state));
    await services.mariadb?.start();
    assert.equal(services.mariadb?.url, state.url);
  });
});

describe('what cannot be provided', () => {
  for (const name of ALL) {
    test(`${name} is one message with the command and the variable`, BOUND, async (t) => {
      const provision = { servers: '', searchPath: [], downloads: false, cacheDirectory: temporaryDirectory(t) };
      const variable = name === 'mariadb' ? 'BEDS_MARIADB_ADMIN_URL' : `BEDS_${name.toUpperCase()}_URL`;
      await assert.rejects(privateServices(t, [name], { provision }), (error: unknown) => {
        assert.ok(hasCode('BEDS_SERVICES_UNAVAILABLE')(error));
        assert.match(String(error), new RegExp(`is not installed .*Run: .*install.* or set ${variable}`));
        return true;
      });
    });
  }

  for (const servers of Object.keys(newerServers)) {
    test(`servers of ${servers} are said to be impossible here, and none of the system's starts`, BOUND, async (t) => {
      const directory = temporaryDirectory(t);
      const provision = { servers, downloads: false, cacheDirectory: temporaryDirectory(t) };
      await assert.rejects(privateServices(t, ['mariadb'], { directory, provision }), (error: unknown) => {
        assert.ok(hasCode('BEDS_SERVICES_UNAVAILABLE')(error));
        assert.match(
          String(error),
          /(MySQL 9|MariaDB 11) cannot be provided on this system\. It needs apt-get and dpkg-deb/,
        );
        return true;
      });
      assert.equal(readServices(directory), undefined);
    });
  }

  test('one that runs is not taken for the newer one that is wanted', BOUND, async () => {
    const { mariadb } = await started;
    const other = mariadb?.kind === 'mysql' ? 'mariadb-11' : 'mysql-9';
    const wanted = startServices({ directory, need: ['mariadb'], environment: {}, provision: { servers: other } });
    await assert.rejects(wanted, /is wanted, and [^ ]+.* is up on port \d+ in its place/);
  });

  test('a name of no servers is refused', async (t) => {
    const refused = privateServices(t, ['mariadb'], { provision: { servers: 'mysql-5' } });
    await assert.rejects(refused, hasCode('BEDS_SERVICES_SET_UNKNOWN'));
  });

  test(
    'a server that does not start is reported with the end of its log, and the others are stopped',
    BOUND,
    async (t) => {
      const directory = temporaryDirectory(t);
      const { packageName = '' } = newerServers[process.env['BEDS_SERVERS'] ?? '']?.mariadb ?? {};
      const data = join(directory, 'mariadb', packageName, 'data');
      mkdirSync(data, { recursive: true });
      writeFileSync(join(data, 'ibdata1'), 'not a database');
      await assert.rejects(privateServices(t, ['mariadb', 'mongodb'], { directory }), (error: unknown) => {
        assert.ok(hasCode('BEDS_SERVICES_START_FAILED')(error));
        assert.match(String(error), /(MariaDB|MySQL) did not start: it exited with status 1[^]*\[ERROR\]/);
        return true;
      });
      assert.equal(readServices(directory), undefined);
    },
  );

  test('a configured URL is used as it is', async (t) => {
    const environment = { BEDS_RABBITMQ_URL: 'amqp://me:secret@broker.example:5673/v' };
    const services = await privateServices(t, ['rabbitmq'], { environment });
    assert.equal(services.rabbitmq?.url, environment.BEDS_RABBITMQ_URL);
    assert.equal(services.rabbitmq.source, 'configured');
    assert.equal(services.rabbitmq.port, 5673);
  });

  test('a configured URL of another kind is refused without showing it', async (t) => {
    const environment = { BEDS_MONGODB_URL: 'http://me:secret@db.example' };
    await assert.rejects(privateServices(t, ['mongodb'], { environment }), (error: unknown) => {
      assert.ok(hasCode('BEDS_SERVICES_URL_INVALID')(error));
      assert.doesNotMatch(String(error), /secret/);
      return true;
    });
  });
});

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => isBedsError(error) && error.code === code;
}

function pids(state: ServerState): readonly number[] {
  return [...state.processes.map((each) => each.pid), ...(state.guard === undefined ? [] : [state.guard.pid])];
}

/** n.b. not by signal 0: that finds a process that has ended and only waits for its parent to notice. */
function isAlive(pid: number): boolean {
  return identify(pid) !== undefined;
}

async function untilGone(which: readonly number[]): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (which.some(isAlive)) {
    assert.ok(Date.now() < deadline, `still alive: ${which.filter(isAlive).join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function holdServices(directory: string, need: readonly ServiceName[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HOLD, directory, need.join(',')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [text] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(text.toString(), 'ready\n');
  return child;
}

const marks: Readonly<Record<ServiceName, (url: string, mark: string, write: boolean) => Promise<boolean>>> = {
  rabbitmq: async (url, mark, write) => {
    const connection = await connect(url);
    connection.on('error', () => undefined);
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', () => undefined);
      if (!write) {
        return await channel.get('marks', { noAck: true }).then(
          (message) => message !== false && message.content.toString() === mark,
          () => false,
        );
      }
      // n.b. one queue for all marks: RabbitMQ 3.10 forgets a quorum queue when it is killed within 1 s of its declaration.
      await channel.assertQueue('marks', { durable: true, arguments: { 'x-queue-type': 'quorum' } });
      channel.sendToQueue('marks', Buffer.from(mark), { persistent: true });
      await channel.waitForConfirms();
      return true;
    } finally {
      await connection.close();
    }
  },
  mariadb: async (url, mark, write) => {
    const connection = await createConnection(url);
    try {
      if (write) {
        await connection.query(`CREATE TABLE \`${mark}\` (id INT PRIMARY KEY)`);
        await connection.query(`INSERT INTO \`${mark}\` VALUES (1)`);
        return true;
      }
      const [rows] = await connection.query(`SELECT id FROM \`${mark}\``);
      return Array.isArray(rows) && rows.length === 1;
    } catch {
      return false;
    } finally {
      await connection.end();
    }
  },
  mongodb: async (url, mark, write) => {
    const client = new MongoClient(url);
    try {
      if (write) await client.db().collection('marks').insertOne({ mark });
      // n.b. the server in MongoDB's place commits to its file 20 ms after the write at the latest.
      if (write) await new Promise((resolve) => setTimeout(resolve, 200));
      return (await client.db().collection('marks').findOne({ mark })) !== null;
    } finally {
      await client.close();
    }
  },
};

async function writeMark(service: Service | undefined, mark: string): Promise<void> {
  assert.ok(service);
  await marks[service.name](service.url, mark, true);
}

async function readMark(service: Service | undefined, mark: string): Promise<boolean> {
  assert.ok(service);
  return marks[service.name](service.url, mark, false);
}
