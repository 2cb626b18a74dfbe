import { checkDefined, DefinitionProblems, type DefinitionProblem } from './definition-rules.js';
import type { Manifest } from './manifest.js';

/** A manifest, or everything that is wrong with it. */
export type ParsedManifest =
  | { readonly ok: true; readonly manifest: Manifest }
  | { readonly ok: false; readonly problems: readonly DefinitionProblem[] };

const KEYS: readonly string[] = [
  'manifestVersion',
  'contract',
  'domain',
  'version',
  'store',
  'key',
  'operations',
  'objects',
  'peers',
  'asDomain',
  'entry',
  'files',
  'sdk',
  'notes',
] satisfies readonly (keyof Manifest)[];

/** No separators and no leading dot: a name in a manifest never leaves the bundle. */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const SHA256 = /^[0-9a-f]{64}$/;

function checkFiles(problems: DefinitionProblems, files: unknown, entry: unknown): void {
  if (!problems.record('files', files)) return;
  for (const [name, file] of Object.entries(files)) {
    const field = `files.${name}`;
    if (!FILE_NAME.test(name)) problems.add(field, 'must be a plain file name');
    if (!problems.record(field, file)) continue;
    problems.unknownKeys(field, file, ['sha256', 'bytes']);
    const { sha256, bytes } = file as { readonly sha256?: unknown; readonly bytes?: unknown };
    if (typeof sha256 !== 'string' || !SHA256.test(sha256)) problems.add(`${field}.sha256`, 'must be 64 hex digits');
    if (!Number.isSafeInteger(bytes) || (bytes as number) < 0)
      problems.add(`${field}.bytes`, 'must be a number of bytes');
  }
  if (typeof entry !== 'string' || !Object.hasOwn(files, entry)) problems.add('entry', 'must be one of the files');
}

/** Everything that is wrong with a manifest. Whether its contract version suits the host is the host's to say. */
export function checkManifest(value: unknown): readonly DefinitionProblem[] {
  const problems = new DefinitionProblems();
  if (!problems.record('manifest', value)) return problems.found;
  problems.unknownKeys('', value, KEYS);
  if (value['manifestVersion'] !== 2) problems.add('manifestVersion', 'must be 2: build the bundle with this SDK');
  if (!Number.isSafeInteger(value['contract'])) problems.add('contract', 'must be a whole number');
  if (typeof value['sdk'] !== 'string') problems.add('sdk', 'must be a string');
  checkDefined(problems, value);
  checkFiles(problems, value['files'], value['entry']);
  return problems.found;
}

/** Reads the text of a `manifest.json`. */
export function parseManifest(text: string): ParsedManifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, problems: [{ field: 'manifest', message: 'is not JSON' }] };
  }
  const problems = checkManifest(value);
  return problems.length === 0 ? { ok: true, manifest: value as Manifest } : { ok: false, problems };
}
