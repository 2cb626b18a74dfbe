import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isBedsError } from '@beds/sdk';
import { buildTemplate } from '@beds/sdk/build';
import { tryBundle } from './packages/try-bundle.js';

type Files = Readonly<Record<string, string>>;

interface Fixture {
  /** Files of packages by their path in node_modules. */
  readonly packages: Files;
  /** Of the author's. */
  readonly imports: string;
  /** An expression that is true when all works in a host. */
  readonly works: string;
}

/** What popular packages do, one thing each, as small as it shows. */
const WORKING: Readonly<Record<string, Fixture>> = {
  'has a file for browsers where Node has one with files': {
    packages: {
      'qr/package.json': '{ "main": "./node.js", "browser": "./browser.js" }',
      'qr/node.js': `require('fs'); exports.where = 'node';`,
      'qr/browser.js': `exports.where = 'browser';`,
    },
    imports: `import it from 'qr';`,
    works: `it.where === 'browser'`,
  },
  'has a condition for browsers, and names what it leaves away there': {
    packages: {
      'eta/package.json': `{ "type": "module", "exports": { "node": "./node.js", "default": "./index.js" } }`,
      'eta/node.js': `import 'node:fs'; export const where = 'node';`,
      'eta/index.js': `export const where = 'elsewhere';`,
      'ejs/package.json': '{ "main": "./lib/ejs.js", "browser": { "fs": false, "./lib/http.js": false } }',
      'ejs/lib/ejs.js': `const fs = require('fs'); require('./http.js'); exports.files = Object.keys(fs).length;`,
      'ejs/lib/http.js': `require('http');`,
    },
    imports: `import { where } from 'eta'; import ejs from 'ejs';`,
    works: `where === 'elsewhere' && ejs.files === 0`,
  },
  'is taken as it is for Node where that can be used': {
    packages: {
      'ids/package.json': '{ "main": "./node.js", "browser": "./browser.js" }',
      'ids/node.js': `exports.bytes = require('crypto').randomBytes(4).length;`,
      'ids/browser.js': `exports.bytes = window.crypto;`,
    },
    imports: `import it from 'ids';`,
    works: `it.bytes === 4`,
  },
  'asks Node for harmless things': {
    packages: {
      'cache/package.json': '{ "type": "module", "exports": "./index.js" }',
      'cache/index.js': `import { tracingChannel, channel } from 'node:diagnostics_channel';
        import { EOL } from 'node:os'; import tty from 'node:tty'; import process, { env } from 'node:process';
        import { performance } from 'perf_hooks'; import { AsyncResource } from 'async_hooks';
        export const seen = [channel('x').hasSubscribers, tracingChannel('x').hasSubscribers, EOL, tty.isatty(1), env.HOME,
          process.cwd(), typeof performance.now(), AsyncResource.bind(() => 1)()];`,
    },
    imports: `import { seen } from 'cache';`,
    works: `JSON.stringify(seen) === '[false,false,"\\\\n",false,null,"/","number",1]'`,
  },
  'works with streams': {
    packages: {
      'jws/package.json': '{ "main": "./index.js" }',
      'jws/index.js': `const Stream = require('stream'); const util = require('util');
        function Data() { Stream.call(this); } util.inherits(Data, Stream);
        class Upper extends Stream.Transform { _transform(chunk, encoding, done) { done(null, String(chunk).toUpperCase()); } }
        exports.upper = (text) => new Promise((resolve) => {
          new Data().on('x', () => Stream.pipeline(Stream.Readable.from([text]), new Upper().on('data', (out) => resolve(String(out))), () => {})).emit('x');
        });`,
    },
    imports: `import it from 'jws';`,
    works: `await it.upper('a') === 'A'`,
  },
  'looks for what surrounds it': {
    packages: {
      'old/package.json': '{ "main": "./index.js" }',
      'old/index.js': `var root = Function('return this')() || self;
        function lodash() {} lodash.bind = function () { return 'own'; };
        if (typeof process !== 'undefined' && process.on) process.on('exit', function () {});
        var binding; try { binding = process.binding && process.binding('util'); } catch (error) {}
        var inner = require; try { inner('./locale/' + root.Date.now()); } catch (error) {}
        process.emitWarning('once'); process.stdout.isTTY;
        exports.found = [root === globalThis, self === globalThis, binding, lodash.bind(), process.env.DEBUG, typeof __dirname];`,
      'vite/package.json': '{ "type": "module", "exports": "./index.js" }',
      'vite/index.js': `export const mode = import.meta.env ? import.meta.env.MODE : '';`,
    },
    imports: `import it from 'old'; import { mode } from 'vite';`,
    works: `JSON.stringify(it.found) === '[true,true,null,"own",null,"string"]' && mode === 'production'`,
  },
  'notes things about classes on Reflect': {
    packages: {
      'reflect/package.json': '{ "main": "./index.js" }',
      'reflect/index.js': `const all = new WeakMap();
        const root = globalThis.Reflect; if (root.note) throw new Error('of another version');
        Object.defineProperty(root, 'note', { value: (key, value) => { all.set(key, value); return all.get(key); }, configurable: true });`,
    },
    imports: `import 'reflect'; class User {}`,
    works: `(Reflect as any).note(User, 1) === 1`,
  },
  'has the name of a module of Node': {
    packages: {
      'punycode/package.json': '{ "main": "./punycode.js" }',
      'punycode/punycode.js': `exports.name = 'installed';`,
      'url/package.json': '{ "main": "./index.js" }',
      'url/index.js': `exports.name = require('punycode').name;`,
      'tr/package.json': '{ "main": "./index.js" }',
      'tr/index.js': `exports.name = require('punycode').name;`,
    },
    imports: `import it from 'tr';`,
    works: `it.name === 'installed'`,
  },
};

