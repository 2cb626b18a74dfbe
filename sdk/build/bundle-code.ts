import { access } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as Esbuild from 'esbuild';
import type { BuildFailure, BuildOptions, BuildResult, Message } from 'esbuild';
import { HIDDEN_GLOBALS } from '../template/allowed-imports.js';
import { buildErrors } from './build-errors.js';
import { type BuildProblem, describeProblems, importersOf, problemOf, problemOfName } from './build-problems.js';
import { BrowserResolver, type GuardOptions, hasBrowserForm, importGuard, packageFolder } from './import-guard.js';
import { defineNames, findNames, markNames, WAYS_OUT } from './ways-out.js';

/** One module, and the map from it to the author's files. */
export interface BundledCode {
  readonly code: string;
  /** JSON. */
  readonly sourceMap: string;
  /** Packages that are in it as they are in browsers, because as in Node they could not be used. */
  readonly inBrowserForm: readonly string[];
}

/** What esbuild lets pass with less than an error, and the host cannot run. */
const REFUSED_FORMS: NonNullable<BuildOptions['logOverride']> = {
  'unsupported-dynamic-import': 'error',
  'empty-import-meta': 'error',
  'direct-eval': 'error',
};
/** Packages write these where they look for what surrounds them. What they ask for then is refused in the host. */
const REFUSED_TO_AUTHORS: NonNullable<BuildOptions['logOverride']> = {
  'unsupported-require-call': 'warning',
  'indirect-require': 'warning',
  'commonjs-variable-in-esm': 'warning',
};

/** n.b. in a checkout of BEDS the SDK is no package of node_modules. */
const SDK_FOLDER = fileURLToPath(new URL('../../', import.meta.url));

/** The file is never written under this name: it only makes paths in comments and source map relative to the entry. */
const OUTPUT_NAME = 'index.mjs';

/** Of Node's `process`, what a template has too. */
const OFFERED = ['version', 'versions', 'platform', 'arch', 'hrtime', 'uptime', 'nextTick', 'emitWarning'];
const LISTENING = ['on', 'once', 'off', 'addListener', 'prependListener', 'removeListener', 'removeAllListeners'];
const ofProcess = (member: string): string => `process.${member}`;

/** What the author's own code must not use. Packages may: most ask first, and do without. */
const NOT_THERE: readonly string[] = [
  ...new Set([
    ...WAYS_OUT,
    ...[...LISTENING, ...Object.getOwnPropertyNames(process)]
      .filter((member) => /^\w+$/.test(member) && !OFFERED.includes(member))
      .map(ofProcess),
    ...HIDDEN_GLOBALS,
    ...['__dirname', '__filename'],
  ]),
];

/** What the tools that packages are made for would put in. */
const OF_TOOLS: Readonly<Record<string, string>> = {
  'process.env.NODE_ENV': '"production"',
  'import.meta.env': '{"MODE":"production","PROD":true,"DEV":false,"SSR":true}',
  'import.meta.vitest': 'undefined',
  'import.meta.hot': 'undefined',
  'import.meta.webpackHot': 'undefined',
};

/** What packages find in place of what is not there. n.b. `Function.prototype` is a function that does nothing. */
const FOR_PACKAGES: Readonly<Record<string, string>> = {
  ...defineNames(WAYS_OUT, () => 'undefined'),
  ...defineNames(LISTENING.map(ofProcess), () => 'Function.prototype'),
  __dirname: '"/"',
  __filename: '"/index.js"',
  self: 'globalThis',
};

/**
 * Bundles `entry` and all it imports. Throws BEDS_BUILD_REFUSED with all findings, each with its place and a hint, or
 * BEDS_BUILD_NO_ESBUILD.
 */
export async function bundleCode(entry: string): Promise<BundledCode> {
  const path = resolve(entry);
  await access(path).catch((cause: unknown) => {
    const name = relative(process.cwd(), path) || basename(path);
    throw buildErrors.make('BEDS_BUILD_REFUSED', `The template cannot be built:\n- ${name} cannot be read`, { cause });
  });
  const esbuild = await import('esbuild').catch((cause: unknown) => {
    throw buildErrors.make('BEDS_BUILD_NO_ESBUILD', undefined, { cause });
  });
  const bundler = new Bundler(esbuild, path);
  try {
    return await bundler.bundle();
  } finally {
    await bundler.close();
  }
}

/** The bundling of one entry. A package that cannot be used as it is in Node is taken as it is in browsers. */
class Bundler {
  readonly #esbuild: typeof Esbuild;
  readonly #entry: string;
  readonly #directory: string;
  readonly #inBrowserForm = new Set<string>();
  readonly #browsers: BrowserResolver;

