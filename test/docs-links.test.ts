import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';

const LINK = /\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)/g;
/** Looks like a path of the project, in backticks: `host/…/file.ts`. */
const NAMED_FILE = /`((?:host|sdk|test|bench)\/[\w./-]+\.(?:ts|mjs|md|toml|json))`/g;

const NOT_OURS = /(?:^|\/)(?:node_modules|dist|\.[^/]+)(?:\/|$)/;
const documents = readdirSync('.', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md') && !NOT_OURS.test(name))
  .sort();

/** As GitHub makes them of headings. */
function anchorsOf(file: string): ReadonlySet<string> {
  const headings = readFileSync(file, 'utf8').matchAll(/^#{1,6} +(.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(/\s/g, '-'),
    ),
  );
}

describe('the documents', () => {
  for (const document of documents) {
    it(`${document} leads nowhere that is not there`, () => {
      const text = readFileSync(document, 'utf8');
      const dead: string[] = [];
      for (const [link, path = '', anchor] of text.matchAll(LINK)) {
        const target = path === '' ? document : join(dirname(document), decodeURI(path));
        if (!existsSync(target)) dead.push(link);
        else if (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor)) dead.push(link);
      }
      for (const [name, path = ''] of text.matchAll(NAMED_FILE)) if (!existsSync(path)) dead.push(name);
      assert.deepEqual(dead, []);
    });
  }

  it('show pictures that the tests make, and all of them', () => {
    const folder = 'host/docs/pictures';
    const made = readFileSync('test/support/dashboard.ts', 'utf8');
    const shown = documents.flatMap((document) =>
      [...readFileSync(document, 'utf8').matchAll(/!\[[^\]]+\]\(([^)]+\.png)\)/g)].map(([, path = '']) =>
        join(dirname(document), path),
      ),
    );
    const kept = readdirSync(folder).map((name) => join(folder, name));
    assert.deepEqual(shown.toSorted(), kept.toSorted());
    const strangers = kept.filter((path) => !made.includes(`'${basename(path, '.png')}'`));
    assert.deepEqual(strangers, []);
  });
});
