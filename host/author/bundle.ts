import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

/** The root of the checkout; this runs as dist/host/author/bundle.js. */
const ROOT = resolve(import.meta.dirname, '..', '..', '..');
const OUT = join('host', 'author', 'package', 'dist');

/** The package has one user, the command `beds`, which knows more of what it gets. */
const TYPES = 'export declare function createTools(place: unknown): unknown;\n';

/**
 * Makes the package @beds/tools of host/author: the command `beds` of the SDK asks databases and hosts with the host's own
 * code, and an author installs no host for it, nor a program that only calls anything of it. Drivers stay outside: they are
 * the author's, for the databases that he has.
 */
export async function bundleAuthorTools(): Promise<void> {
  const draft = `${OUT}.${process.pid}`;
  await build({
    absWorkingDir: ROOT,
    entryPoints: [join('host', 'author', 'index.ts')],
    outdir: draft,
    bundle: true,
    // What a driver is needed for is loaded with it.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    minifyWhitespace: true,
    minifySyntax: true,
    external: ['@beds/sdk/build', 'mysql2', 'mongodb', 'amqplib', 'esbuild'],
    plugins: [doorsOfTheSdk(), brokerDefinitions, englishOnly],
    logLevel: 'error',
  });
  await writeFile(join(ROOT, draft, 'index.d.ts'), TYPES);
  const [from, to] = [join(ROOT, draft), join(ROOT, OUT)];
  await rm(to, { recursive: true, force: true });
  await rename(from, to);
}

/** Names of this repository alone. */
function doorsOfTheSdk(): Plugin {
  const { imports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly imports: Readonly<Record<string, string>>;
  };
  return {
    name: 'doors-of-the-sdk',
    setup: (bundling) =>
      bundling.onResolve({ filter: /^#sdk\// }, ({ path }) => ({
        path: join(ROOT, imports[path] ?? path),
        sideEffects: false,
      })),
  };
}

/** The host looks for them in its folders, which the package does not have. */
const brokerDefinitions: Plugin = {
  name: 'broker-definitions',
  setup: (bundling) =>
    bundling.onLoad({ filter: /[\\/]host[\\/]brokers[\\/]definitions\.ts$/ }, ({ path }) => {
      const folder = dirname(path);
      const types = readdirSync(folder)
        .filter((type) => existsSync(join(folder, type, 'definition.ts')))
        .sort();
      const imports = types.map((type, at) => `import { definition as type${at} } from './${type}/definition.js';`);
      const entries = types.map((type, at) => `[${JSON.stringify(type)}, type${at}]`);
      const contents = `${imports.join('\n')}\nexport const brokerDefinitions = new Map([${entries.join(', ')}]);`;
      return { contents, resolveDir: folder };
    }),
};

/** zod brings its messages in fifty languages, 400 KB, of which none is shown. */
const englishOnly: Plugin = {
  name: 'english-only',
  setup: (bundling) =>
    bundling.onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/][\w-]+\.js$/ }, ({ path }) =>
      /[\\/](en|index)\.js$/.test(path)
        ? undefined
        : { contents: 'export default () => ({ localeError: () => undefined });' },
    ),
};

const [, program] = process.argv;
if (program !== undefined && import.meta.url === pathToFileURL(program).href) await bundleAuthorTools();
