import type { Finding, GenerationSource } from '../template/contract.js';
import { addLeftovers, type Leftovers, NO_LEFTOVERS } from '../template/leftovers.js';

export interface DrainNote {
  /** What the threads had to end for it; nothing while it drains. */
  readonly left: Leftovers;
  /** Why nothing takes its place; absent where something does. */
  readonly why?: Finding;
}

export type OnDrainState = (source: GenerationSource, state: 'draining' | 'retired', note: DrainNote) => void;

interface Draining {
  readonly source: GenerationSource;
  readonly threads: Set<string>;
  readonly why: { readonly why?: Finding };
  left: Leftovers;
}

/** Which threads still finish requests of which old version. */
export class Drains {
  readonly #draining = new Map<number, Draining>();
  readonly #onState: OnDrainState;

  constructor(onState: OnDrainState) {
    this.#onState = onState;
  }

  get sources(): readonly GenerationSource[] {
    return [...this.#draining.values()].map(({ source }) => source);
  }

  begin(source: GenerationSource, threads: readonly string[], reason?: Finding): void {
    const why = reason === undefined ? {} : { why: reason };
    this.#onState(source, 'draining', { left: NO_LEFTOVERS, ...why });
    this.#draining.set(source.id, { source, threads: new Set(threads), left: NO_LEFTOVERS, why });
    // Every thread is being replaced: none has it.
    if (threads.length === 0) this.#end(source.id);
  }

  /** A thread has finished with an old version, or is gone: both end its part. What a lost thread left went with it. */
  onDrained(generation: number, thread: string, left: Leftovers = NO_LEFTOVERS): void {
    const draining = this.#draining.get(generation);
    if (draining?.threads.delete(thread) !== true) return;
    draining.left = addLeftovers(draining.left, left);
    if (draining.threads.size === 0) this.#end(generation);
  }

  onThreadLost(thread: string): void {
    for (const generation of [...this.#draining.keys()]) this.onDrained(generation, thread);
  }

  #end(generation: number): void {
    const draining = this.#draining.get(generation);
    this.#draining.delete(generation);
    if (draining !== undefined) this.#onState(draining.source, 'retired', { left: draining.left, ...draining.why });
  }
}
