import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { withEsbuild } from '../../template/with-esbuild.js';

/** The entry of the probe thread as it lies on the disk. */
export const PROBE_FILE = new URL('./probe-thread.js', import.meta.url);

/**
 * The probe thread with all that it imports in one text, because most of the work of starting one is loading its modules one
 * by one. `PROBE_FILE` where that fails: it does the same, later.
 */
export async function makeProbeScript(): Promise<URL> {
  try {
    const { outputFiles } = await withEsbuild(() =>
      build({
        entryPoints: [fileURLToPath(PROBE_FILE)],
        ...{ bundle: true, write: false, format: 'esm', platform: 'node', target: 'node20', logLevel: 'silent' },
        define: { 'import.meta.url': JSON.stringify(PROBE_FILE.href) },
        // Instead of the whole text, in stacks.
        footer: { js: '//# sourceURL=beds-probe-thread.js' },
      }),
    );
    const [file] = outputFiles;
    if (file === undefined) return PROBE_FILE;
    return new URL(`data:text/javascript;base64,${Buffer.from(file.contents).toString('base64')}`);
  } catch {
    return PROBE_FILE;
  }
}
