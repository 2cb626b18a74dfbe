import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { BedsError } from '../template/errors.js';
import type { Template } from '../template/namaste-core.js';
import { templateErrors } from '../template/template-errors.js';
import { buildErrors } from './build-errors.js';
import type { DefinitionReport } from './definition-worker.js';

const HEAP_MB = 128;

function failure(report: Extract<DefinitionReport, { kind: 'failed' }>): BedsError {
  if (report.code === 'BEDS_TEMPLATE_INVALID') return templateErrors.make('BEDS_TEMPLATE_INVALID', report.message);
  return buildErrors.make('BEDS_BUILD_LOAD_FAILED', `The built template cannot be loaded: ${report.message}`);
}

async function firstReport(worker: Worker, timeoutMs: number): Promise<DefinitionReport> {
  const signal = AbortSignal.timeout(timeoutMs);
  const [exited, reported] = [once(worker, 'exit', { signal }), once(worker, 'message', { signal })];
  // Whichever of the two loses is of no interest, but must not be an unhandled rejection.
  exited.catch(() => undefined);
  reported.catch(() => undefined);
  try {
    const [report] = (await Promise.race([reported, exited.then(() => [undefined])])) as [DefinitionReport | undefined];
    return report ?? { kind: 'failed', code: undefined, message: 'it ended the process' };
  } catch (cause) {
    const message = signal.aborted ? `it did not finish within ${timeoutMs} ms` : String(cause);
    return { kind: 'failed', code: undefined, message };
  }
}

/**
 * Loads a built bundle in a thread of its own, bounded in time and memory, and reads what it says of itself. Throws
 * BEDS_BUILD_LOAD_FAILED, BEDS_BUILD_NO_TEMPLATE, BEDS_TEMPLATE_INVALID.
 */
export async function readDefinition(file: string, timeoutMs: number): Promise<Template['definition']> {
  const worker = new Worker(new URL('./definition-worker.js', import.meta.url), {
    workerData: { url: pathToFileURL(file).href },
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    execArgv: ['--enable-source-maps'],
    env: {},
    stdout: true,
    stderr: true,
  });
  try {
    const report = await firstReport(worker, timeoutMs);
    if (report.kind === 'failed') throw failure(report);
    if (report.kind === 'not-a-template') throw buildErrors.make('BEDS_BUILD_NO_TEMPLATE');
    return JSON.parse(report.json) as Template['definition'];
  } finally {
    await worker.terminate();
  }
}
