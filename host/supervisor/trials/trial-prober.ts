import type { Finding } from '../../generation/contract.js';
import type { Trail } from '../../thread/trail.js';
import type { ProbeOptions, Prober, ProbeWatch } from '../admission/probe.js';
import { probeApart } from '../admission/probe-apart.js';
import type { ProbeTask } from '../admission/probe-messages.js';

export interface TrialProberOptions extends ProbeOptions {
  readonly trail: Trail;
  /** Whether these bytes may have ended the host. */
  readonly isSuspect: (hash: string) => boolean;
}

/** Writes down what it probes, and probes in a process of its own what may have ended the host. */
export class TrialProber implements Prober {
  readonly #prober: Prober;
  readonly #options: TrialProberOptions;
  #lastId = 0;

  constructor(prober: Prober, options: TrialProberOptions) {
    this.#prober = prober;
    this.#options = options;
  }

  async probe(task: Omit<ProbeTask, 'memoryMb'>, watch: ProbeWatch = {}): Promise<readonly Finding[]> {
    const { trail, isSuspect, timeoutMs, memoryMb } = this.#options;
    const { hash, manifest } = task;
    if (hash === undefined) return this.#prober.probe(task, watch);
    this.#lastId += 1;
    const id = this.#lastId;
    trail.load({ id, hash, manifest });
    try {
      if (!isSuspect(hash)) return await this.#prober.probe(task, watch);
      return await probeApart({ ...task, memoryMb }, { timeoutMs, signal: watch.signal });
    } finally {
      trail.forget(id);
    }
  }

  expect(): void {
    this.#prober.expect();
  }

  close(): Promise<void> {
    return this.#prober.close();
  }
}
