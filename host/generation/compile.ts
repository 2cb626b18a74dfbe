import { compileFunction } from 'node:vm';
import type { Template } from '@beds/sdk';
import type { GenerationSource } from './contract.js';
import { HIDDEN_GLOBALS, templateGlobals } from './template-globals.js';

type CompilableSource = Pick<GenerationSource, 'code'> & {
  readonly manifest: Pick<GenerationSource['manifest'], 'domain' | 'version'>;
};

/** The file name that frames of this bundle carry in stack traces, before `mapStack` puts the author's there. */
export function generationFile(manifest: { readonly domain: string; readonly version: string }): string {
  return `beds://${manifest.domain}@${manifest.version}/index.js`;
}

/**
 * Runs the top level of a converted bundle and returns its default export, unchecked: `checkTemplate` does that once, in the
 * probe. Nothing outside the result refers to the compiled function, so dropping the result frees it. Throws what the
 * bundle throws; `import()` inside it rejects, because no callback for it is given.
 */
export function compileTemplate(source: CompilableSource): Template {
  return loadConverted(source)['default'] as Template;
}

/** The whole exports object, for the probe. */
export function loadConverted(source: CompilableSource): Record<string, unknown> {
  const body = compileFunction(source.code, ['exports', 'require', 'module', 'process', ...HIDDEN_GLOBALS], {
    filename: generationFile(source.manifest),
  });
  const module = { exports: {} as Record<string, unknown> };
  body.call(undefined, module.exports, templateGlobals.require, module, templateGlobals.process);
  return module.exports;
}
