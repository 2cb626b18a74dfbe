import { resolve } from 'node:path';
import type { Config } from './schema.js';

export interface Directories {
  /** `state.directory`: private servers, staged bundles, history and runtime accounts. */
  readonly state: string;
  /** `plugins.directory`: bundles that are dropped in, and the sources of domains. */
  readonly plugins: string;
}

/** The directories of the configuration, absolute: what is relative is meant from the checkout, what is absolute is meant as it is. */
export function directoriesOf(projectRoot: string, { state, plugins }: Pick<Config, 'state' | 'plugins'>): Directories {
  return {
    state: resolve(projectRoot, state.directory),
    plugins: resolve(projectRoot, plugins.directory),
  };
}
