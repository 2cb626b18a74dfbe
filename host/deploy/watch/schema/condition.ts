import { narrowObject } from '../../../stores/check-use.js';
import type { NamedObject, ObjectFinding, StoreAdapter } from '../../../stores/contract.js';
import { preflightErrors } from '../../../errors/preflight.js';
import type { Finding, GenerationSource } from '../../../template/contract.js';
import { diffObjects } from './diff-objects.js';
import type { ObjectDifference } from './difference.js';

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
