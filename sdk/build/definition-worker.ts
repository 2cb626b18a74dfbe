import { parentPort, workerData } from 'node:worker_threads';
import { isBedsError } from '../template/errors.js';
import { isTemplate } from '../template/define-domain.js';

/** What the worker that loads a built bundle says of it. */
export type DefinitionReport =
  | { readonly kind: 'definition'; readonly json: string }
  | { readonly kind: 'not-a-template' }
  | { readonly kind: 'failed'; readonly code: string | undefined; readonly message: string };

async function report(url: string): Promise<DefinitionReport> {
  try {
    const module = (await import(url)) as { readonly default?: unknown };
    if (!isTemplate(module.default)) return { kind: 'not-a-template' };
    return { kind: 'definition', json: JSON.stringify(module.default.definition) };
  } catch (error) {
    if (isBedsError(error)) return { kind: 'failed', code: error.code, message: error.message };
    const stack = error instanceof Error ? error.stack : undefined;
    return { kind: 'failed', code: undefined, message: stack ?? String(error) };
  }
}

parentPort?.postMessage(await report((workerData as { readonly url: string }).url));
