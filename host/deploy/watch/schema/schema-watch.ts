import { isBedsError } from '@beds/sdk';
import type { NamedObject } from '../../../stores/contract.js';
import type { GenerationSource } from '../../../template/contract.js';
import { publishFault } from '../../../observe/channels.js';
import type { Catalogue } from '../../admit/joined-catalogue.js';
import type { StoreLookup } from '../../admit/preflight.js';
import { conditionOf, type SchemaCondition } from './condition.js';

export interface SchemaWatchOptions {
  /** Milliseconds between the end of a round and the next one. */
  readonly intervalMs: number;
  /** The versions that serve now. */
  readonly live: () => readonly GenerationSource[];
  readonly stores: StoreLookup;
  /**
   * Called when the condition of a domain changes and never twice with the same; a domain is sound until said otherwise.
   * `hash` names the version it is about. What was 'changed' is sound as soon as the fresh objects are those of the live source.
   */
  readonly onChange: (domain: string, hash: string, condition: SchemaCondition) => void;
}

/**
 * Compares, round after round, the objects of all live versions with what they were admitted with: one question for each
 * store, whatever the number of domains. A store that does not answer is no finding; what was known of it stays.
 */
export class SchemaWatch {
  readonly #options: SchemaWatchOptions;
  /** What was told last, by domain; absent while sound. */
  readonly #told = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #closed = false;

  constructor(options: SchemaWatchOptions) {
    this.#options = options;
  }

  /** Begins with the first round after one interval. */
  start(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.check().finally(() => this.start());
    }, this.#options.intervalMs);
  }

  /** One round now, or the one that is under way. Never rejects; bounded by what the adapters wait for a catalogue. */
  check(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#round ??= this.#checkAll().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  /** No further call of `onChange`, also not by a round that is under way. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #checkAll(): Promise<void> {
    const live = this.#options.live();
    this.#forget(live);
    const stores = new Set(live.map(({ manifest }) => manifest.store));
    const ofStore = (store: string): readonly GenerationSource[] =>
      live.filter(({ manifest }) => manifest.store === store);
    await Promise.all([...stores].map((store) => this.#checkStore(store, ofStore(store))));
  }

  async #checkStore(store: string, sources: readonly GenerationSource[]): Promise<void> {
    const adapter = this.#options.stores.find(store);
    if (adapter === undefined) return;
    try {
      const found = await adapter.describe(namesOf(sources));
      this.#judge(sources, found, adapter);
    } catch (error) {
      // The store's own status says that it is away.
      if (!isBedsError(error)) publishFault({ where: `comparison of the objects of store ${store}`, error });
    }
  }

  #judge(sources: readonly GenerationSource[], found: ReadonlyMap<string, NamedObject>, adapter: Catalogue): void {
    if (this.#closed) return;
    // n.b. what took over while the store was asked may rest on something newer than the answer.
    const current = new Set(this.#options.live().map(({ id }) => id));
    for (const source of sources) {
      if (current.has(source.id))
        this.#tell(
          source,
          conditionOf(source, found, (use, object) => adapter.check(use, object)),
        );
    }
  }

  #tell({ hash, manifest: { domain } }: GenerationSource, condition: SchemaCondition): void {
    const now = condition.state === 'sound' ? undefined : JSON.stringify([hash, condition]);
    if (now === this.#told.get(domain)) return;
    if (now === undefined) this.#told.delete(domain);
    else this.#told.set(domain, now);
    this.#options.onChange(domain, hash, condition);
  }

  #forget(live: readonly GenerationSource[]): void {
    const domains = new Set(live.map(({ manifest }) => manifest.domain));
    for (const domain of this.#told.keys()) if (!domains.has(domain)) this.#told.delete(domain);
  }
}

function namesOf(sources: readonly GenerationSource[]): readonly string[] {
  return [...new Set(sources.flatMap(({ manifest }) => Object.values(manifest.objects).map(({ name }) => name)))];
}
