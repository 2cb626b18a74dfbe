import { hostname } from 'node:os';
import type { Config } from './config/schema.js';

/** The configured name, or one that no other process has: host name and process id. */
export function nodeName(config: Config): string {
  if (config.node.name !== '') return config.node.name;
  return `${hostname().replaceAll(/[^A-Za-z0-9_-]/g, '-')}-${String(process.pid)}`;
}
