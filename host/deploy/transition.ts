import type { Finding } from '../template/contract.js';
import type { Leftovers } from '../template/leftovers.js';
import type { LifecycleState } from '../template/lifecycle.js';
import type { Cause } from './plan.js';

/** A version changed its state. */
export interface Transition {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly state: LifecycleState;
  readonly cause?: Cause;
  readonly generation?: number;
  readonly findings?: readonly Finding[];
  /** Milliseconds since the bytes were complete. */
  readonly ms?: number;
  /** Milliseconds that the change of the routes took on all threads; of `canary` and `active`. */
  readonly flipMs?: number;
  /** Of `retired`: what the version had not ended by itself, on all threads; absent where it left nothing. */
  readonly left?: Leftovers;
}
