import type { Config } from '../config/schema.js';
import type { ServiceName } from '../dev-servers/index.js';

/** The private servers that stand in for the URLs that the configuration leaves empty. */
export function neededServers({ amqp, stores }: Config): readonly ServiceName[] {
  const kinds = Object.values(stores).flatMap(({ url, kind }) => (url === '' ? [kind] : []));
  return [
    ...(amqp.url === '' ? (['rabbitmq'] as const) : []),
    ...(kinds.includes('mysql') ? (['mariadb'] as const) : []),
    ...(kinds.includes('mongodb') ? (['mongodb'] as const) : []),
  ];
}
