import { compileFunction } from 'node:vm';
import type { Template } from '@beds/sdk';
import type { GenerationSource } from './contract.js';
import { type Leftovers, NO_LEFTOVERS } from './template-timers.js';
import { TemplateGlobals, type TemplateHooks } from './template-globals.js';

type CompilableSource = Pick<GenerationSource, 'code' | 'codeCache'> & {
  readonly manifest: Pick<GenerationSource['manifest'], 'domain' | 'version'>;
};

/** The file name that frames of this bundle carry in stack traces, before `mapStack` puts the author's there. */
export function generationFile(manifest: { readonly domain: string; readonly version: string }): string {
  return `beds://${manifest.domain}@${manifest.version}/index.js`;
}

const globalsOf = new WeakMap<object, TemplateGlobals>();

/**
 * Runs the top level of a converted bundle and returns its default export, unchecked: `checkTemplate` does that once, in the
 * probe. Nothing outside the result refers to the compiled function, so dropping the result frees it. Throws what the
 * bundle throws; `import()` inside it rejects, because no callback for it is given. `onEnter` is called before its code goes
 * on after a timer, `onPrint` with what it prints.
 */
export function compileTemplate(
  source: CompilableSource,
  onEnter?: TemplateHooks['onEnter'],
  onPrint?: TemplateHooks['onPrint'],
): Template {
  return loadConverted(source, { onEnter, onPrint, isAdmitted: true })['default'] as Template;
}

/**
 * Ends the timers that the bundle of this template still runs, and tells what there was. Call it when the version has
 * ended, after `teardown`; a second call finds nothing.
 */
export function disposeTemplate(template: Template): Leftovers {
  return globalsOf.get(template)?.end() ?? NO_LEFTOVERS;
}

/** Reads the code without running any of it, for `codeCache`. Throws what V8 says of code that it does not understand. */
export function makeCodeCache(source: CompilableSource): Uint8Array | undefined {
  const { byName } = new TemplateGlobals();
  const names = Object.keys(scopeOf(byName, { exports: {} }));
  const filename = generationFile(source.manifest);
  const { cachedData } = compileFunction(source.code, names, { filename, produceCachedData: true });
  // n.b. not the Buffer, which arrives in another thread as something else than here.
  return cachedData === undefined ? undefined : new Uint8Array(cachedData);
}

/** The whole exports object, for the probe. */
export function loadConverted(source: CompilableSource, hooks?: TemplateHooks): Record<string, unknown> {
  const globals = new TemplateGlobals(hooks);
  const module = { exports: {} as Record<string, unknown> };
  const seen = scopeOf(globals.byName, module);
  const body = compileFunction(source.code, Object.keys(seen), {
    filename: generationFile(source.manifest),
    ...(source.codeCache === undefined ? {} : { cachedData: source.codeCache }),
  });
  try {
    Reflect.apply(body, undefined, Object.values(seen));
  } catch (error) {
    globals.end();
    throw error;
  }
  globals.loaded();
  const template = module.exports['default'];
  if (typeof template === 'object' && template !== null) globalsOf.set(template, globals);
  return module.exports;
}

function scopeOf(byName: TemplateGlobals['byName'], module: { readonly exports: object }): Record<string, unknown> {
  return { exports: module.exports, module, ...byName };
}
