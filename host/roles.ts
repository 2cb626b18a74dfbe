import type { OwnQueue } from './brokers/define.js';
import { brokerDefinitions } from './brokers/definitions.js';
import type { Config } from './config/schema.js';
import { hostname } from 'node:os';

/** What is to run of one `[brokers.<name>]` entry, in every broker thread. It is sent to threads: plain data only. */
export interface BrokerPlan {
  readonly name: string;
  readonly type: string;
  readonly count: number;
  readonly prefetch: number;
  /** The whole entry. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Domains of its role; `*` is every domain. */
  readonly domains: readonly string[];
  /** Which queue of each of these domains it consumes. */
  readonly domainQueue: 'read' | 'write' | undefined;
  readonly ownQueues: readonly OwnQueue[];
}

/** The brokers of all roles that this node plays. */
export function planBrokers({
  node,
  roles,
  brokers,
}: Pick<Config, 'node' | 'roles' | 'brokers'>): readonly BrokerPlan[] {
  return node.roles.flatMap((role) =>
    (roles[role]?.brokers ?? []).flatMap((name) => {
      const settings = brokers[name];
      const definition = brokerDefinitions.get(settings?.type ?? '');
      if (settings === undefined || definition === undefined) return [];
      return {
        name,
        type: settings.type,
        count: settings.count,
        prefetch: settings.prefetch,
        settings,
        domains: roles[role]?.domains ?? [],
        domainQueue: definition.domainQueue?.(settings),
        ownQueues: definition.ownQueues?.(settings) ?? [],
      };
    }),
  );
}

/** Whether a broker consumes queues of the domain. */
export function servesDomain({ domains, domainQueue }: BrokerPlan, domain: string): boolean {
  return domainQueue !== undefined && (domains.includes('*') || domains.includes(domain));
}

/** Whether this node serves a domain: one of its roles names it, or `*`, and runs a broker for it. */
export function serveMatcher(config: Config): (domain: string) => boolean {
  const plans = planBrokers(config);
  return (domain) => plans.some((plan) => servesDomain(plan, domain));
}

/** The configured name, or one that no other process has: host name and process id. */
export function nodeName(config: Config): string {
  if (config.node.name !== '') return config.node.name;
  return `${hostname().replaceAll(/[^A-Za-z0-9_-]/g, '-')}-${String(process.pid)}`;
}
