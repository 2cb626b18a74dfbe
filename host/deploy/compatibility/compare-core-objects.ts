import { CORE_OPERATIONS, type Manifest, type ObjectManifest } from '@beds/sdk';
import { compareArgument, compareArguments } from './compare-arguments.js';
import { compareColumns } from './compare-columns.js';
import type { ContractChange } from './contract.js';
import { breaking, compatible, own, type Difference } from './difference.js';

type CoreOperation = (typeof CORE_OPERATIONS)[number];

interface ObjectPair {
  readonly live: ObjectManifest;
  readonly next: ObjectManifest;
}

/** Compares create, fetch, update and delete by the objects of those names, which serve them unless code does. */
export function compareCoreObjects(live: Manifest, next: Manifest): readonly ContractChange[] {
  return CORE_OPERATIONS.flatMap((operation) => {
    const pair = { live: own(live.objects, operation), next: own(next.objects, operation) };
    return [
      ...compareKeys(operation, live.key, next.key),
      ...comparePresent(operation, pair, [live.key, next.key]),
    ].map((difference) => ({ operation, ...difference }));
  });
}

function compareKeys(operation: CoreOperation, live: string, next: string): readonly Difference[] {
  if (live === next || operation === 'create') return [];
  return [breaking(`the key changed from ${live} to ${next}`)];
}

function comparePresent(
  operation: CoreOperation,
  { live, next }: { readonly live: ObjectManifest | undefined; readonly next: ObjectManifest | undefined },
  keys: readonly [live: string, next: string],
): readonly Difference[] {
  if (live === undefined && next === undefined) return [];
  if (next === undefined) return [compatible('is served by code now, whose input and result are not compared')];
  if (live === undefined) return [compatible(`has the ${next.kind} ${next.name} now; before, code served it`)];
  const renamed =
    live.name === next.name ? [] : [compatible(`the ${next.kind} is ${next.name} now, and was ${live.name}`)];
  const pair = { live, next };
  return [...renamed, ...(operation === 'delete' ? compareDelete(pair, keys) : compareObjects(pair))];
}

function compareObjects({ live, next }: ObjectPair): readonly Difference[] {
  if (live.kind === 'routine' && next.kind === 'routine') return compareArguments(live.args, next.args);
  if (live.kind === 'view' && next.kind === 'view') return compareColumns(live.columns, next.columns);
  const lost = next.kind === 'routine' ? 'orders, pages and comparisons are refused' : 'rows come in pages';
  return [breaking(`is served by a ${next.kind} now instead of a ${live.kind}: ${lost}`)];
}

/** The key is all that callers pass, whatever it is called. */
function compareDelete(
  { live, next }: ObjectPair,
  [liveKey, nextKey]: readonly [string, string],
): readonly Difference[] {
  if (live.kind !== 'routine' || next.kind !== 'routine') return [];
  return compareArgument(nextKey, own(live.args, liveKey), own(next.args, nextKey));
}
