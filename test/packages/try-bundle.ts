import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { readSingleFile } from '#sdk/template';
import { openProber } from '../../host/deploy/admit/probe.js';
import { verifyBundle } from '../../host/deploy/admit/verify.js';
import { denyCodeFromText } from '../../host/template/v8-flags.js';
import type { SealedRun, SealedSource } from './sealed-thread.js';

/** What came of a bundle in a host. */
export type Trial = { readonly stage: 'admitted'; readonly refusal: string } | ({ readonly stage: 'ran' } & SealedRun);

const MEMORY_MB = 256;
const TIMEOUT_MS = 90_000;
/** How often it is swapped, each time by itself. */
export const VERSIONS = 6;

/**
 * Admits a bundle of one file as a host does, and runs its self-test in a thread as templates run in, version after version.
 * n.b. threads that are started afterwards make no code from text, so that a builder in this process may refuse what works.
 */
export async function tryBundle(path: string): Promise<Trial> {
  const read = readSingleFile(await readFile(path));
  if (read.state !== 'complete') return { stage: 'admitted', refusal: read.state };
  const { manifest, body } = read;
  const files = new Map([[manifest.entry, Buffer.from(body)]]);
  const verified = await verifyBundle({ hash: '', manifest, manifestText: '', files });
  if (!verified.ok) return refused(verified.findings);
  const source = { ...verified.converted, manifest };
  denyCodeFromText();
  const prober = openProber({ timeoutMs: TIMEOUT_MS, memoryMb: MEMORY_MB });
  try {
    const findings = await prober.probe(source);
    return findings.length > 0 ? refused(findings) : { stage: 'ran', ...(await runSealed(source)) };
  } finally {
    await prober.close();
  }
}

function refused(findings: readonly { readonly message: string }[]): Trial {
  return { stage: 'admitted', refusal: findings.map(({ message }) => message).join(' ') };
}

async function runSealed(source: SealedSource): Promise<SealedRun> {
  const thread = new Worker(new URL('./sealed-thread.js', import.meta.url), {
    workerData: { source: { code: source.code, manifest: source.manifest }, versions: VERSIONS },
    env: {},
  });
  try {
    const [run] = (await once(thread, 'message', { signal: AbortSignal.timeout(TIMEOUT_MS) })) as [SealedRun];
    return run;
  } catch (error) {
    return { failure: `it did not end: ${String(error)}`, leftovers: 0, held: 0 };
  } finally {
    await thread.terminate();
  }
}
