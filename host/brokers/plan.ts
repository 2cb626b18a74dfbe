import type { Config } from '../config/schema.js';
import { type BrokerPlan, hasDomain, playedRoles } from '../roles.js';
import { brokerDefinitions } from './definitions.js';

// n.b. not for broker threads, which are given their plans: with the definitions comes all that checks a configuration.

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
