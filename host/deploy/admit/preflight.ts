import { isBedsError, type Manifest } from '@beds/sdk';
import { narrowObject } from '../../stores/check-use.js';
import type { NamedObject } from '../../stores/contract.js';
import { didYouMean } from '../../config/nearest.js';
import type { Finding } from '../../template/contract.js';
import { makeFinding } from '../../template/make-finding.js';
import type { Catalogue } from './joined-catalogue.js';

/** The configured stores as the supervisor sees them. */
export interface StoreLookup {
  readonly names: readonly string[];
  find(store: string): Catalogue | undefined;
}

export interface PreflightResult {
  /** By the template's alias; complete only when there are no findings. */
  readonly objects: Readonly<Record<string, NamedObject>>;
  readonly findings: readonly Finding[];
}

/**
 * Compares every object that a template uses with the database's own catalogue, read afresh in one go. A database that does
 * not answer is a finding too (`BEDS_ADMISSION_STORE_UNAVAILABLE`): the caller decides when to ask again.
 */
export async function preflight(manifest: Manifest, stores: StoreLookup): Promise<PreflightResult> {
  const adapter = stores.find(manifest.store);
  if (adapter === undefined) return { objects: {}, findings: [unknownStore(manifest.store, stores.names)] };
  const uses = Object.entries(manifest.objects);
  const names = [...new Set(uses.map(([, use]) => use.name))];
  const found = await describe(adapter, names);
  if ('code' in found) return { objects: {}, findings: [found] };
  const objects: Record<string, NamedObject> = {};
  const findings: Finding[] = [];
  for (const [alias, use] of uses) {
    const object = found.get(use.name);
    if (object !== undefined) objects[alias] = narrowObject(use, object);
    findings.push(...adapter.check(use, object).map(({ code, message, hint }) => ({ code, message, hint })));
  }
  return { objects, findings };
}

async function describe(
  adapter: Catalogue,
  names: readonly string[],
): Promise<ReadonlyMap<string, NamedObject> | Finding> {
  try {
    return await adapter.describe(names);
  } catch (error) {
    if (!isBedsError(error)) throw error;
    const message = `Store ${adapter.store} could not be asked for its objects (${error.code}).`;
    return makeFinding('BEDS_ADMISSION_STORE_UNAVAILABLE', message);
  }
}

function unknownStore(store: string, names: readonly string[]): Finding {
  const configured = names.length === 0 ? 'No store is configured.' : `Configured are: ${names.join(', ')}.`;
  const message = `Store ${store} is not configured.${didYouMean(store, names)}`;
  return makeFinding('BEDS_ADMISSION_STORE_UNKNOWN', message, configured);
}
