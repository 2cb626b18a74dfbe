import { readFileSync } from 'node:fs';

/** A version as the trail names it. */
export interface TrailSource {
  readonly id: number;
  readonly hash: string;
  readonly manifest: { readonly domain: string; readonly version: string };
}

/** One loaded version of a trail. */
export interface TrailEntry {
  readonly id: number;
  readonly hash: string;
  readonly domain: string;
  readonly version: string;
  /** Its code ran, or had run a moment before. */
  readonly isOpen: boolean;
}

export interface TrailHead {
  readonly pid: number;
  /** The generation whose code was entered last; 0 where that is not noted. */
  readonly last: number;
  /** Digest of the suspect that ran, and in which generation; 0: none did. */
  readonly suspect: number;
  readonly suspectGeneration: number;
}

export interface TrailView extends TrailHead {
  readonly entries: readonly TrailEntry[];
}

/** Every line has this many bytes, its end included: so one is replaced without looking at the others. */
export const SLOT_BYTES = 512;
export const OPEN = Buffer.from('>');
export const QUIET = Buffer.from('.');

const FORMAT = 'beds-trail 1';
/** Names are checked elsewhere; a line must hold whatever they are. */
const MAX_NAME = 120;
/** More versions than a thread ever has; a file that is larger is not ours. */
const MAX_BYTES = 16_384 * SLOT_BYTES;

export function makeHead(head: TrailHead): Buffer {
  return line(`${FORMAT} ${JSON.stringify(head)}`);
}

export function makeSlot({ id, hash, manifest }: TrailSource, state: Buffer): Buffer {
  const [domain, version] = [manifest.domain.slice(0, MAX_NAME), manifest.version.slice(0, MAX_NAME)];
  return line(`${state.toString()} ${JSON.stringify({ id, hash: hash.slice(0, MAX_NAME), domain, version })}`);
}

/** Reads a trail that any process may have left, in any state; undefined: it is not one, or of another format. */
export function readTrail(path: string): TrailView | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_BYTES) return undefined;
    const [first = '', ...rest] = bytes.toString('utf8').split('\n');
    if (!first.startsWith(`${FORMAT} `)) return undefined;
    const head = JSON.parse(first.slice(FORMAT.length)) as Partial<Record<keyof TrailHead, unknown>>;
    const { pid, last, suspect, suspectGeneration } = head;
    return {
      ...{ pid: toNumber(pid), last: toNumber(last), suspect: toNumber(suspect) },
      suspectGeneration: toNumber(suspectGeneration),
      entries: rest.flatMap(parseSlot),
    };
  } catch {
    return undefined;
  }
}

/** Torn lines and those of nobody are left out. */
function parseSlot(text: string): TrailEntry[] {
  try {
    const value = JSON.parse(text.slice(1)) as Partial<Record<keyof TrailEntry, unknown>>;
    const { id, hash, domain, version } = value;
    if (typeof hash !== 'string' || typeof domain !== 'string' || typeof version !== 'string') return [];
    return [{ id: toNumber(id), hash, domain, version, isOpen: text.startsWith(OPEN.toString()) }];
  } catch {
    return [];
  }
}

function toNumber(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : 0;
}

function line(text: string): Buffer {
  const bytes = Buffer.alloc(SLOT_BYTES, ' ');
  bytes.write(text, 0, SLOT_BYTES - 1, 'utf8');
  bytes.write('\n', SLOT_BYTES - 1);
  return bytes;
}
