import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeNames } from '../host/amqp/names.js';
import type { QueueStatus, Topology } from '../host/amqp/topology.js';
import { crossCheck } from '../host/config/cross-checks.js';
import { type Config, configSchema } from '../host/config/schema.js';
import { DomainConsumers } from '../host/deploy/thread-routes.js';
import { planBrokers } from '../host/brokers/plan.js';
import { rolesOfOthers, servedBy, servesDomain, withOwnStores } from '../host/roles.js';
import type { ThreadCommand } from '../host/threads/protocol.js';
import type { ThreadPool } from '../host/threads/pool.js';

const config = configSchema.parse({
  node: { roles: ['appServer', 'users'] },
  brokers: {
    reader: { type: 'data', mode: 'read', prefetch: 7 },
    writer: { type: 'data', mode: 'write' },
    userReader: { type: 'data', mode: 'read', count: 3 },
    userWriter: { type: 'data', mode: 'write' },
    elsewhere: { type: 'data', mode: 'read' },
  },
  roles: {
    appServer: { domains: ['cities'], brokers: ['reader', 'writer'] },
    users: { domains: ['users', 'sessions'], brokers: ['userReader', 'userWriter'] },
    other: { domains: ['*'], brokers: ['elsewhere'] },
  },
});

interface Consumers {
  readonly consumers: DomainConsumers;
  /** What every thread was told. */
  readonly told: ThreadCommand[];
}

/** Of a node with two threads. */
function makeConsumers(queues: readonly QueueStatus[] = []): Consumers {
  const told: ThreadCommand[] = [];
  const pool = {
    groupOf: () => 'default',
    serving: [{ group: 'default' }, { group: 'default' }],
    broadcast: (command: ThreadCommand) => Promise.resolve(told.push(command)),
  };
  const consumers = new DomainConsumers({
    pool: pool as unknown as ThreadPool,
    topology: { status: () => Promise.resolve(queues) } as unknown as Topology,
    names: makeNames('beds'),
    config,
    brokers: planBrokers(config),
  });
  return { consumers, told };
}

describe('a node with several roles', () => {
  it('runs the brokers of all of them, each with the domains of its role', () => {
    assert.deepEqual(
      planBrokers(config).map(({ name, count, prefetch, domains }) => [name, count, prefetch, domains]),
      [
        ['reader', 1, 7, ['cities']],
        ['writer', 1, 200, ['cities']],
        ['userReader', 3, 200, ['users', 'sessions']],
        ['userWriter', 1, 200, ['users', 'sessions']],
      ],
    );
  });

  it('serves the domains of all of them, and no others', () => {
    const serves = servedBy(planBrokers(config));
    assert.deepEqual(['cities', 'users', 'sessions', 'orders'].map(serves), [true, true, true, false]);
  });

  it('means by * what no other role of the configuration names, be it played here or not', () => {
    const played = (...roles: readonly string[]): readonly boolean[] => {
      const serves = servedBy(planBrokers(configSchema.parse({ node: { roles } })));
      return ['cities', 'users', 'sessions'].map(serves);
    };
    assert.deepEqual(played('appServer'), [true, false, false]);
    assert.deepEqual(played('tercero'), [false, true, true]);
    assert.deepEqual(played('*'), [true, true, true]);
    assert.deepEqual(rolesOfOthers(withOwnStores(configSchema.parse({ node: { roles: ['appServer'] } }))), {
      tercero: ['users', 'sessions'],
    });
  });

  it('has no role whose store is not configured, and then its domains are as any other', () => {
    const parsed = (stores: object, ...roles: readonly string[]): Config =>
      withOwnStores(withOwnStores(configSchema.parse({ node: { roles }, stores })));
    const admin = { admin: { kind: 'mysql', roles: ['admin'] } };
    const brokersOf = (config: Config): boolean => planBrokers(config).some(({ name }) => name === 'adminData');
    assert.equal(brokersOf(parsed({}, '*')), false);
    assert.equal(brokersOf(parsed(admin, '*')), true);
    assert.equal(servedBy(planBrokers(parsed({}, 'appServer')))('audit'), true);
    // n.b. this node does not have the store, as it plays another role.
    assert.equal(servedBy(planBrokers(parsed(admin, 'appServer')))('audit'), false);
    assert.deepEqual(Object.keys(rolesOfOthers(parsed(admin, 'appServer'))), ['tercero', 'admin']);
    assert.deepEqual(
      crossCheck(configSchema.parse({ node: { roles: ['admin'] } })).map(({ message }) => message),
      ['the role admin needs a store admin, and there is no [stores.admin].'],
    );
  });

  it('opens the stores of its roles, and no others', () => {
    const stores = {
      main: { kind: 'mysql' },
      accounts: { kind: 'mongodb', roles: ['tercero'] },
    };
    const opened = (...roles: readonly string[]): readonly string[] =>
      Object.keys(withOwnStores(configSchema.parse({ node: { roles }, stores })).stores);
    assert.deepEqual(opened('appServer'), ['main']);
    assert.deepEqual(opened('*'), ['main', 'accounts']);
  });

  it('gives a broker with domains of its own those of them that its role has', () => {
    const plans = planBrokers(configSchema.parse({}));
    const queuesOf = (domain: string): readonly (readonly [string, readonly string[]])[] =>
      plans.filter((plan) => servesDomain(plan, domain)).map(({ name, domainQueues }) => [name, domainQueues]);
    assert.deepEqual(queuesOf('users'), [['uBroker', ['read', 'write']]]);
    assert.deepEqual(queuesOf('sessions'), [['sBroker', ['read', 'write']]]);
    assert.deepEqual(queuesOf('cities'), [
      ['rBroker', ['read']],
      ['wBroker', ['write']],
    ]);
  });

  it('serves no domain by a role that runs nothing for domains', () => {
    const admin = configSchema.parse({ node: { roles: ['admin'] }, roles: { admin: { brokers: [] } } });
    assert.equal(servedBy(planBrokers(admin))('cities'), false);
  });

  it('consumes the queues of a domain with the brokers of its role', async () => {
    const { consumers, told } = makeConsumers();
    await consumers.addMissing(['users', 'cities']);
    assert.deepEqual(told, [
      { kind: 'consume', broker: 'userReader', queue: 'beds.req.users.read' },
      { kind: 'consume', broker: 'userWriter', queue: 'beds.req.users.write' },
      { kind: 'consume', broker: 'reader', queue: 'beds.req.cities.read' },
      { kind: 'consume', broker: 'writer', queue: 'beds.req.cities.write' },
    ]);
    await consumers.cancel('users');
    assert.deepEqual(told.slice(4), [
      { kind: 'cancel', queue: 'beds.req.users.read' },
      { kind: 'cancel', queue: 'beds.req.users.write' },
    ]);
  });

  it('recognises its own consumers of a queue by the number of brokers in each thread', async () => {
    const queue = 'beds.req.users.read';
    assert.equal(await makeConsumers([{ queue, ready: 0, consumers: 6 }]).consumers.isOnlyHere('users'), true);
    assert.equal(await makeConsumers([{ queue, ready: 0, consumers: 7 }]).consumers.isOnlyHere('users'), false);
  });
});
