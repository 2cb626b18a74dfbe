import type { ServerDefinition, ServiceName } from './contract.js';
import { mariadb } from './mariadb/definition.js';
import { mongodb } from './mongodb/definition.js';
import { rabbitmq } from './rabbitmq/definition.js';

export const definitions: Readonly<Record<ServiceName, ServerDefinition>> = { rabbitmq, mariadb, mongodb };
