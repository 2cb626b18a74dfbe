import { compileFunction } from 'node:vm';
import type { Template } from '@beds/sdk';
import type { GenerationSource } from './contract.js';
import { HIDDEN_GLOBALS, templateGlobals } from './template-globals.js';
import { TemplateIntervals } from './template-intervals.js';

type CompilableSource = Pick<GenerationSource, 'code'> & {
  readonly manifest: Pick<GenerationSource['manifest'], 'domain' | 'version'>;
};

/** The file name that frames of this bundle carry in stack traces, before `mapStack` puts the author's there. */
export function generationFile(manifest: { readonly domain: string; readonly version: string }): string {
  return `beds://${manifest.domain}@${manifest.version}/index.js`;
}

const intervals = new WeakMap<object, TemplateIntervals>();

/**
 * Runs the top level of a converted bundle and returns its default export, unchecked: `checkTemplate` does that once, in the
 * probe. Nothing outside the result refers to the compiled function, so dropping the result frees it. Throws what the
 * bundle throws; `import()` inside it rejects, because no callback for it is given.
 */
export function compileTemplate(source: CompilableSource): Template {
  return loadConverted(source)['default'] as Template;
}

/** Ends the intervals that the bundle of this template still runs. Call it when the version has ended, after `teardown`. */
export function disposeTemplate(template: Template): void {
  intervals.get(template)?.end();
}

/** The whole exports object, for the probe. */
export function loadConverted(source: CompilableSource): Record<string, unknown> {
  const names = ['exports', 'require', 'module', 'process', 'setInterval', 'clearInterval', ...HIDDEN_GLOBALS];
  const body = compileFunction(source.code, names, { filename: generationFile(source.manifest) });
  const module = { exports: {} as Record<string, unknown> };
  const own = new TemplateIntervals();
  const { require, process } = templateGlobals;
  body.call(undefined, module.exports, require, module, process, own.set, own.clear);
  const template = module.exports['default'];
  if (typeof template === 'object' && template !== null) intervals.set(template, own);
  return module.exports;
}
