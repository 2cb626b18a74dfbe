import { convertBundle } from '../../host/generation/convert.js';
import { compileTemplate } from '../../host/generation/compile.js';
import { templateCode } from './bundles.js';

/** Swaps a 60 KB bundle many times and writes how much the heap grew by it, as JSON. Run with --expose-gc. */
const swaps = Number(process.argv[2]);
const filler = Array.from(
  { length: 700 },
  (_, index) => `export function f${index}(a) { return [a, ${index}, 'filler text of some length']; }`,
);
const { code } = await convertBundle(templateCode({ head: filler.join('\n') }));

function swap(index: number): void {
  // Each version is other text, as real versions are: V8 would find equal text in its compilation cache.
  const template = compileTemplate({
    code: `${code}//${index}`,
    manifest: { domain: 'notes', version: `1.0.${index}` },
  });
  if (typeof template.createRecord !== 'function') process.exitCode = 1;
}

function heapAfterCollection(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

for (let index = 0; index < 50; index += 1) swap(index);
const before = heapAfterCollection();
for (let index = 0; index < swaps; index += 1) swap(50 + index);
process.stdout.write(JSON.stringify({ swaps, grownBytes: heapAfterCollection() - before, codeBytes: code.length }));
