import type { Manifest } from '@beds/sdk';
import { compareManifests } from './compare-manifests.js';
import type { CallerLedger, JoinedChange } from './contract.js';
import { namesOfBoth, own } from './difference.js';
import { joinCallers } from './gate.js';

/** A version as it is kept; fits a `GenerationSource`. */
export interface KeptVersion {
  readonly manifest: Manifest;
  /** SHA-256 of the bundle, hex. */
  readonly hash: string;
}

export interface FileChange {
  readonly name: string;
  readonly change: 'added' | 'changed' | 'removed';
}

/** Two versions of a domain beside each other, as plain data. */
export interface VersionDiff {
  readonly domain: string;
  readonly from: { readonly version: string; readonly hash: string };
  readonly to: { readonly version: string; readonly hash: string };
  /** Breaking ones first, then by operation. */
  readonly changes: readonly JoinedChange[];
  /** Files of the bundle whose bytes differ: where all else is the same, the code. */
  readonly files: readonly FileChange[];
}

/** Compares two kept versions of a domain, in the direction of a rollout from `from` to `to`. */
export function diffVersions(
  from: KeptVersion,
  to: KeptVersion,
  ledger: Pick<CallerLedger, 'callersOf' | 'countedDays'>,
): VersionDiff {
  const { domain } = to.manifest;
  return {
    domain,
    from: { version: from.manifest.version, hash: from.hash },
    to: { version: to.manifest.version, hash: to.hash },
    changes: joinCallers(compareManifests(from.manifest, to.manifest), domain, ledger),
    files: compareFiles(from.manifest.files, to.manifest.files),
  };
}

function compareFiles(from: Manifest['files'], to: Manifest['files']): readonly FileChange[] {
  return [...namesOfBoth(from, to)].sort().flatMap((name): readonly FileChange[] => {
    const before = own(from, name);
    const after = own(to, name);
    if (before === undefined) return [{ name, change: 'added' }];
    if (after === undefined) return [{ name, change: 'removed' }];
    return before.sha256 === after.sha256 ? [] : [{ name, change: 'changed' }];
  });
}
