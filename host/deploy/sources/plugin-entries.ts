import type { ServiceRecord } from '../service-record.js';
import { compareVersions } from '../compare-versions.js';

interface Entry {
  readonly hash: string;
  readonly domain: string;
  readonly version: string;
}

/** The complete bundles that lie in the plugin directory, and what is known of their bytes. */
export class PluginEntries {
  readonly #record: ServiceRecord;
  readonly #entries = new Map<string, Entry>();
  /** Bytes that were in the plugin directory during this run, as far as they may serve. */
  readonly #seen = new Set<string>();
  readonly #refused = new Set<string>();

  constructor(record: ServiceRecord) {
    this.#record = record;
  }

  get hashes(): readonly string[] {
    return [...this.#entries.values()].map(({ hash }) => hash);
  }

  get domains(): ReadonlySet<string> {
    return new Set([...this.#entries.values()].map(({ domain }) => domain));
  }

  hashOf(name: string): string | undefined {
    return this.#entries.get(name)?.hash;
  }

  /** Of those that were not refused, the highest version; of two that are the same the later name. */
  highestOf(names: readonly string[]): string | undefined {
    const candidates = names
      .flatMap((name) => this.#entries.get(name) ?? [])
      .filter(({ hash }) => !this.isRefused(hash));
    return candidates.reduce<Entry | undefined>(
      (best, entry) => (best !== undefined && compareVersions(best.version, entry.version) > 0 ? best : entry),
      undefined,
    )?.hash;
  }

  /** `inUse`: thousands of versions may be seen; those that nothing knows any more cannot serve. */
  set(name: string, entry: Entry, inUse: ReadonlySet<string>): void {
    this.#forget(name);
    this.#entries.set(name, entry);
    for (const old of this.#seen) if (!inUse.has(old)) this.#seen.delete(old);
    this.#seen.add(entry.hash);
  }

  delete(name: string): void {
    this.#forget(name);
    this.#record.keepEntries((recorded) => recorded !== name);
  }

  /**
   * Entries that went while the host was down are forgotten. All of them at once is an accident, such as a volume that is
   * not mounted: they must not be taken for new ones when they are back.
   */
  keepRecorded(): void {
    if (this.#entries.size > 0) this.#record.keepEntries((recorded) => this.#entries.has(recorded));
  }

  has(hash: string): boolean {
    return this.hashes.includes(hash);
  }

  wasSeen(hash: string): boolean {
    return this.#seen.has(hash);
  }

  isRefused(hash: string): boolean {
    return this.#refused.has(hash);
  }

  setRefused(hash: string, isRefused: boolean): void {
    if (!isRefused) this.#refused.delete(hash);
    else if (this.has(hash)) this.#refused.add(hash);
  }

  /** These are decided, and need not be again after a restart. */
  settle(which: (entry: Entry) => boolean): void {
    for (const [name, entry] of this.#entries) if (which(entry)) this.#record.setEntry(name, entry.hash);
  }

  #forget(name: string): void {
    const hash = this.hashOf(name);
    this.#entries.delete(name);
    if (hash !== undefined && !this.has(hash)) this.#refused.delete(hash);
  }
}
