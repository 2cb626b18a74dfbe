import { hostname } from 'node:os';
import type { OwnQueue } from './brokers/define.js';
import type { Config } from './config/schema.js';

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

/** The roles of this node; `*` are all that are configured. */
export function playedRoles({ node, roles }: Pick<Config, 'node' | 'roles'>): readonly string[] {
  return [...new Set(node.roles.flatMap((role) => (role === '*' ? Object.keys(roles) : [role])))];
}

/** The configuration without the roles that lack a store. What is left needs none: a node may leave the stores of others out afterwards. */
export function withPossibleRoles(config: Config): Config {
  const possible = Object.entries(config.roles)
    .filter(([, { needs }]) => needs.every((store) => Object.hasOwn(config.stores, store)))
    .map(([role, settings]) => [role, { ...settings, needs: [] }] as const);
  return { ...config, roles: Object.fromEntries(possible) };
}

/** The stores of the roles that this node plays. It opens no others. */
export function ownStores(config: Pick<Config, 'node' | 'roles' | 'stores'>): Config['stores'] {
  const played = playedRoles(config);
  const own = Object.entries(config.stores).filter(([, { roles }]) =>
    roles.some((role) => role === '*' || played.includes(role)),
  );
  return Object.fromEntries(own);
}

/** Whether a broker, or a role, has the domain. */
export function hasDomain(
  { domains, exceptDomains }: Pick<BrokerPlan, 'domains' | 'exceptDomains'>,
  domain: string,
): boolean {
  return domains.includes(domain) || (domains.includes('*') && !exceptDomains.includes(domain));
}

/** Whether a broker consumes queues of the domain. */
export function servesDomain(plan: BrokerPlan, domain: string): boolean {
  return plan.domainQueues.length > 0 && hasDomain(plan, domain);
}

/** Tells whether one of these brokers consumes queues of a domain. */
export function servedBy(plans: readonly BrokerPlan[]): (domain: string) => boolean {
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
