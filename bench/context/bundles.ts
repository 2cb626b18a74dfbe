import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const MARK = '//! beds-manifest ';
const MAP_COMMENT = /\n\/\/# sourceMappingURL=.*\s*$/;

/** A built bundle of one file, taken apart. */
interface Pattern {
  readonly manifest: { readonly entry: string; readonly domain: string; readonly version: string };
  readonly code: string;
}

function readPattern(path: string): Pattern {
  const text = readFileSync(path, 'utf8');
  const end = text.indexOf('\n');
  assert.ok(text.startsWith(MARK), 'a bundle of one file');
  const manifest = JSON.parse(text.slice(MARK.length, end)) as Pattern['manifest'];
  return { manifest, code: text.slice(end).replace(MAP_COMMENT, '\n') };
}

/** The bundle with another domain or version in its manifest and its code. */
function bundleText({ manifest, code }: Pattern, key: 'domain' | 'version', to: string): string {
  const from = manifest[key];
  const copy = code.replaceAll(`"${from}"`, `"${to}"`);
  assert.notEqual(copy, code, `the code names its ${key}`);
  const sha256 = createHash('sha256').update(copy).digest('hex');
  const files = { [manifest.entry]: { sha256, bytes: Buffer.byteLength(copy) } };
  return `${MARK}${JSON.stringify({ ...manifest, [key]: to, files })}${copy}`;
}

/** Puts `count` copies of a built bundle in its place, as the domains `<domain>1`, `<domain>2`, …. */
export function copyDomain(path: string, domain: string, count: number): void {
  const pattern = readPattern(path);
  rmSync(path);
  for (let n = 1; n <= count; n++) {
    const name = `${domain}${String(n)}`;
    writeFileSync(join(dirname(path), `${name}-1.0.0.mjs`), bundleText(pattern, 'domain', name));
  }
}

/** A built bundle that is dropped again and again, each time as another version of the same size. */
export class Versions {
  readonly #path: string;
  readonly #pattern: Pattern;
  #count = 0;

  /** Takes the bundle at `path` for a pattern; its code is filled up to about `bytes` with functions that nobody calls. */
  constructor(path: string, bytes: number) {
    const { manifest, code } = readPattern(path);
    this.#path = path;
    this.#pattern = { manifest, code: code + filler(bytes - code.length) };
  }

  /** Drops the next version over the one before, by a rename. Resolves to its number. */
  async drop(): Promise<string> {
    const version = `2.0.${String(++this.#count)}`;
    const draft = join(dirname(this.#path), `.${basename(this.#path)}.draft`);
    await writeFile(draft, bundleText(this.#pattern, 'version', version));
    await rename(draft, this.#path);
    return version;
  }
}

function filler(bytes: number): string {
  const parts: string[] = [];
  for (let length = 0, n = 0; length < bytes; n += 1) {
    const part = `function filler${n}(input) {\n  const parts = input.map((each) => ({ ...each, n: ${n} }));\n  return parts.filter(({ n }) => n > 0);\n}\n`;
    parts.push(part);
    length += part.length;
  }
  return parts.join('');
}
