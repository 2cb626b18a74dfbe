import { commandErrors } from '#sdk/cli';
import { existsSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Config } from '../config/schema.js';
import { rolloutErrors } from '../errors/rollout.js';
import type { Drop } from '../deploy/admit/contract.js';
import { readDrop, takeFingerprint } from '../deploy/admit/read-drop.js';
import { MAX_BUNDLES } from '../admin/commands.js';

type Limits = Pick<Config['plugins'], 'maxBundleBytes' | 'maxFiles'>;

export interface BundlePlaces {
  readonly cwd: string;
  readonly paths: readonly string[];
}

/** A bundle as it is sent: `manifest.json` and the files that it names, whichever form it was read in. */
export interface ReadBundle {
  readonly domain: string;
  readonly version: string;
  readonly hash: string;
  readonly bytes: number;
  readonly files: Readonly<Record<string, Buffer>>;
}

/**
 * Reads and checks bundles as a host would. Throws BEDS_ROLLOUT_BUNDLE_INVALID with every reason for what is none, and
 * BEDS_CLI_ARGUMENT_INVALID where a domain comes twice, or no bundle or too many are named.
 */
export async function readBundles({ cwd, paths }: BundlePlaces, limits: Limits): Promise<readonly ReadBundle[]> {
  if (paths.length === 0 || paths.length > MAX_BUNDLES) {
    const message = `Name the bundles to deploy, at most ${MAX_BUNDLES}: files or folders that \`beds build\` wrote.`;
    throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
  }
  const bundles: ReadBundle[] = [];
  for (const path of paths) {
    const bundle = toBundle(await readOne(path, cwd, limits));
    if (bundles.some(({ domain }) => domain === bundle.domain)) {
      const message = `${path} is another bundle of ${bundle.domain}; deploy one version of a domain at a time.`;
      throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    bundles.push(bundle);
  }
  return bundles;
}

/** The files as a `deploy` has them. */
export function encodeBundle({ files }: ReadBundle): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [name, content.toString('base64')]));
}

async function readOne(path: string, cwd: string, limits: Limits): Promise<Drop> {
  const full = resolve(cwd, path);
  if (!existsSync(full)) throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', `There is no file or folder ${full}.`);
  const place = { directory: dirname(full), entry: basename(full) };
  const seen = await takeFingerprint(place.directory, place.entry).catch((cause: unknown) => {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', `${path} cannot be read (${code}).`, { cause });
  });
  if (seen === undefined) throw noBundle(full, cwd);
  const reading = await readDrop({ ...place, seen }, limits);
  if (reading.state === 'complete') return reading.drop;
  const reasons = reading.findings.map(({ code, message }) => `${code}: ${message}`);
  throw rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', `${path} is not a complete bundle. ${reasons.join(' ')}`);
}

function noBundle(full: string, cwd: string): Error {
  const built = join(full, 'dist');
  const shown = relative(cwd, full) || '.';
  if (existsSync(join(built, 'manifest.json'))) {
    const hint = `Deploy what was built of it: \`beds deploy ${relative(cwd, built)}\`.`;
    return rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', `${shown} is the source of a domain.`, { hint });
  }
  const isSource = existsSync(join(full, 'template.ts')) || existsSync(join(full, 'template.js'));
  const message = isSource
    ? `${shown} is the source of a domain, not yet built.`
    : `${shown} is no bundle: neither a folder with a manifest.json nor a .mjs file.`;
  const hint = isSource ? `Run \`beds build ${shown}\` and deploy what it wrote.` : undefined;
  return rolloutErrors.make('BEDS_ROLLOUT_BUNDLE_INVALID', message, hint === undefined ? {} : { hint });
}

function toBundle({ manifest, manifestText, files, hash }: Drop): ReadBundle {
  const all = { 'manifest.json': Buffer.from(manifestText), ...Object.fromEntries(files) };
  const bytes = Object.values(all).reduce((sum, content) => sum + content.length, 0);
  return { domain: manifest.domain, version: manifest.version, hash, bytes, files: all };
}
