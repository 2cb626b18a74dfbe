import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const MARK = '//! beds-manifest ';
const MAP_COMMENT = /\n\/\/# sourceMappingURL=.*\s*$/;

/** Puts `count` copies of a built bundle of one file in its place, as the domains `<domain>1`, `<domain>2`, …. */
export function copyDomain(path: string, domain: string, count: number): void {
  const text = readFileSync(path, 'utf8');
  const end = text.indexOf('\n');
  assert.ok(text.startsWith(MARK), 'a bundle of one file');
  const manifest = JSON.parse(text.slice(MARK.length, end)) as { readonly entry: string };
  const code = text.slice(end).replace(MAP_COMMENT, '\n');
  assert.ok(code.includes(`"${domain}"`), 'the code names its domain');
  rmSync(path);
  for (let n = 1; n <= count; n++) {
    const name = `${domain}${String(n)}`;
    const copy = code.replaceAll(`"${domain}"`, `"${name}"`);
    const sha256 = createHash('sha256').update(copy).digest('hex');
    const files = { [manifest.entry]: { sha256, bytes: Buffer.byteLength(copy) } };
    const line = `${MARK}${JSON.stringify({ ...manifest, domain: name, files })}`;
    writeFileSync(join(dirname(path), `${name}-1.0.0.mjs`), line + copy);
  }
}
