import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What is guarded: the request path and the client, each without any I/O. */
export const GUARDED = ['dispatch', 'client'] as const;

export type Guarded = (typeof GUARDED)[number];

/** What one operation costs. */
export interface Cost {
  /** Its time, as a multiple of that of the yardstick. */
  readonly time: number;
  /** Bytes that it allocates on the heap. */
  readonly heapBytes: number;
}

export type Costs = Readonly<Record<Guarded, Cost>>;

/** How much may be measured, as a multiple of the reference. */
export const BOUNDS: Readonly<Record<keyof Cost, number>> = { time: 1.5, heapBytes: 1.25 };

/** The middle cost of each: what else the machine does adds to some, and to the yardsticks of others. */
export function middle(all: readonly Costs[]): Costs {
  const of = (name: Guarded): Cost => ({
    time: median(all.map((costs) => costs[name].time)),
    heapBytes: median(all.map((costs) => costs[name].heapBytes)),
  });
  return { dispatch: of('dispatch'), client: of('client') };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** What the operations cost when somebody looked last, under one version of Node. */
export interface ReferenceEntry {
  readonly node: string;
  readonly commit: string;
  readonly processor: string;
  readonly costs: Costs;
}

interface ReferenceFile {
  readonly how: string;
  /** By major version of Node: V8 decides much of what an operation costs. */
  readonly byNodeMajor: Readonly<Record<string, ReferenceEntry>>;
}

const HOW = 'Written by `npm run bench -- guard --renew`, see bench/README.md.';

/** The reference of this version of Node or of the next older one there is; of the oldest where there is none. */
export function readReference(projectRoot: string): ReferenceEntry | undefined {
  const entries = Object.entries(readFile(projectRoot).byNodeMajor)
    .map(([major, entry]) => ({ major: Number(major), entry }))
    .sort((a, b) => b.major - a.major);
  return (entries.find(({ major }) => major <= nodeMajor()) ?? entries.at(-1))?.entry;
}

/** Puts it in the place of the one of this version of Node. Returns the file. */
export function writeReference(projectRoot: string, entry: ReferenceEntry): string {
  const byNodeMajor = { ...readFile(projectRoot).byNodeMajor, [nodeMajor()]: entry };
  const file = fileOf(projectRoot);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ how: HOW, byNodeMajor } satisfies ReferenceFile, undefined, 2)}\n`);
  return file;
}

function readFile(projectRoot: string): ReferenceFile {
  try {
    return JSON.parse(readFileSync(fileOf(projectRoot), 'utf8')) as ReferenceFile;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { how: HOW, byNodeMajor: {} };
    throw error;
  }
}

function fileOf(projectRoot: string): string {
  return join(projectRoot, 'bench', 'guard', 'reference.json');
}

function nodeMajor(): number {
  return Number.parseInt(process.versions.node, 10);
}
