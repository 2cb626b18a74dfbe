import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildTemplate } from '@beds/sdk/build';
import { dropBundle } from '../../host/cli/demo/bundles.js';
import { runDirectory } from './services.js';

/** Drops domains of this repository into a plugin directory. Each is built once a run: the same sources give the same bytes. */
export async function dropOwnDomains(domains: readonly string[], pluginsDirectory: string): Promise<void> {
  for (const domain of domains) {
    const outDir = join(runDirectory(), 'built', domain);
    const [file = await build(domain, outDir)] = await builtIn(outDir);
    await dropBundle({ file }, pluginsDirectory);
  }
}

/** n.b. a bundle appears under its name when it is complete: whoever builds the same meanwhile puts the same in its place. */
async function build(domain: string, outDir: string): Promise<string> {
  await mkdir(outDir, { recursive: true });
  return (await buildTemplate({ entry: join('plugins', domain, 'template.ts'), outDir, form: 'file' })).path;
}

async function builtIn(outDir: string): Promise<readonly string[]> {
  if (!existsSync(outDir)) return [];
  const names = await readdir(outDir);
  return names.filter((name) => name.endsWith('.mjs')).map((name) => join(outDir, name));
}
