import type { Finding, GenerationSource } from '../template/contract.js';
import { makeFinding } from '../template/make-finding.js';
import type { ServedVersion } from './service-record.js';
import type { Cause } from './plan.js';
import { compareVersions } from './compare-versions.js';

export interface Before {
  /** What serves until now. */
  readonly live: Pick<GenerationSource, 'hash' | 'manifest'> | undefined;
  /** What served, newest first. */
  readonly served: readonly ServedVersion[];
}

/** These go back on purpose, or bring back what was decided before. */
const GOING_BACK: ReadonlySet<Cause> = new Set(['rollback', 'boot', 'refresh', 'quarantine']);

/** What whoever brought a version is told when it takes over: that it is lower than the one before, or another build of it. */
export function remarksOn(next: Pick<GenerationSource, 'hash' | 'manifest'>, cause: Cause, before: Before): Finding[] {
  if (GOING_BACK.has(cause)) return [];
  const { domain, version } = next.manifest;
  const liveVersion = before.live?.manifest.version;
  const findings: Finding[] = [];
  if (liveVersion !== undefined && compareVersions(version, liveVersion) < 0) {
    const words = `${domain} ${version} took the place of ${liveVersion}, which is higher.`;
    findings.push(makeFinding('BEDS_ROLLOUT_DOWNGRADE', words));
  }
  const known = [
    ...(before.live === undefined ? [] : [{ version: liveVersion, hash: before.live.hash }]),
    ...before.served,
  ];
  const twin = known.find((served) => served.version === version && served.hash !== next.hash);
  if (twin !== undefined) {
    const [mine, other] = [next.hash.slice(0, 12), twin.hash.slice(0, 12)];
    const words = `${domain} ${version} (${mine}) has other bytes than the ${version} (${other}) that served before.`;
    findings.push(makeFinding('BEDS_ROLLOUT_SAME_VERSION', words));
  }
  return findings;
}
