import type { Load } from '../measure/closed-loop.js';

/** What the processes with the bare drivers are started with. */
export interface BareStoreOptions {
  readonly url: string;
  readonly poolSize: number;
}

/** One slice of load on a bare driver. */
export interface BareStoreSlice extends Load {
  readonly operation: 'fetch' | 'create';
}
