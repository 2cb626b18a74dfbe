import { isBedsError, type Manifest } from '@beds/sdk';
import { didYouMean } from '#sdk/nearest';
import { preflightErrors } from '../../errors/preflight.js';
import { checkUses } from '../../stores/check-use.js';
import type { NamedObject, ObjectFinding, StoreAdapter } from '../../stores/contract.js';
import { type Finding, makeFinding } from '../../template/contract.js';

export interface PreflightResult {
  /** By the template's alias; complete only when there are no findings. */
  readonly objects: Readonly<Record<string, NamedObject>>;
  readonly findings: readonly Finding[];
  /** What does not keep a version from serving, and its author should know. */
  readonly notices: readonly Finding[];
}

/**
 * Compares every object that a template uses with the database's own catalogue, read afresh in one go. A database that does
 * not answer is a finding too (`BEDS_ADMISSION_STORE_UNAVAILABLE`): the caller decides when to ask again.
 */
export async function preflight(manifest: Manifest, stores: Catalogues): Promise<PreflightResult> {
  const adapter = stores.get(manifest.store);
  if (adapter === undefined) {
    return { objects: {}, findings: [unknownStore(manifest.store, [...stores.keys()])], notices: [] };
  }
  const names = [...new Set(Object.values(manifest.objects).map(({ name }) => name))];
  const found = await describe(adapter, names);
  if ('code' in found) return { objects: {}, findings: [found], notices: [] };
  const { objects, findings: wrong } = checkUses(manifest.objects, found, adapter.check);
  const visible = wrong.some(isMissing) ? await adapter.names().catch(() => []) : [];
  const findings = wrong.map((finding) => {
    const { code, message, hint } = finding;
    const meant = isMissing(finding) ? didYouMean(finding.object, visible).trimStart() : '';
    return { code, message, hint: meant === '' ? hint : `${meant} Otherwise: ${hint}` };
  });
  if (findings.length > 0 || adapter.unindexed === 'allow') return { objects, findings, notices: [] };
  const unindexed = await findUnindexed(manifest, objects, adapter);
  if (adapter.unindexed === 'refuse') return { objects, findings: unindexed, notices: [] };
  return { objects, findings, notices: unindexed };
}

function isMissing({ code }: ObjectFinding): boolean {
  return code === 'BEDS_PREFLIGHT_OBJECT_MISSING';
}

/** For all views of a version together. */
const EXPLAIN_TIMEOUT_MS = 3_000;

/** A finding for each view that callers fetch and that has columns which no index serves. What cannot be found out in time is not said. */
async function findUnindexed(
  { key, objects: uses }: Manifest,
  objects: PreflightResult['objects'],
  adapter: Catalogue,
): Promise<readonly Finding[]> {
  const endsAtMs = performance.now() + EXPLAIN_TIMEOUT_MS;
  const findings: Finding[] = [];
  for (const [alias, view] of Object.entries(objects)) {
    const use = uses[alias];
    if (view.kind !== 'view' || use?.kind !== 'view' || !(alias === 'fetch' || use.fetchable === true)) continue;
    const timeoutMs = endsAtMs - performance.now();
    const found =
      timeoutMs > 0 ? await adapter.findUnindexed(view, { key, timeoutMs }).catch(() => undefined) : undefined;
    const { filters = [], orders = [] } = found ?? {};
    const used = (names: readonly string[]): string =>
      names.filter((name) => Object.hasOwn(use.columns, name)).join(', ');
    const parts = [
      ...(used(filters) === '' ? [] : [`filters by ${used(filters)}`]),
      ...(used(orders) === '' ? [] : [`orders by ${used(orders)}`]),
    ];
    if (parts.length > 0) {
      const message = `No index serves ${parts.join(', and ')} of ${view.name}: each such fetch reads every row.`;
      findings.push({
        code: 'BEDS_PREFLIGHT_UNINDEXED',
        message,
        hint: preflightErrors.specs.BEDS_PREFLIGHT_UNINDEXED.action,
      });
    }
  }
  return findings;
}

