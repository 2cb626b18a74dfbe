import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface Asset {
  readonly content: Buffer;
  readonly gzip: Buffer;
  readonly type: string;
  readonly etag: string;
}

/** By the path of its URL; `/` is the page. */
export type Assets = ReadonlyMap<string, Asset>;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The files of the page. They are few and small, and read once: no request names a file. */
export function readAssets(folder: string): Assets {
  const files = readdirSync(folder).filter((name) => extname(name) in TYPES);
  return new Map(
    files.map((name) => {
      const content = readFileSync(join(folder, name));
      const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 27)}"`;
      const asset = { content, gzip: gzipSync(content, { level: 9 }), type: TYPES[extname(name)] ?? '', etag };
      return [name === 'index.html' ? '/' : `/assets/${name}`, asset] as const;
    }),
  );
}
