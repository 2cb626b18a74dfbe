import { settlesWithin } from '#sdk/time';
import { type Finding, type GenerationSource, type LifecycleState, makeFinding } from '../../template/contract.js';
import { preflight, type PreflightResult, type Catalogues } from './preflight.js';
import type { Prober } from './probe.js';
import { pruneStage, stageBundle, type BundleBytes } from './stage.js';
import { verifyBundle } from './verify.js';

export interface AdmissionDeps {
  readonly stageDirectory: string;
  readonly keepVersions: number;
  /** Hashes whose staged copies must stay: what serves, drains or waits. */
  readonly inUse: ReadonlySet<string>;
  readonly prober: Prober;
  readonly stores: Catalogues;
}

export interface AdmissionWatch {
  /** Aborted when a newer drop of the same domain makes this one pointless. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (state: Extract<LifecycleState, 'verified' | 'probed'>) => void;
}

/** A version that only its number and the database's word separate from a generation. */
export type ProbedSource = Omit<GenerationSource, 'id' | 'objects' | 'notices'>;

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
 * The first half of the swap path: stage and verify, then probe; meanwhile the database is asked. Stops after the first step
 * with findings and reports all of that step, and what the database lacks besides. No code runs before it is verified. A
 * superseded one ends with `BEDS_ADMISSION_SUPERSEDED`. Rejects only for faults of the host itself.
 */
export async function admit(
  bytes: BundleBytes,
  deps: AdmissionDeps,
  { signal, onProgress }: AdmissionWatch = {},
): Promise<AdmissionResult> {
  deps.prober.expect();
  const staging = stageBundle(bytes, deps.stageDirectory);
  const verifying = verifyBundle(bytes);
  const asking = preflight(bytes.manifest, deps.stores);
  // Each is waited for in its turn; until then its failure is nobody's.
  for (const work of [staging, verifying, asking]) work.catch(() => undefined);
  await staging;
  if (isAborted(signal)) return { ok: false, step: 'stage', findings: superseded() };
  const verified = await verifying;
  if (!verified.ok) return refuse('verify', verified.findings, asking);
  onProgress?.('verified');
  const { hash, manifest } = bytes;
  const sound: ProbedSource = { hash, manifest, ...verified.converted };
  let codeCache: Uint8Array | undefined;
  const onCompiled = (made: Uint8Array): void => void (codeCache = made);
  const [findings] = await Promise.all([
    deps.prober.probe(sound, { signal, onCompiled }),
    pruneStage({ ...deps, inUse: new Set([...deps.inUse, hash]) }),
  ]);
  const probed: ProbedSource = codeCache === undefined ? sound : { ...sound, codeCache };
  if (findings.length > 0)
    return isAborted(signal) ? { ok: false, step: 'probe', findings } : refuse('probe', findings, asking);
  onProgress?.('probed');
  const flight = await asking;
  const open = isAborted(signal) ? superseded() : flight.findings;
  if (open.length > 0) return { ok: false, step: 'preflight', findings: open, probed };
  return { ok: true, source: admitted(probed, flight) };
}

/** A version of which the database has all that it uses. */
export function admitted(probed: ProbedSource, { objects, notices }: PreflightResult): Omit<GenerationSource, 'id'> {
  return { ...probed, objects, ...(notices.length > 0 && { notices }) };
}

/** A version that is refused anyway waits this long for what its database lacks, so that the author learns of it too. */
const ALSO_WAITS_MS = 250;

async function refuse(
  step: 'verify' | 'probe',
  findings: readonly Finding[],
  asking: Promise<PreflightResult>,
): Promise<AdmissionResult> {
  const flight = asking.catch(() => ({ findings: [] }));
  const also = (await settlesWithin(flight, ALSO_WAITS_MS)) ? (await flight).findings : [];
  // A database that is away is no fault of the bundle.
  const known = also.filter(({ code }) => code !== 'BEDS_ADMISSION_STORE_UNAVAILABLE');
  return { ok: false, step, findings: [...findings, ...known] };
}

function superseded(): readonly Finding[] {
  return [makeFinding('BEDS_ADMISSION_SUPERSEDED')];
}

/** Asked again after every wait. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
