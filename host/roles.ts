import type { OwnQueue } from './brokers/define.js';
import { brokerDefinitions } from './brokers/definitions.js';
import { type Config, ownStores, playedRoles, withPossibleRoles } from './config/schema.js';
import { hostname } from 'node:os';

/** What is to run of one `[brokers.<name>]` entry, in every broker thread. It is sent to threads: plain data only. */
export interface BrokerPlan {
  readonly name: string;
  readonly type: string;
  readonly count: number;
  readonly prefetch: number;
  /** The whole entry. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Its domains; `*` is every domain but those of `exceptDomains`. */
  readonly domains: readonly string[];
  /** What other roles name: `*` does not mean them. */
  readonly exceptDomains: readonly string[];
  /** Which queues of each of these domains it consumes. */
  readonly domainQueues: readonly ('read' | 'write')[];
  readonly ownQueues: readonly OwnQueue[];
  readonly place: 'thread' | 'supervisor';
}

/** The brokers of all roles that this node plays. */
export function planBrokers(config: Pick<Config, 'node' | 'roles' | 'brokers'>): readonly BrokerPlan[] {
  const { roles, brokers } = config;
  return playedRoles(config).flatMap((role) => {
    const exceptDomains = namedElsewhere(role, roles);
    return (roles[role]?.brokers ?? []).flatMap((name) => {
      const settings = brokers[name];
      const definition = brokerDefinitions.get(settings?.type ?? '');
      if (settings === undefined || definition === undefined) return [];
      const own = definition.domains?.(settings) ?? ['*'];
      const ofRole = { domains: roles[role]?.domains ?? [], exceptDomains };
      return {
        name,
        type: settings.type,
        count: settings.count,
        prefetch: settings.prefetch,
        settings,
        domains: own.includes('*') ? ofRole.domains : own.filter((domain) => hasDomain(ofRole, domain)),
        exceptDomains,
        domainQueues: definition.domainQueues?.(settings) ?? [],
        ownQueues: definition.ownQueues?.(settings) ?? [],
        place: definition.place ?? 'thread',
      };
    });
  });
}

function namedElsewhere(role: string, roles: Config['roles']): readonly string[] {
  return Object.entries(roles).flatMap(([other, { domains }]) =>
    other === role ? [] : domains.filter((domain) => domain !== '*'),
  );
}

function hasDomain({ domains, exceptDomains }: Pick<BrokerPlan, 'domains' | 'exceptDomains'>, domain: string): boolean {
  return domains.includes(domain) || (domains.includes('*') && !exceptDomains.includes(domain));
}

/** Whether a broker consumes queues of the domain. */
export function servesDomain(plan: BrokerPlan, domain: string): boolean {
  return plan.domainQueues.length > 0 && hasDomain(plan, domain);
}

/** Whether this node serves a domain: one of its roles has it, and runs a broker for it. */
export function serveMatcher(config: Pick<Config, 'node' | 'roles' | 'brokers'>): (domain: string) => boolean {
  const plans = planBrokers(config);
  return (domain) => plans.some((plan) => servesDomain(plan, domain));
}

/** The roles that run brokers and that this node does not play, with the domains that they name: other nodes are to play them. */
export function rolesOfOthers(config: Pick<Config, 'node' | 'roles'>): Readonly<Record<string, readonly string[]>> {
  const played = playedRoles(config);
  const others = Object.entries(config.roles).filter(
    ([role, { brokers }]) => brokers.length > 0 && !played.includes(role),
  );
  return Object.fromEntries(others.map(([role, { domains }]) => [role, domains]));
}

/** The configuration of a node with the roles that there can be, and the stores of its own only: the others are not opened, and their URLs may be empty. */
export function withOwnStores(settings: Config): Config {
  const config = withPossibleRoles(settings);
  return { ...config, stores: ownStores(config) };
}

/** Whether there is to be a node, this one or another, through which all orders come. */
export function hasOrderDesk({ roles, brokers }: Pick<Config, 'roles' | 'brokers'>): boolean {
  return hasBroker({ roles, brokers }, 'admin-in');
}

/** Whether there is to be a node that keeps what all nodes shall run. */
export function hasFleet(config: Pick<Config, 'roles' | 'brokers'>): boolean {
  return hasBroker(config, 'admin-out');
}

function hasBroker({ roles, brokers }: Pick<Config, 'roles' | 'brokers'>, type: string): boolean {
  return Object.values(roles).some(({ brokers: names }) => names.some((name) => brokers[name]?.type === type));
}

/** The configured name, or one that no other process has: host name and process id. */
export function nodeName(config: Config): string {
  if (config.node.name !== '') return config.node.name;
  return `${hostname().replaceAll(/[^A-Za-z0-9_-]/g, '-')}-${String(process.pid)}`;
}
