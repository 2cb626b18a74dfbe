import { didYouMean } from './nearest.js';
import type { Config } from './schema.js';

/** Something wrong between several keys. The first path is the one to change. */
export interface CrossProblem {
  readonly paths: readonly [string, ...string[]];
  readonly message: string;
}

/** Everything that no single key can tell. */
export function crossCheck(config: Config): readonly CrossProblem[] {
  return [
    ...checkRole(config),
    ...checkBrokers(config),
    ...checkThreads(config),
    ...checkOrder(config),
    ...checkUrls(config),
  ];
}

function checkRole({ node, roles }: Config): readonly CrossProblem[] {
  if (Object.hasOwn(roles, node.role)) return [];
  const known = Object.keys(roles);
  return [
    {
      paths: ['node.role', 'roles'],
      message: `there is no such role.${didYouMean(node.role, known)} Known: ${known.join(', ')}.`,
    },
  ];
}

function checkBrokers({ roles, brokers }: Config): readonly CrossProblem[] {
  const missing = Object.entries(roles).flatMap(([role, { brokers: names }]) =>
    names
      .filter((name) => !Object.hasOwn(brokers, name))
      .map((name): CrossProblem => {
        const hint = didYouMean(name, Object.keys(brokers));
        return { paths: [`roles.${role}.brokers`, 'brokers'], message: `there is no [brokers.${name}].${hint}` };
      }),
  );
  const running = new Set(Object.values(roles).flatMap((role) => role.brokers));
  const idle = (['read', 'write'] as const)
    .filter((mode) => !Object.entries(brokers).some(([name, b]) => running.has(name) && b.mode === mode && b.count > 0))
    .map((mode): CrossProblem => ({
      paths: ['brokers', 'roles'],
      message: `no role runs a broker of mode ${mode}, so no ${mode} would ever be served.`,
    }));
  return [...missing, ...idle];
}

function checkThreads({ roles, threads }: Config): readonly CrossProblem[] {
  const owners = new Map<string, string[]>();
  for (const [group, { domains }] of Object.entries(threads)) {
    for (const domain of new Set(domains)) owners.set(domain, [...(owners.get(domain) ?? []), group]);
  }
  const overlaps = [...owners]
    .filter(([, groups]) => groups.length > 1)
    .map(([domain, groups]): CrossProblem => {
      const what = domain === '*' ? '* (every other domain)' : `domain ${domain}`;
      const [first = '', ...others] = groups;
      return {
        paths: [`threads.${others[0] ?? first}.domains`, 'threads'],
        message: `${what} belongs to one thread group only, but is in ${groups.join(' and ')}.`,
      };
    });
  const homeless = Object.entries(roles).flatMap(([role, { domains }]) =>
    domains
      .filter((domain) => !owners.has(domain) && !owners.has('*'))
      .map((domain): CrossProblem => ({
        paths: [`roles.${role}.domains`, 'threads'],
        message: `no thread group has ${domain === '*' ? '*, every other domain' : `domain ${domain}`}.`,
      })),
  );
  return [...overlaps, ...homeless];
}

function checkOrder({ amqp, limits, supervisor }: Config): readonly CrossProblem[] {
  const rules: readonly (readonly [low: string, lowValue: number, high: string, highValue: number])[] = [
    ['limits.defaultDeadlineMs', limits.defaultDeadlineMs, 'limits.maxDeadlineMs', limits.maxDeadlineMs],
    ['amqp.reconnectMinMs', amqp.reconnectMinMs, 'amqp.reconnectMaxMs', amqp.reconnectMaxMs],
    ['supervisor.heartbeatMs', supervisor.heartbeatMs, 'supervisor.stallTimeoutMs', supervisor.stallTimeoutMs / 2],
  ];
  return rules
    .filter(([, low, , high]) => low > high)
    .map(([low, , high]) => {
      const least = high.startsWith('supervisor') ? `twice ${low}` : low;
      return { paths: [high, low], message: `must be at least ${least}.` };
    });
}

const PROTOCOLS = {
  amqp: ['amqp', 'amqps'],
  mysql: ['mysql', 'mariadb'],
  mongodb: ['mongodb', 'mongodb+srv'],
} as const;

function checkUrls({ amqp, stores }: Config): readonly CrossProblem[] {
  const urls = [
    { path: 'amqp.url', url: amqp.url, protocols: PROTOCOLS.amqp },
    ...Object.entries(stores).map(([name, { url, kind }]) => ({
      path: `stores.${name}.url`,
      url,
      protocols: PROTOCOLS[kind],
    })),
  ];
  return urls
    .filter(({ url, protocols }) => url !== '' && !protocols.some((protocol) => url.startsWith(`${protocol}://`)))
    .map(({ path, protocols }) => ({
      paths: [path, path.replace(/url$/, 'kind')],
      message: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}://`).join(' or ')}.`,
    }));
}