function templateOf({ imports, works }: Pick<Fixture, 'imports' | 'works'>): string {
  return `import { defineDomain, t, view } from '@beds/sdk';
${imports}
export default defineDomain({
  name: 'tried', version: '1.0.0', store: 'main', key: 'id',
  fetch: view('tried_list', { id: t.int() }),
  operations: ({ unsupported }) => ({ create: unsupported(), update: unsupported(), delete: unsupported() }),
  async selfTest() { if (!(${works})) throw new Error('another result'); },
});
`;
}

function writeAll(directory: string, files: Files): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

describe('a package that a template imports', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'beds-packages-'));
  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  // n.b. all are built before the first is tried: see `tryBundle`.
  const built = new Map<string, string>();
  for (const [number, [what, fixture]] of Object.entries(WORKING).entries()) {
    const folder = join(directory, String(number));
    const packages = Object.entries(fixture.packages).map(([name, text]) => [`node_modules/${name}`, text]);
    writeAll(folder, { ...(Object.fromEntries(packages) as Files), 'template.ts': templateOf(fixture) });
    const { path } = await buildTemplate({
      entry: join(folder, 'template.ts'),
      outDir: join(folder, 'out'),
      form: 'file',
    });
    built.set(what, path);
  }

  for (const [what, path] of built) {
    it(`works in a host, and nothing stays of versions that ended, when it ${what}`, async () => {
      const trial = await tryBundle(path);
      assert.equal(trial.stage, 'ran', JSON.stringify(trial));
      assert.deepEqual({ ...trial, held: trial.held > 1 }, { stage: 'ran', failure: '', leftovers: 0, held: false });
    });
  }

  it("is reported with the author's import that brought it in, and with an alternative", async () => {
    const folder = join(directory, 'refused');
    const main = '{ "main": "./index.js" }';
    writeAll(folder, {
      'node_modules/csv-tools/package.json': main,
      'node_modules/csv-tools/index.js': `\nexports.read = require('reader');`,
      'node_modules/reader/package.json': main,
      'node_modules/reader/index.js': `const zlib = require('zlib');\nconst fs = require("node:fs"); exports.fs = [zlib, fs];`,
      'node_modules/winston/package.json': main,
      'node_modules/winston/index.js': `require('http');`,
      'template.ts': `import { shout } from './shout.js';\nimport winston from 'winston';\nexport default [shout, winston];`,
      'shout.ts': `const word = 'a';\nimport  it from 'csv-tools';\nexport const shout = [it, word];`,
    });
    const options = { entry: join(folder, 'template.ts'), outDir: join(folder, 'out') };
    const error: unknown = await buildTemplate(options).catch((thrown: unknown) => thrown);
    assert.ok(isBedsError(error));
    const through = String.raw`Through csv-tools → reader → node_modules/reader/index\.js`;
    for (const expected of [
      String.raw`shout\.ts:2:17 "csv-tools" cannot be used here: "zlib" may not .*fflate.* ${through}:1:22`,
      String.raw`shout\.ts:2:17 "csv-tools" cannot be used here: "node:fs" may not .*no files.* ${through}:2:20`,
      String.raw`template\.ts:2:21 "winston" cannot be used here: "http" may not .*Log with .* Through winston → `,
    ]) {
      assert.match(error.message, new RegExp(expected));
    }
  });
});
