import type { Finding } from '../../../template/contract.js';
import type { Trail } from '../../../threads/trail.js';
import type { ProbeOptions, Prober, ProbeWatch } from '../../admit/probe.js';
import { probeApart } from '../../admit/probe-apart.js';
import type { ProbeTask } from '../../admit/probe-messages.js';

export interface TrialProberOptions extends ProbeOptions {
  readonly trail: Trail;
  /** Whether these bytes may have ended the host. */
  readonly isSuspect: (hash: string) => boolean;
}

/** A thread that is ended in the middle of a long call is there until that returns. */
const ENDING_MS = 5_000;

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
    const findings = isSuspect(hash)
      ? await probeApart({ ...task, memoryMb }, { timeoutMs, signal: watch.signal })
      : await this.#prober.probe(task, watch);
    // What is refused for the time or memory it takes goes on with both until its thread has ended.
    if (findings.length === 0) trail.forget(id);
    else setTimeout(() => trail.forget(id), ENDING_MS).unref();
    return findings;
  }

  expect(): void {
    this.#prober.expect();
  }

  close(): Promise<void> {
    return this.#prober.close();
  }
}
