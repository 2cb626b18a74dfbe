import { join } from 'node:path';
import { z } from 'zod';
import { StateFile } from './state-file.js';

/** A version that served, by its bytes. */
export interface ServedVersion {
  readonly hash: string;
  readonly version: string;
  /** ISO 8601 instant at which it took over. */
  readonly at: string;
}

/** Who decided about a domain: what lies in the plugin directory, or what was ordered, by an operator or after harm. */
export type Origin = 'directory' | 'deploy';

export interface DomainRecord {
  /** Newest first; the first serves, unless the domain was retired. */
  readonly served: readonly ServedVersion[];
  readonly isServed: boolean;
  readonly origin: Origin;
  readonly paused: boolean;
}

const served = z.object({ hash: z.string(), version: z.string(), at: z.string() });
const schema = z.object({
  v: z.literal(1),
  domains: z.record(
    z.string(),
    z.object({
      served: z.array(served),
      isServed: z.boolean(),
      origin: z.enum(['directory', 'deploy']),
      paused: z.boolean(),
    }),
  ),
  entries: z.record(z.string(), z.string()),
});
type State = z.output<typeof schema>;

const EMPTY: DomainRecord = { served: [], isServed: false, origin: 'directory', paused: false };

/** What a host remembers over a restart: which versions served, and what of the plugin directory is done with. */
export class ServiceRecord {
  readonly #file: StateFile<State>;
  readonly #keepVersions: number;

  private constructor(file: StateFile<State>, keepVersions: number) {
    this.#file = file;
    this.#keepVersions = keepVersions;
  }

  static async open(directory: string, keepVersions: number): Promise<ServiceRecord> {
    const parse = (value: unknown): State | undefined => schema.safeParse(value).data;
    const file = await StateFile.open<State>(join(directory, 'served.json'), parse, { v: 1, domains: {}, entries: {} });
    return new ServiceRecord(file, keepVersions);
  }

  get domains(): readonly (readonly [string, DomainRecord])[] {
    return Object.entries(this.#file.value.domains);
  }

  /** Bytes that must stay in the stage: what serves, and what one may go back to. */
  get hashes(): readonly string[] {
    return this.domains.flatMap(([, { served }]) => served.map(({ hash }) => hash));
  }

  of(domain: string): DomainRecord {
    const { domains } = this.#file.value;
    return (Object.hasOwn(domains, domain) ? domains[domain] : undefined) ?? EMPTY;
  }

  /** A version took over; it is what the next start serves. */
  confirm(domain: string, version: Omit<ServedVersion, 'at'>, origin: Origin = this.of(domain).origin): void {
    const before = this.of(domain);
    const [newest] = before.served;
    const others = before.served.filter(({ hash }) => hash !== version.hash);
    const at = newest?.hash === version.hash ? newest.at : new Date().toISOString();
    const served = [{ ...version, at }, ...others].slice(0, this.#keepVersions);
    this.#put(domain, { ...before, served, origin, isServed: true });
  }

  /** The domain is out of service, and stays so over a restart. */
  retire(domain: string): void {
    this.#put(domain, { ...this.of(domain), isServed: false });
  }

  setPaused(domain: string, paused: boolean): void {
    if (this.of(domain).paused !== paused) this.#put(domain, { ...this.of(domain), paused });
  }

  /** The bytes that an entry of the plugin directory had when its domain was last decided, by this host or the one before it. */
  entry(name: string): string | undefined {
    const { entries } = this.#file.value;
    return Object.hasOwn(entries, name) ? entries[name] : undefined;
  }

  setEntry(name: string, hash: string): void {
    const state = this.#file.value;
    if (this.entry(name) !== hash) this.#file.set({ ...state, entries: { ...state.entries, [name]: hash } });
  }

  /** Forgets the entries that this is not said of. */
  keepEntries(isKept: (name: string) => boolean): void {
    const state = this.#file.value;
    const entries = Object.fromEntries(Object.entries(state.entries).filter(([name]) => isKept(name)));
    if (Object.keys(entries).length < Object.keys(state.entries).length) this.#file.set({ ...state, entries });
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #put(domain: string, record: DomainRecord): void {
    const state = this.#file.value;
    const entry = { ...record, served: record.served.map((version) => ({ ...version })) };
    this.#file.set({ ...state, domains: { ...state.domains, [domain]: entry } });
  }
}
