import { isDeepStrictEqual } from 'node:util';
import type {
  Access,
  Manifest,
  OperationManifest,
  ObjectManifest,
  Returns,
  ValueDescription,
  ValueFields,
} from '@beds/sdk';
import { CORE_OPERATIONS } from '#sdk/template';
import { compareAccess, compareAuthority, compareBound, compareRows } from './compare-access.js';
import {
  breaking,
  compareArgument,
  compareColumns,
  compareGiven,
  compareShown,
  compatible,
  type Difference,
  namesOfBoth,
  own,
} from './compare-values.js';

/** The `operation` of a change that concerns the domain as a whole: its store, the domains that it calls. */
export const WHOLE_DOMAIN = '*';

/** One difference between two versions' manifests, as callers see it. */
export interface ContractChange extends Difference {
  /** What changed: an operation by its name, or WHOLE_DOMAIN (never breaking). */
  readonly operation: string;
}

const MODE_CHANGES = {
  write: 'mode changed from read to write: callers send it to the other queue, and it is no longer repeated',
  read: 'mode changed from write to read: callers send it to the other queue, and it may be repeated',
} as const;

/** All of a manifest that is compared. */
const COMPARED = ['store', 'key', 'operations', 'objects', 'peers', 'asDomain'] as const;

/**
 * Compares what callers can see of two versions of a domain: breaking changes first, then what loosens a rule, then by operation.
 * `byDefault`: who may call what says nothing of it.
 */
export function compareManifests(
  live: Manifest,
  next: Manifest,
  byDefault: Access = 'anyone',
): readonly ContractChange[] {
  // Most versions change their code alone.
  if (COMPARED.every((field) => isDeepStrictEqual(live[field], next[field]))) return [];
  const changes = [
    ...compareOperations(live, next),
    ...compareRights(live, next, byDefault),
    ...compareCore(live, next),
    ...compareViews(live, next),
    ...compareInside(live, next).map((difference) => ({ operation: WHOLE_DOMAIN, ...difference })),
  ];
  // Sorting is stable: the changes of one operation keep their order.
  return changes.sort((a, b) => weightOf(b) - weightOf(a) || compareText(a.operation, b.operation));
}

function weightOf({ breaking: breaks, loosens }: Difference): number {
  return breaks ? 2 : Number(loosens === true);
}

/** Who may do and see what. */
function compareRights(live: Manifest, next: Manifest, byDefault: Access): readonly ContractChange[] {
  const operations = namesOfBoth(live.operations, next.operations).flatMap((operation) => {
    const [before, after] = [own(live.operations, operation), own(next.operations, operation)];
    if (before === undefined || after === undefined) return [];
    const differences = compareAccess(before.access ?? byDefault, after.access ?? byDefault);
    return differences.map((difference) => ({ operation, ...difference }));
  });
  const objects = namesOfBoth(live.objects, next.objects).flatMap((alias) => {
    const [before, after] = [own(live.objects, alias), own(next.objects, alias)];
    if (before === undefined || after === undefined) return [];
    const operation = rightOf(alias, next);
    const of = operation === alias ? '' : `${alias}: `;
    return compareObjectRights(before, after, { live, next, byDefault }).map((difference) => ({
      operation,
      ...difference,
      message: `${of}${difference.message}`,
      // n.b. what only code reads and calls breaks no caller for sure.
      breaking: difference.breaking && operation !== WHOLE_DOMAIN,
    }));
  });
  const authority = compareAuthority(live, next).map((difference) => ({ operation: WHOLE_DOMAIN, ...difference }));
  return [...operations, ...objects, ...authority];
}

/** The operation that an object serves as. */
function rightOf(alias: string, manifest: Manifest): string {
  if (CORE_OPERATIONS.some((core) => core === alias)) return alias;
  return fetchable(manifest, alias) === undefined ? WHOLE_DOMAIN : 'fetch';
}

interface Rights {
  readonly live: Manifest;
  readonly next: Manifest;
  readonly byDefault: Access;
}

