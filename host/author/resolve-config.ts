import { deepFreeze } from '../config/load.js';
import type { Config, StoreConfig } from '../config/schema.js';
import { runtimeUrl, type AdministeredStore, type RuntimeAccounts } from '../dba/index.js';
import type { ServiceName } from '../dev-servers/index.js';
import { cliErrors } from '../errors/cli.js';
import { withOwnStores } from '../roles.js';

/** Servers in use, with the credentials of administrators; `Services` and `ServicesState` of host/dev-servers are this. */
export interface ServerUrls {
  readonly rabbitmq?: { readonly url: string } | undefined;
  readonly mariadb?: { readonly url: string } | undefined;
  readonly mongodb?: { readonly url: string } | undefined;
}

interface Resources {
  readonly servers: ServerUrls;
  readonly accounts: RuntimeAccounts;
}

const SERVER_OF_KIND: Readonly<Record<StoreConfig['kind'], 'mariadb' | 'mongodb'>> = {
  mysql: 'mariadb',
  mongodb: 'mongodb',
};

/**
 * The configuration with the stores of this node, and every URL that it leaves empty filled in: RabbitMQ's, and for each store the running server's
 * with the runtime account that `beds db apply` made. Throws BEDS_CLI_SERVER_MISSING with everything that is lacking.
 */
export function resolveConfig(settings: Config, servers: ServerUrls, accounts: RuntimeAccounts): Config {
  const config = withOwnStores(settings);
  const missing: string[] = [];
  const brokerUrl = config.amqp.url === '' ? servers.rabbitmq?.url : config.amqp.url;
  if (brokerUrl === undefined) missing.push('RabbitMQ does not run');
  const stores = Object.entries(config.stores).map(([name, store]): [string, Config['stores'][string]] => {
    const url = urlOfStore(name, store, { servers, accounts });
    if (url === undefined)
      missing.push(`the store ${name} has no running server, or \`beds db apply\` has not prepared it`);
    return [name, { ...store, url: url ?? '' }];
  });
  if (missing.length > 0) throw cliErrors.make('BEDS_CLI_SERVER_MISSING', `${sentence(missing)}.`);
  const amqp = { ...config.amqp, url: brokerUrl ?? '' };
  // n.b. who reaches the private RabbitMQ of a checkout develops there.
  const { tracing } = config;
  const own = config.amqp.url === '' ? { ...tracing, replyRoles: ['*'] } : tracing;
  return deepFreeze({ ...config, amqp, tracing: own, stores: Object.fromEntries(stores) });
}

/** The databases that the configuration leaves to this checkout, as their administrator reaches them. */
export function administeredStores(config: Config, servers: ServerUrls): Readonly<Record<string, AdministeredStore>> {
  return Object.fromEntries(
    Object.entries(config.stores).flatMap(([name, { kind, url }]) => {
      const adminUrl = servers[SERVER_OF_KIND[kind]]?.url;
      return adminUrl === undefined ? [] : [[name, { kind, adminUrl, ownAccount: url !== '' }]];
    }),
  );
}

/** With the runtime account. Undefined where there is no server, or nothing has been prepared in it. */
export function urlOfStore(
  name: string,
  { kind, url }: StoreConfig,
  { servers, accounts }: Resources,
): string | undefined {
  if (url !== '') return url;
  const adminUrl = servers[SERVER_OF_KIND[kind]]?.url;
  const account = accounts[name];
  return adminUrl === undefined || account === undefined ? undefined : runtimeUrl(adminUrl, account);
}

function sentence(parts: readonly string[]): string {
  const text = parts.join('; ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** The private servers that stand in for the URLs that the configuration leaves empty. */
export function neededServers(config: Config): readonly ServiceName[] {
  const { amqp, stores } = withOwnStores(config);
  const kinds = Object.values(stores).flatMap(({ url, kind }) => (url === '' ? [kind] : []));
  return [
    ...(amqp.url === '' ? (['rabbitmq'] as const) : []),
    ...(kinds.includes('mysql') ? (['mariadb'] as const) : []),
    ...(kinds.includes('mongodb') ? (['mongodb'] as const) : []),
  ];
}
