import type { GenerationSource } from '../../generation/contract.js';

/** Which threads still finish requests of which old version. */
export class Drains {
  readonly #draining = new Map<number, { readonly source: GenerationSource; readonly threads: Set<string> }>();
  readonly #onState: (source: GenerationSource, state: 'draining' | 'retired') => void;

  constructor(onState: (source: GenerationSource, state: 'draining' | 'retired') => void) {
    this.#onState = onState;
  }

  get sources(): readonly GenerationSource[] {
    return [...this.#draining.values()].map(({ source }) => source);
  }

  begin(source: GenerationSource, threads: readonly string[]): void {
    this.#onState(source, 'draining');
    this.#draining.set(source.id, { source, threads: new Set(threads) });
  }

  /** A thread has finished with an old version, or is gone: both end its part. */
  onDrained(generation: number, thread: string): void {
    const draining = this.#draining.get(generation);
    if (draining?.threads.delete(thread) !== true || draining.threads.size > 0) return;
    this.#draining.delete(generation);
    this.#onState(draining.source, 'retired');
  }

  onThreadLost(thread: string): void {
    for (const generation of [...this.#draining.keys()]) this.onDrained(generation, thread);
  }
}
