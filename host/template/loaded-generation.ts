import type { Template } from '@beds/sdk';
import { settlesWithin } from '#sdk/time';
import type { GenerationSource } from './contract.js';

/** One version of a template, loaded in this thread. It never changes; it ends when the last request has let go of it. */
export class LoadedGeneration {
  readonly source: GenerationSource;
  readonly template: Template;
  #leases = 0;
  #onIdle: (() => void)[] = [];

  constructor(source: GenerationSource, template: Template) {
    this.source = source;
    this.template = template;
  }

  get id(): number {
    return this.source.id;
  }

  get domain(): string {
    return this.source.manifest.domain;
  }

  get version(): string {
    return this.source.manifest.version;
  }

  get inFlight(): number {
    return this.#leases;
  }

  /** Keeps the generation until `release`; every request holds one from before its template code until after it. */
  lease(): void {
    this.#leases += 1;
  }

  release(): void {
    this.#leases -= 1;
    if (this.#leases > 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }

  /** Resolves with true when no request holds the generation, with false after `timeoutMs`. */
  async drained(timeoutMs: number): Promise<boolean> {
    if (this.#leases === 0) return true;
    return settlesWithin(new Promise<void>((resolve) => this.#onIdle.push(resolve)), timeoutMs);
  }
}