function compareObjectRights(
  before: ObjectManifest,
  after: ObjectManifest,
  { live, next, byDefault }: Rights,
): readonly Difference[] {
  if (before.kind !== 'view' || after.kind !== 'view') return compareBound(before, after);
  const ofFetch = ({ operations }: Manifest): Access => own(operations, 'fetch')?.access ?? byDefault;
  const isRuled = before.access !== undefined || after.access !== undefined;
  const access = isRuled ? compareAccess(before.access ?? ofFetch(live), after.access ?? ofFetch(next)) : [];
  return [...access, ...compareRows(before.where, after.where)];
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function compareOperations(live: Manifest, next: Manifest): readonly ContractChange[] {
  return namesOfBoth(live.operations, next.operations).flatMap((operation) => {
    const [before, after] = [own(live.operations, operation), own(next.operations, operation)];
    const isCore = CORE_OPERATIONS.some((core) => core === operation);
    const contracts = isCore || before === undefined || after === undefined ? [] : compareContracts(before, after);
    return [...compareOperation(before, after), ...contracts].map((difference) => ({ operation, ...difference }));
  });
}

function compareOperation(
  live: OperationManifest | undefined,
  next: OperationManifest | undefined,
): readonly Difference[] {
  if (next === undefined) return [breaking('the operation is gone')];
  if (live === undefined) return [compatible('the operation was added')];
  return compareRepeatability(live, next);
}

function compareRepeatability(live: OperationManifest, next: OperationManifest): readonly Difference[] {
  if (live.mode !== next.mode) return [breaking(MODE_CHANGES[next.mode])];
  // Reads always are.
  if (live.mode === 'read' || live.idempotent === next.idempotent) return [];
  if (next.idempotent) return [compatible('became idempotent: what is delivered twice is run again')];
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
  const called = next.peers.filter((domain) => !live.peers.includes(domain)).map((domain) => `calls ${domain} now`);
  const spared = live.peers
    .filter((domain) => !next.peers.includes(domain))
    .map((domain) => `calls ${domain} no longer`);
  return [...[...store, ...called, ...spared].map(compatible), ...renamed];
}

/** What callers pass and get. */
type Contract = Pick<OperationManifest, 'input' | 'output'>;

const NOTHING: ValueDescription = { type: 'object', fields: {} };

function compareContracts(live: Contract, next: Contract): readonly Difference[] {
  const input = { what: 'the input', live: live.input ?? NOTHING, next: next.input ?? NOTHING };
  return [...compareGiven(input), ...compareResults(live.output, next.output)];
}

function compareResults(live: ValueDescription | undefined, next: ValueDescription | undefined): readonly Difference[] {
  if (live === undefined) return next === undefined ? [] : [compatible('the result is declared now')];
  if (next === undefined) return [breaking('the result is no longer declared: it may be anything')];
  return compareShown({ what: 'the result', live, next });
}

type CoreOperation = (typeof CORE_OPERATIONS)[number];

interface ObjectPair {
  readonly live: ObjectManifest | undefined;
  readonly next: ObjectManifest | undefined;
}

/** Compares create, fetch, update and delete, by the objects that serve them or by what their code declares. */
function compareCore(live: Manifest, next: Manifest): readonly ContractChange[] {
  return CORE_OPERATIONS.flatMap((operation) => {
    const pair = { live: own(live.objects, operation), next: own(next.objects, operation) };
    return [
      ...compareKeys(operation, live.key, next.key),
      ...compareServing(pair),
      ...(operation === 'fetch' ? compareFetch(pair, live, next) : compareChange(operation, live, next)),
    ].map((difference) => ({ operation, ...difference }));
  });
}

function compareKeys(operation: CoreOperation, live: string, next: string): readonly Difference[] {
  if (live === next || operation === 'create') return [];
  return [breaking(`the key changed from ${live} to ${next}`)];
}

function compareServing({ live, next }: ObjectPair): readonly Difference[] {
  if (live === undefined && next === undefined) return [];
  if (next === undefined) return [compatible('is served by code now')];
  if (live === undefined) return [compatible(`has the ${next.kind} ${next.name} now; before, code served it`)];
  if (live.kind !== next.kind || live.name === next.name) return [];
  return [compatible(`the ${next.kind} is ${next.name} now, and was ${live.name}`)];
}

function compareFetch({ live, next }: ObjectPair, before: Manifest, after: Manifest): readonly Difference[] {
  if (live?.kind === 'view' && next?.kind === 'view') return compareColumns(live.columns, next.columns);
  if (live?.kind === 'view' && next?.kind === 'procedure') {
    return [breaking('is served by a procedure now instead of a view: orders, pages and comparisons are refused')];
  }
  if (live?.kind === 'procedure' && next?.kind === 'view') {
    return [breaking('is served by a view now instead of a procedure: rows come in pages')];
  }
  return compareContracts(contractOf('fetch', before), contractOf('fetch', after));
}

function compareChange(operation: CoreOperation, live: Manifest, next: Manifest): readonly Difference[] {
  const [before, after] = [contractOf(operation, live), contractOf(operation, next)];
  if (operation !== 'delete') return compareContracts(before, after);
  // The key is all that callers pass, whatever it is called.
  const key = compareArgument(`argument ${next.key}`, fieldOf(before, live.key), fieldOf(after, next.key));
  return [...key, ...compareResults(before.output, after.output)];
}

function fieldOf({ input }: Contract, name: string): ValueDescription | undefined {
  return own(input?.fields ?? {}, name);
}

/** What callers of a core operation pass and get, whatever serves it. */
function contractOf(operation: CoreOperation, manifest: Manifest): Contract {
  const object = own(manifest.objects, operation);
  if (object === undefined) return own(manifest.operations, operation) ?? {};
  if (object.kind === 'view') return { output: listOf(object.columns) };
  return { input: { type: 'object', fields: object.args }, output: recordOf(object.returns) };
}

function listOf(fields: ValueFields): ValueDescription {
  return { type: 'list', items: { type: 'object', fields } };
}

/** A procedure that returns no rows answers with how many it changed. */
const AFFECTED: ValueDescription = { type: 'object', fields: { affected: { type: 'integer' } } };

function recordOf(returns: Returns | undefined): ValueDescription {
  return returns === undefined || isSets(returns) ? AFFECTED : returns;
}

function isSets(returns: Returns): returns is readonly ValueDescription[] {
  return Array.isArray(returns);
}

/** Compares the further views that callers may fetch from. */
function compareViews(live: Manifest, next: Manifest): readonly ContractChange[] {
  return namesOfBoth(live.objects, next.objects).flatMap((alias) => {
    const [before, after] = [fetchable(live, alias), fetchable(next, alias)];
    return compareFetchable(alias, before, after).map((difference) => ({ operation: 'fetch', ...difference }));
  });
}

function compareFetchable(
  alias: string,
  live: ValueFields | undefined,
  next: ValueFields | undefined,
): readonly Difference[] {
  if (live === undefined) return next === undefined ? [] : [compatible(`the view ${alias} can be fetched from now`)];
  if (next === undefined) return [breaking(`the view ${alias} can no longer be fetched from`)];
  return compareColumns(live, next, `column ${alias}.`);
}

function fetchable({ objects }: Manifest, alias: string): ValueFields | undefined {
  const object = own(objects, alias);
  return object?.kind === 'view' && object.fetchable === true ? object.columns : undefined;
}
