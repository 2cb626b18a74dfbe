import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const MARK = '//! beds-manifest ';
const MAP_COMMENT = /\n\/\/# sourceMappingURL=.*\s*$/;

/** A built bundle of one file that is dropped again and again, each time as another version of the same size. */
export class Versions {
  readonly #path: string;
  readonly #manifest: Readonly<Record<string, unknown>>;
  readonly #code: string;
  #count = 0;

  /** Takes the bundle at `path` for a pattern; its code is filled up to about `bytes` with functions that nobody calls. */
  constructor(path: string, bytes: number) {
    const text = readFileSync(path, 'utf8');
    const end = text.indexOf('\n');
    assert.ok(text.startsWith(MARK), 'a bundle of one file');
    this.#path = path;
    this.#manifest = JSON.parse(text.slice(MARK.length, end)) as Record<string, unknown>;
    const code = text.slice(end).replace(MAP_COMMENT, '\n');
    this.#code = code + filler(bytes - code.length);
  }

  /** Drops the next version over the one before, by a rename. Resolves to its number. */
  async drop(): Promise<string> {
    const version = `2.0.${String(++this.#count)}`;
    const before = String(this.#manifest['version']);
    const code = this.#code.replaceAll(`"${before}"`, `"${version}"`);
    assert.notEqual(code, this.#code, 'the code names its version');
    const sha256 = createHash('sha256').update(code).digest('hex');
    const entry = String(this.#manifest['entry']);
    const files = { [entry]: { sha256, bytes: Buffer.byteLength(code) } };
    const draft = join(dirname(this.#path), `.${basename(this.#path)}.draft`);
    await writeFile(draft, `${MARK}${JSON.stringify({ ...this.#manifest, version, files })}${code}`);
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
