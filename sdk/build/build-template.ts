import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isBedsError } from '../template/errors.js';
import type { Manifest } from '../template/manifest.js';
import type { Template } from '../template/namaste-core.js';
import { describeFile, writeSingleFile } from '../template/single-file.js';
import { buildErrors } from './build-errors.js';
import { bundleCode, type BundledCode } from './bundle-code.js';
import { readDefinition } from './read-definition.js';

export interface BuildTemplateOptions {
  /** The author's `template.ts` (or .js). */
  readonly entry: string;
  /** Made where missing. */
  readonly outDir: string;
  /** 'folder': `<domain>-<version>/`; 'file': `<domain>-<version>.mjs`. Default 'folder'. */
  readonly form?: 'folder' | 'file';
  /** Longest that the built template may take to load. Default 10,000. */
  readonly loadTimeoutMs?: number;
}

export interface BuiltBundle {
  /** The folder or the file. */
  readonly path: string;
  readonly manifest: Manifest;
  /** All files together. */
  readonly bytes: number;
  /** Packages that are in it as they are in browsers, because as in Node they could not be used. */
  readonly inBrowserForm: readonly string[];
}

const ENTRY = 'index.mjs';
const MAP = 'index.mjs.map';
const LOAD_TIMEOUT_MS = 10_000;

type BundleFiles = Readonly<Record<string, Uint8Array>>;

function manifestFor(definition: Template['definition'], files: BundleFiles): Manifest {
  const described: Record<string, ReturnType<typeof describeFile>> = {};
  for (const [name, bytes] of Object.entries(files)) described[name] = describeFile(bytes);
  return { ...definition, entry: ENTRY, files: described };
}

function folderFiles({ code, sourceMap }: BundledCode): BundleFiles {
  return { [ENTRY]: Buffer.from(`${code}//# sourceMappingURL=${MAP}\n`), [MAP]: Buffer.from(sourceMap) };
}

/** The line of the manifest comes first, so the code and its map begin one line down. */
function fileBody({ code, sourceMap }: BundledCode): Uint8Array {
  const map = JSON.parse(sourceMap) as { readonly mappings: string };
  const moved = Buffer.from(JSON.stringify({ ...map, mappings: `;${map.mappings}` })).toString('base64');
  return Buffer.from(`\n${code}//# sourceMappingURL=data:application/json;base64,${moved}\n`);
}

async function writeAll(directory: string, files: BundleFiles): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, name), bytes, { flag: 'wx' });
}

/** A folder cannot be renamed over another, so the old one steps aside first. */
async function replaceFolder(from: string, to: string): Promise<void> {
  const aside = `${from}.old`;
  const stepped = await rename(to, aside).then(
    () => true,
    () => false,
  );
  await rename(from, to);
  if (stepped) await rm(aside, { recursive: true, force: true });
}

interface Place {
  /** In `outDir`; gone in the end. */
  readonly staging: string;
  readonly outDir: string;
  readonly loadTimeoutMs: number;
}

async function finishFolder(code: BundledCode, { staging, outDir, loadTimeoutMs }: Place): Promise<BuiltBundle> {
  const files = folderFiles(code);
  await writeAll(staging, files);
  const manifest = manifestFor(await readDefinition(join(staging, ENTRY), loadTimeoutMs), files);
  const json = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await writeAll(staging, { 'manifest.json': json });
  const path = join(outDir, `${manifest.domain}-${manifest.version}`);
  await replaceFolder(staging, path);
  const bytes = Object.values(files).reduce((sum, file) => sum + file.byteLength, json.byteLength);
  return { path, manifest, bytes, inBrowserForm: code.inBrowserForm };
}

async function finishFile(code: BundledCode, { staging, outDir, loadTimeoutMs }: Place): Promise<BuiltBundle> {
  const body = fileBody(code);
  await writeAll(staging, { [ENTRY]: body });
  const manifest = manifestFor(await readDefinition(join(staging, ENTRY), loadTimeoutMs), { [ENTRY]: body });
  const whole = writeSingleFile(manifest, body);
  const name = `${manifest.domain}-${manifest.version}.mjs`;
  await writeAll(staging, { [name]: whole });
  const path = join(outDir, name);
  await rename(join(staging, name), path);
  return { path, manifest, bytes: whole.byteLength, inBrowserForm: code.inBrowserForm };
}

/**
 * Builds a template into a bundle that a host can be given. The same sources give the same bytes. It appears under its
 * final name only when it is complete. Throws BEDS_BUILD_REFUSED (with all findings), BEDS_BUILD_LOAD_FAILED,
 * BEDS_BUILD_NO_TEMPLATE, BEDS_BUILD_WRITE_FAILED, BEDS_TEMPLATE_INVALID.
 */
export async function buildTemplate(options: BuildTemplateOptions): Promise<BuiltBundle> {
  const outDir = resolve(options.outDir);
  const code = await bundleCode(options.entry);
  const staging = join(outDir, `.beds-build-${randomUUID()}`);
  try {
    await mkdir(staging, { recursive: true });
    const finish = options.form === 'file' ? finishFile : finishFolder;
    return await finish(code, { staging, outDir, loadTimeoutMs: options.loadTimeoutMs ?? LOAD_TIMEOUT_MS });
  } catch (cause) {
    if (isBedsError(cause)) throw cause;
    throw buildErrors.make('BEDS_BUILD_WRITE_FAILED', undefined, { cause });
  } finally {
    // Where it could not even be made, that is the error to report.
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
  }
}
