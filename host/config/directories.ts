import { resolve } from 'node:path';
import type { Config } from './schema.js';

export interface Directories {
  /** `services.directory`: private servers, staged bundles, history and runtime accounts. */
  readonly services: string;
  /** `plugins.directory`: bundles that are dropped in, and the sources of domains. */
  readonly plugins: string;
}

/** The directories of the configuration, absolute: what is relative is meant from the checkout, what is absolute is meant as it is. */
export function directoriesOf(
  projectRoot: string,
  { services, plugins }: Pick<Config, 'services' | 'plugins'>,
): Directories {
  return {
    services: resolve(projectRoot, services.directory),
    plugins: resolve(projectRoot, plugins.directory),
  };
}
