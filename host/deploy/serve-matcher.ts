import type { Config } from '../config/schema.js';

/** Whether a node of the configured role serves a domain: named, or `*`. */
export function serveMatcher(config: Config): (domain: string) => boolean {
  const domains = config.roles[config.node.role]?.domains ?? [];
  return (domain) => domains.includes('*') || domains.includes(domain);
}
