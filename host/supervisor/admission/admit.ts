import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Finding, GenerationSource } from '../../generation/contract.js';
import type { LifecycleState } from '../../generation/lifecycle.js';
import { makeFinding } from '../../generation/make-finding.js';
import { preflight, type StoreLookup } from './preflight.js';
import type { Prober } from './probe.js';
import { pruneStage, stageBundle, type BundleBytes } from './stage.js';
import { verifyBundle } from './verify.js';

export interface AdmissionDeps {
  readonly stageDirectory: string;
  readonly keepVersions: number;
  /** Hashes whose staged copies must stay: what serves, drains or waits. */
  readonly inUse: () => ReadonlySet<string>;
  readonly prober: Prober;
  readonly stores: StoreLookup;
}

export interface AdmissionWatch {
  /** Aborted when a newer drop of the same domain makes this one pointless. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (state: Extract<LifecycleState, 'received' | 'verified' | 'probed'>) => void;
}

/** A version that only its number and the database's word separate from a generation. */
export type ProbedSource = Omit<GenerationSource, 'id' | 'objects'>;

export type AdmissionResult =
  | { readonly ok: true; readonly source: Omit<GenerationSource, 'id'> }
  | { readonly ok: false; readonly step: 'stage' | 'verify' | 'probe'; readonly findings: readonly Finding[] }
  /** The bundle is sound and the database is not ready for it: `preflight` may be asked again later, for `probed`. */
  | {
      readonly ok: false;
      readonly step: 'preflight';
      readonly findings: readonly Finding[];
      readonly probed: ProbedSource;
    };

/**
 * The first half of the swap path: stage, verify, probe, preflight. Stops after the first step with findings and reports all
 * of that step. A superseded one ends with `BEDS_ADMISSION_SUPERSEDED`. Rejects only for faults of the host itself.
 */
export async function admit(
  bytes: BundleBytes,
  deps: AdmissionDeps,
  { signal, onProgress }: AdmissionWatch = {},
): Promise<AdmissionResult> {
  const superseded = [makeFinding('BEDS_ADMISSION_SUPERSEDED')];
  const staged = await stageBundle(bytes, deps.stageDirectory);
  onProgress?.('received');
  if (isAborted(signal)) return { ok: false, step: 'stage', findings: superseded };
  const verified = await verifyBundle(staged);
  if (!verified.ok) return { ok: false, step: 'verify', findings: verified.findings };
  onProgress?.('verified');
  const { manifest, hash } = staged;
  const probed: ProbedSource = { hash, manifest, ...verified.converted };
  const entryUrl = pathToFileURL(join(staged.directory, manifest.entry)).href;
  const findings = await deps.prober.probe({ ...probed, entryUrl, entryMap: verified.entryMap }, signal);
  if (findings.length > 0) return { ok: false, step: 'probe', findings };
  onProgress?.('probed');
  const flight = await preflight(manifest, deps.stores);
  const open = isAborted(signal) ? superseded : flight.findings;
  if (open.length > 0) return { ok: false, step: 'preflight', findings: open, probed };
  await pruneStage({ ...deps, inUse: new Set([...deps.inUse(), hash]) });
  return { ok: true, source: { ...probed, objects: flight.objects } };
}

/** Asked again after every wait. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
