import { CORE_OPERATIONS, type Manifest, type OperationManifest } from '@beds/sdk';
import { compareArguments } from './compare-arguments.js';
import { compareCoreObjects } from './compare-core-objects.js';
import { WHOLE_DOMAIN, type ContractChange } from './contract.js';
import { breaking, compatible, namesOfBoth, own, type Difference } from './difference.js';

const MODE_CHANGES = {
  write: 'mode changed from read to write: callers send it to the other queue, and it is no longer repeated',
  read: 'mode changed from write to read: callers send it to the other queue, and it may be repeated',
} as const;

/** Compares what callers can see of two versions of a domain: breaking changes first, then by operation. */
export function compareManifests(live: Manifest, next: Manifest): readonly ContractChange[] {
  const changes = [
    ...compareOperations(live, next),
    ...compareCoreObjects(live, next),
    ...compareInside(live, next).map((difference) => ({ operation: WHOLE_DOMAIN, ...difference })),
  ];
  // Sorting is stable: the changes of one operation keep their order.
  return changes.sort((a, b) => Number(b.breaking) - Number(a.breaking) || compareText(a.operation, b.operation));
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function compareOperations(live: Manifest, next: Manifest): readonly ContractChange[] {
  return namesOfBoth(live.operations, next.operations).flatMap((operation) =>
    compareOperation(own(live.operations, operation), own(next.operations, operation)).map((difference) => ({
      operation,
      ...difference,
    })),
  );
}

function compareOperation(
  live: OperationManifest | undefined,
  next: OperationManifest | undefined,
): readonly Difference[] {
  if (next === undefined) return [breaking('the operation is gone')];
  if (live === undefined) return [compatible('the operation was added')];
  return [...compareRepeatability(live, next), ...compareArguments(live.args ?? {}, next.args ?? {})];
}

function compareRepeatability(live: OperationManifest, next: OperationManifest): readonly Difference[] {
  if (live.mode !== next.mode) return [breaking(MODE_CHANGES[next.mode])];
  // Reads always are.
  if (live.mode === 'read' || (live.idempotent === true) === (next.idempotent === true)) return [];
  if (next.idempotent === true) return [compatible('became idempotent: what is delivered twice is run again')];
  return [breaking('is no longer idempotent: what is delivered twice is not run again, and fails as indeterminate')];
}

/** What callers do not see, and operators want to read. */
function compareInside(live: Manifest, next: Manifest): readonly Difference[] {
  const core: readonly string[] = CORE_OPERATIONS;
  const renamed = Object.entries(next.objects).flatMap(([alias, { kind, name }]) => {
    const before = core.includes(alias) ? undefined : own(live.objects, alias);
    if (before === undefined || before.name === name) return [];
    return [compatible(`the ${kind} behind ${alias} is ${name} now, and was ${before.name}`)];
  });
  const store = live.store === next.store ? [] : [`store changed from ${live.store} to ${next.store}`];
  const called = next.domains.filter((domain) => !live.domains.includes(domain)).map((domain) => `calls ${domain} now`);
  const spared = live.domains
    .filter((domain) => !next.domains.includes(domain))
    .map((domain) => `calls ${domain} no longer`);
  return [...[...store, ...called, ...spared].map(compatible), ...renamed];
}
