import { isBedsError } from '@beds/sdk';
import { preflightErrors } from '../../errors/preflight.js';
import { publishFault } from '../../observe/channels.js';
import type { Log } from '../../observe/log.js';
import { narrowObject } from '../../stores/check-use.js';
import type { NamedObject, ObjectFinding, StoreAdapter } from '../../stores/contract.js';
import type { Finding, GenerationSource } from '../../template/contract.js';
import type { Catalogue, Catalogues } from '../admit/preflight.js';
import { diffObjects, type ObjectDifference } from './diff-objects.js';

export interface HostSchemaOptions {
  /** Milliseconds: `rollout.schemaCheckMs`. */
  readonly intervalMs: number;
  readonly live: () => readonly GenerationSource[];
  readonly stores: Catalogues;
  readonly log: Log;
  /** What an operator sees beside the version that serves; empty when it is sound again. */
  readonly onDegraded: (domain: string, findings: readonly Finding[]) => void;
  /** Prepares the version that serves anew, with its objects as they are now. */
  readonly adopt: (source: GenerationSource, objects: Readonly<Record<string, NamedObject>>) => void;
}

/** The started watch of a host: what it finds is a log line, `<domain> <version> degraded | changed | sound`, and more. */
export function openSchemaWatch(options: HostSchemaOptions): SchemaWatch {
  const watch = new SchemaWatch({
    ...options,
    onChange: (domain, hash, condition) => {
      const source = options.live().find(({ manifest }) => manifest.domain === domain);
      if (source?.hash === hash) tell(options, source, condition);
    },
  });
  watch.start();
  return watch;
}

function tell(
  { log, onDegraded, adopt }: HostSchemaOptions,
  source: GenerationSource,
  condition: SchemaCondition,
): void {
  const { domain, version } = source.manifest;
  const findings = condition.state === 'sound' ? [] : condition.findings;
  const fields = { domain, version, hash: source.hash, ...(findings.length === 0 ? {} : { findings }) };
  log[condition.state === 'degraded' ? 'warn' : 'info'](fields, `${domain} ${version} ${condition.state}`);
  onDegraded(domain, condition.state === 'degraded' ? findings : []);
  if (condition.state === 'changed') adopt(source, condition.objects);
}

export interface SchemaWatchOptions {
  /** Milliseconds between the end of a round and the next one. */
  readonly intervalMs: number;
  /** The versions that serve now. */
  readonly live: () => readonly GenerationSource[];
  readonly stores: Catalogues;
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
    const adapter = this.#options.stores.get(store);
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

/** How the database fits a version that it was fit for when the version was admitted. */
export type SchemaCondition =
  | { readonly state: 'sound' }
  /** Something is otherwise and the version can live with it, given the fresh description. */
  | {
      readonly state: 'changed';
      /** By the template's alias, narrowed to its use: what the preflight would admit it with now. */
      readonly objects: Readonly<Record<string, NamedObject>>;
      readonly findings: readonly Finding[];
    }
  /** The preflight would refuse the version now; callers meet errors. What else changed is listed too. */
  | { readonly state: 'degraded'; readonly findings: readonly Finding[] };

/** Compares what a live version was admitted with and what its store says of the same names now; pure. */
export function conditionOf(
  { manifest, objects: admitted }: Pick<GenerationSource, 'manifest' | 'objects'>,
  found: ReadonlyMap<string, NamedObject>,
  check: StoreAdapter['check'],
): SchemaCondition {
  const objects: Record<string, NamedObject> = {};
  const findings = new Map<string, Finding>();
  let isDegraded = false;
  for (const [alias, use] of Object.entries(manifest.objects)) {
    const object = found.get(use.name);
    const fresh = object === undefined ? undefined : narrowObject(use, object);
    if (fresh !== undefined) objects[alias] = fresh;
    const refused = check(use, object);
    const was = admitted[alias];
    isDegraded ||= refused.length > 0;
    for (const each of explain(was === undefined ? [] : diffObjects(was, fresh), refused)) {
      // Two aliases of one object say the same.
      findings.set(`${each.code} ${each.message}`, each);
    }
  }
  const list = [...findings.values()];
  if (isDegraded) return { state: 'degraded', findings: list };
  return list.length === 0 ? { state: 'sound' } : { state: 'changed', objects, findings: list };
}

/** Every difference as one line, under the preflight's code where it refuses just that; then what it refuses besides. */
function explain(differences: readonly ObjectDifference[], refused: readonly ObjectFinding[]): readonly Finding[] {
  const open = new Set(refused);
  const lines = differences.map((difference): Finding => {
    const reason = [...open].find((finding) => isAbout(finding, difference));
    if (reason === undefined) return changed(difference.line);
    open.delete(reason);
    return { code: reason.code, message: difference.line, hint: reason.hint };
  });
  return [...lines, ...[...open].map(({ code, message, hint }) => ({ code, message, hint }))];
}

function isAbout({ code, message }: ObjectFinding, { refusedAs, part }: ObjectDifference): boolean {
  if (code !== refusedAs) return false;
  return part === '' || (/\W/.test(part) ? message.includes(part) : message.split(/\W+/).includes(part));
}

function changed(message: string): Finding {
  return { code: 'BEDS_SCHEMA_CHANGED', message, hint: preflightErrors.specs.BEDS_SCHEMA_CHANGED.action };
}