async function describe(
  adapter: Catalogue,
  names: readonly string[],
): Promise<ReadonlyMap<string, NamedObject> | Finding> {
  try {
    return await adapter.describe(names);
  } catch (error) {
    if (!isBedsError(error)) throw error;
    const { why } = adapter.status();
    const message = `Store ${adapter.store} could not be asked for its objects (${error.code})${why === undefined ? '' : `: ${why}`}.`;
    return makeFinding('BEDS_ADMISSION_STORE_UNAVAILABLE', message);
  }
}

/** The finding for a template that names an unknown store. */
export function unknownStore(store: string, names: readonly string[]): Finding {
  const configured = names.length === 0 ? 'No store is configured.' : `Configured are: ${names.join(', ')}.`;
  const message = `Store ${store} is not configured.${didYouMean(store, names)}`;
  return makeFinding('BEDS_ADMISSION_STORE_UNKNOWN', message, configured);
}

/** What a store says of itself and of its named objects. */
export type Catalogue = Pick<
  StoreAdapter,
  'store' | 'describe' | 'names' | 'check' | 'status' | 'unindexed' | 'findUnindexed'
>;

/** The configured stores as the supervisor sees them, by name. */
export type Catalogues = ReadonlyMap<string, Catalogue>;

type Objects = ReadonlyMap<string, NamedObject>;

interface Reading {
  askers: number;
  readonly names: Set<string>;
  readonly found: Promise<Objects>;
}

/**
 * A store's catalogue, read once for all who ask while it is being read. Reading takes a database its time, and the supervisor
 * has few connections: of fifty domains that came at once, each with a question of its own, the last waited in vain for one.
 */
export class JoinedCatalogue implements Catalogue {
  readonly check: StoreAdapter['check'];
  readonly #adapter: StoreAdapter;
  /** Resolves when the last reading is over. */
  #last: Promise<unknown> = Promise.resolve();
  /** Has not begun. */
  #next: Reading | undefined;

  constructor(adapter: StoreAdapter) {
    this.#adapter = adapter;
    this.check = adapter.check;
  }

  get store(): string {
    return this.#adapter.store;
  }

  /** Like the adapter's; never from a reading that began before the question. There may be others in the result. */
  async describe(names: readonly string[]): Promise<Objects> {
    this.#next ??= this.#plan();
    const reading = this.#next;
    reading.askers += 1;
    for (const name of names) reading.names.add(name);
    try {
      return await reading.found;
    } catch (error) {
      if (reading.askers === 1 || isOfStore(error)) throw error;
      // It may be about an object that somebody else asked for.
      return await this.#inTurn(() => this.#adapter.describe(names));
    }
  }

  names(): Promise<readonly string[]> {
    return this.#adapter.names();
  }

  status(): ReturnType<StoreAdapter['status']> {
    return this.#adapter.status();
  }

  get unindexed(): StoreAdapter['unindexed'] {
    return this.#adapter.unindexed;
  }

  findUnindexed(...asked: Parameters<StoreAdapter['findUnindexed']>): ReturnType<StoreAdapter['findUnindexed']> {
    return this.#adapter.findUnindexed(...asked);
  }

  #plan(): Reading {
    const names = new Set<string>();
    const found = this.#inTurn(() => {
      this.#next = undefined;
      return this.#adapter.describe([...names]);
    });
    return { askers: 0, names, found };
  }

  #inTurn(read: () => Promise<Objects>): Promise<Objects> {
    const found = this.#last.then(read);
    this.#last = found.catch(() => undefined);
    return found;
  }
}

const OF_STORE = new Set([
  'BEDS_STORE_UNAVAILABLE',
  'BEDS_STORE_TIMEOUT',
  'BEDS_STORE_OVERLOADED',
  'BEDS_STORE_CLOSED',
]);

/** Whether the same would be said to everybody. */
function isOfStore(error: unknown): boolean {
  return isBedsError(error) && OF_STORE.has(error.code);
}
