import { existsSync, readdirSync } from 'node:fs';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { buildTemplate } from '@beds/sdk/build';

/** A bundle that is built and waits to be dropped. */
export interface ReadyBundle {
  readonly file: string;
  readonly version: string;
  readonly bytes: number;
}

export interface DemoBundles {
  readonly cities: ReadyBundle;
  readonly citiesNext: ReadyBundle;
  readonly countries: ReadyBundle;
  readonly users: ReadyBundle;
  readonly sessions: ReadyBundle;
  readonly audit: ReadyBundle;
  readonly fleet: ReadyBundle;
  readonly logs: ReadyBundle;
  readonly metrics: ReadyBundle;
}

/** Builds the bundles of the demonstration into a folder of its own, out of the host's sight. */
export async function buildBundles(projectRoot: string, outDir: string): Promise<DemoBundles> {
  await mkdir(outDir, { recursive: true });
  const build = async (...path: readonly string[]): Promise<ReadyBundle> => {
    const entry = join(projectRoot, 'plugins', ...path, 'template.ts');
    const { path: file, manifest, bytes } = await buildTemplate({ entry, outDir, form: 'file' });
    return { file, version: manifest.version, bytes };
  };
  const [cities, citiesNext, countries, users, sessions, audit, fleet, logs, metrics] = await Promise.all([
    build('cities'),
    build('cities', 'next'),
    build('countries'),
    build('users'),
    build('sessions'),
    build('audit'),
    build('fleet'),
    build('logs'),
    build('metrics'),
  ]);
  return { cities, citiesNext, countries, users, sessions, audit, fleet, logs, metrics };
}

/** Drops a bundle: it appears under its name only when it is complete. Resolves to the wall clock, in milliseconds. */
export async function dropBundle(bundle: Pick<ReadyBundle, 'file'>, directory: string): Promise<number> {
  await mkdir(directory, { recursive: true });
  const name = basename(bundle.file);
  const draft = join(directory, `.${name}.draft`);
  await copyFile(bundle.file, draft);
  await rename(draft, join(directory, name));
  return Date.now();
}

/** Takes away what an earlier demonstration dropped; bundles of other names are somebody's own. */
export async function clearBundles(bundles: DemoBundles, directory: string): Promise<readonly string[]> {
  if (!existsSync(directory)) return [];
  const ours = new Set(Object.values(bundles).map(({ file }: ReadyBundle) => basename(file)));
  const found = readdirSync(directory).filter((name) => name.endsWith('.mjs'));
  for (const name of found.filter((each) => ours.has(each))) await rm(join(directory, name), { force: true });
  return found.filter((name) => !ours.has(name));
}