  constructor(esbuild: typeof Esbuild, entry: string) {
    this.#esbuild = esbuild;
    this.#entry = entry;
    this.#directory = dirname(entry);
    this.#browsers = new BrowserResolver((plugin) =>
      esbuild.context({ ...this.#options({}), platform: 'browser', plugins: [plugin] }),
    );
  }

  async bundle(): Promise<BundledCode> {
    let problems = await this.#check();
    while (this.#takeBrowserForms(problems)) problems = await this.#check();
    if (problems.length > 0) await this.#refuse(problems);
    const options = this.#options({ ...OF_TOOLS, ...FOR_PACKAGES });
    const { errors, code, sourceMap } = await this.#build({ ...options, format: 'esm' });
    if (errors.length > 0) await this.#refuse(errors.map(problemOf));
    const inBrowserForm = [...this.#inBrowserForm].map((folder) => folder.replace(/^.*[\\/]node_modules[\\/]/, ''));
    return { code, sourceMap: this.#withoutPackages(sourceMap), inBrowserForm };
  }

  /** The map with the texts of the author's files alone: those of packages, the SDK first, would be most of a small bundle. */
  #withoutPackages(sourceMap: string): string {
    const map = JSON.parse(sourceMap) as { readonly sources: readonly string[]; sourcesContent: (string | null)[] };
    const isKept = (file = ''): boolean => this.#isAuthors(file) && !this.#absolute(file).startsWith(SDK_FOLDER);
    map.sourcesContent = map.sourcesContent.map((text, at) => (isKept(map.sources[at]) ? text : null));
    return JSON.stringify(map);
  }

  async close(): Promise<void> {
    await this.#browsers.close();
  }

  /** Hosts run the bundle as the body of a function: what does not survive that form is found by building it once. */
  async #check(): Promise<readonly BuildProblem[]> {
    const options = this.#options({ ...OF_TOOLS, ...markNames(NOT_THERE) });
    const built = await this.#build({ ...options, format: 'cjs', sourcesContent: false });
    const forms = built.warnings.filter(
      ({ id, location }) => id in REFUSED_TO_AUTHORS && this.#isAuthors(location?.file),
    );
    return [...built.errors, ...forms].map(problemOf).concat(this.#namesIn(built));
  }

  #namesIn({ code, sourceMap }: Built): readonly BuildProblem[] {
    return findNames(NOT_THERE, code, sourceMap)
      .filter(({ file }) => this.#isAuthors(file))
      .map(problemOfName);
  }

  /** n.b. what the builder itself puts in has a colon in its name. */
  #isAuthors(file = ''): boolean {
    return packageFolder(this.#absolute(file)) === undefined && !file.includes(':');
  }

  /** Whether there is a package with a problem that has another form, not yet tried. */
  #takeBrowserForms(problems: readonly BuildProblem[]): boolean {
    const before = this.#inBrowserForm.size;
    for (const { file } of problems) {
      const folder = packageFolder(this.#absolute(file));
      if (folder !== undefined && hasBrowserForm(folder)) this.#inBrowserForm.add(folder);
    }
    return this.#inBrowserForm.size > before;
  }

  async #refuse(problems: readonly BuildProblem[]): Promise<never> {
    const options = this.#options({ ...OF_TOOLS, ...markNames(NOT_THERE) }, { isTracing: true });
    // As much as can be seen of who imports whom, and of names that the first problems kept from being looked for.
    const traced = await this.#build({ ...options, format: 'esm', logOverride: {}, metafile: true });
    const { metafile } = traced;
    const importers = metafile === undefined ? new Map<never, never>() : importersOf(metafile, basename(this.#entry));
    const names = this.#namesIn(traced).filter(
      ({ file, line, text }) =>
        !problems.some((each) => each.file === file && each.line === line && each.text === text),
    );
    const lines = describeProblems([...problems, ...names], importers, this.#directory);
    throw buildErrors.make('BEDS_BUILD_REFUSED', `The template cannot be built:\n${lines.join('\n')}`);
  }

  #absolute(file: string): string {
    return file === '' ? '' : resolve(this.#directory, file);
  }

  #options(define: Readonly<Record<string, string>>, guard: Pick<GuardOptions, 'isTracing'> = {}): BuildOptions {
    const inBrowserForm = this.#inBrowserForm;
    return {
      absWorkingDir: this.#directory,
      entryPoints: [this.#entry],
      outfile: join(this.#directory, OUTPUT_NAME),
      write: false,
      bundle: true,
      platform: 'node',
      target: 'node20.19',
      treeShaking: true,
      charset: 'utf8',
      legalComments: 'none',
      sourcemap: 'external',
      sourcesContent: true,
      supported: { 'top-level-await': false },
      logLevel: 'silent',
      logLimit: 0,
      logOverride: { ...REFUSED_FORMS, ...REFUSED_TO_AUTHORS },
      define,
      plugins: [
        importGuard({ inBrowserForm, resolveForBrowsers: (...asked) => this.#browsers.resolve(...asked), ...guard }),
      ],
    };
  }

  async #build(options: BuildOptions): Promise<Built> {
    try {
      const result = await this.#esbuild.build(options);
      const { warnings, metafile } = result;
      const text = (suffix: string): string =>
        result.outputFiles?.find(({ path }) => path.endsWith(suffix))?.text ?? '';
      return { errors: [], warnings, code: text(OUTPUT_NAME), sourceMap: text('.map'), metafile };
    } catch (error) {
      if (!isBuildFailure(error)) throw buildErrors.make('BEDS_BUILD_REFUSED', undefined, { cause: error });
      return { errors: error.errors, warnings: error.warnings, code: '', sourceMap: '', metafile: undefined };
    }
  }
}

interface Built extends Pick<BundledCode, 'code' | 'sourceMap'> {
  readonly errors: readonly Message[];
  readonly warnings: readonly Message[];
  readonly metafile: BuildResult['metafile'];
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return typeof error === 'object' && error !== null && Array.isArray((error as Partial<BuildFailure>).errors);
}
