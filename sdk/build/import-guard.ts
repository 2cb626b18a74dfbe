import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildContext, OnResolveArgs, OnResolveResult, Plugin, PluginBuild, ResolveResult } from 'esbuild';
import { ALLOWED_IMPORTS } from '../template/allowed-imports.js';
import { alternativeTo, DRIVERS, packageOf } from './alternatives.js';
import { HARMLESS_MODULES } from './harmless-modules.js';

const SDK = '@beds/sdk';
/** Modules of Node that are required are wrapped: `require` is not there in an ES module. */
const BUILTIN = 'beds-builtin';
const HARMLESS = 'beds-harmless';
/** What a package has in Node alone, and leaves away in browsers. */
const EMPTY = 'beds-empty';
const OWN_NAMESPACES = [BUILTIN, HARMLESS, EMPTY];
const SKIP = Symbol('resolved by the guard itself');

/** Resolves as esbuild does for browsers. */
export type BrowserResolve = (specifier: string, from: OnResolveArgs) => Promise<ResolveResult>;

export interface GuardOptions {
  /** Folders of packages of which the files for browsers are taken. */
  readonly inBrowserForm: ReadonlySet<string>;
  readonly resolveForBrowsers: BrowserResolve;
  /** Leaves away what it would refuse, to see who imports whom. */
  readonly isTracing?: boolean;
}

/** Refuses, with their places, all imports that a bundle may not have, and puts harmless ones in place of others. */
export function importGuard(options: GuardOptions): Plugin {
  return {
    name: 'beds-import-guard',
    setup(build) {
      const guard = new ImportGuard(build, options);
      build.onResolve({ filter: /.*/ }, async (args) => {
        const result = await guard.judge(args);
        const isRefused = options.isTracing === true && (result?.errors?.length ?? 0) > 0;
        return isRefused ? { path: args.path, external: true } : result;
      });
      const load = (namespace: string, textOf: (path: string) => string): void => {
        build.onLoad({ filter: /.*/, namespace }, ({ path }) => ({ contents: textOf(path), loader: 'js' }));
      };
      load(BUILTIN, (path) => `import wrapped from ${JSON.stringify(path)}; module.exports = wrapped;`);
      load(HARMLESS, (path) => HARMLESS_MODULES[path] ?? '');
      load(EMPTY, () => '');
    },
  };
}

class ImportGuard {
  readonly #build: PluginBuild;
  readonly #options: GuardOptions;

  constructor(build: PluginBuild, options: GuardOptions) {
    this.#build = build;
    this.#options = options;
  }

  async judge(args: OnResolveArgs): Promise<OnResolveResult | undefined> {
    const { path, namespace, kind } = args;
    if (args.pluginData === SKIP || kind === 'entry-point') return undefined;
    if (namespace === BUILTIN) return { path, external: true, sideEffects: false };
    return (
      (await this.#inBrowserForm(args)) ??
      (isBuiltin(path) ? await this.#builtin(args) : undefined) ??
      (packageOf(path) === SDK ? await this.#sdk(args) : undefined) ??
      refuseForeign(path)
    );
  }

  async #inBrowserForm(args: OnResolveArgs): Promise<OnResolveResult | undefined> {
    const { inBrowserForm, resolveForBrowsers } = this.#options;
    if (inBrowserForm.size === 0 || OWN_NAMESPACES.includes(args.namespace)) return undefined;
    const importer = packageFolder(args.importer);
    const isInside = importer !== undefined && inBrowserForm.has(importer);
    if (isInside && isLeftAway(importer, args.path)) return { path: args.path, namespace: EMPTY };
    if (!isInside && args.path.startsWith('.')) return undefined;
    const { path, errors, sideEffects } = await resolveForBrowsers(args.path, args);
    const target = packageFolder(path);
    if (errors.length > 0 || target === undefined || !inBrowserForm.has(target)) return undefined;
    return isLeftAway(target, path) ? { path, namespace: EMPTY } : { path, sideEffects };
  }

  async #builtin(args: OnResolveArgs): Promise<OnResolveResult> {
    const { path, kind, importer, namespace } = args;
    const name = path.startsWith('node:') ? path : `node:${path}`;
    if (ALLOWED_IMPORTS.includes(name)) {
      return kind === 'require-call'
        ? { path: name, namespace: BUILTIN }
        : { path: name, external: true, sideEffects: false };
    }
    const isAuthors = packageFolder(importer) === undefined && !OWN_NAMESPACES.includes(namespace);
    if (isAuthors && name === 'node:process') {
      return refuse(path, 'There is a global process: version, platform, hrtime, uptime, nextTick and emitWarning.');
    }
    if (name in HARMLESS_MODULES) return { path: name, namespace: HARMLESS, sideEffects: false };
    // Some have the name of a package that does the same: esbuild looks for packages first where it builds for browsers.
    const installed = path === name ? undefined : await this.#options.resolveForBrowsers(path, args);
    if (installed?.errors.length === 0) return { path: installed.path };
    return refuse(path, alternativeTo(name));
  }

  /** An author without an installed copy of the SDK gets the one that builds. */
  async #sdk({ path, kind, resolveDir, importer }: OnResolveArgs): Promise<OnResolveResult> {
    if (path !== SDK) return refuse(path, `Templates import "${SDK}" only.`);
    const installed = await this.#build.resolve(path, { kind, resolveDir, importer, pluginData: SKIP });
    if (installed.errors.length === 0) return { path: installed.path, sideEffects: false };
    return { path: fileURLToPath(new URL('../template/authors.js', import.meta.url)), sideEffects: false };
  }
}

function refuse(path: string, hint: string): OnResolveResult {
  return { errors: [{ text: `"${path}" may not be imported by a template`, notes: [{ text: hint }] }] };
}

function refuseForeign(path: string): OnResolveResult | undefined {
  const isAddress = /^[a-z]+:/i.test(path);
  if (DRIVERS.has(packageOf(path))) return refuse(path, alternativeTo(packageOf(path)));
  if (!path.endsWith('.node') && !isAddress) return undefined;
  const text = path.endsWith('.node') ? `"${path}" is a native addon` : `"${path}" is an address`;
  return { errors: [{ text, notes: [{ text: 'A bundle is JavaScript only, and carries everything it needs.' }] }] };
}

const IN_PACKAGE = /^((?:.*[\\/])?node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/;

/** The folder of the installed package that a file belongs to; undefined for the author's own files. */
export function packageFolder(file: string): string | undefined {
  return IN_PACKAGE.exec(file)?.[1];
}

interface PackageJson {
  readonly browser?: string | Readonly<Record<string, string | false>>;
  readonly exports?: unknown;
  readonly imports?: unknown;
}

function readPackage(folder: string): PackageJson {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as PackageJson;
  } catch {
    // A package without one, or a broken one, is none that has a form for browsers.
    return {};
  }
}

/** Whether a package has other files where there is no Node. */
export function hasBrowserForm(folder: string): boolean {
  const { browser, exports, imports } = readPackage(folder);
  return browser !== undefined || /"(?:browser|node)":/.test(JSON.stringify([exports, imports]));
}

/** Whether `false` stands for this import, or for this file, in the table of what the package has in browsers. */
function isLeftAway(folder: string, path: string): boolean {
  const { browser } = readPackage(folder);
  if (typeof browser !== 'object') return false;
  const inside = path.startsWith(folder) ? `./${relative(folder, path).replaceAll('\\', '/')}` : path;
  return [inside, inside.replace(/\.[cm]?js$/, '')].some((name) => browser[name] === false);
}

/** esbuild as it resolves for browsers, started when it is asked first. */
export class BrowserResolver {
  readonly #openContext: (plugin: Plugin) => Promise<BuildContext>;
  #opened: Promise<{ readonly context: BuildContext; readonly resolve: PluginBuild['resolve'] }> | undefined;

  constructor(openContext: (plugin: Plugin) => Promise<BuildContext>) {
    this.#openContext = openContext;
  }

  readonly resolve: BrowserResolve = async (specifier, { kind, resolveDir, importer }) => {
    this.#opened ??= this.#open();
    const { resolve } = await this.#opened;
    return resolve(specifier, { kind, importer, resolveDir: resolveDir === '' ? dirname(importer) : resolveDir });
  };

  async close(): Promise<void> {
    if (this.#opened !== undefined) await (await this.#opened).context.dispose();
  }

  async #open(): Promise<{ readonly context: BuildContext; readonly resolve: PluginBuild['resolve'] }> {
    let resolve: PluginBuild['resolve'] | undefined;
    const context = await this.#openContext({
      name: 'beds-browser-resolver',
      setup: (build) => void (resolve = (...asked) => build.resolve(...asked)),
    });
    if (resolve === undefined) throw new TypeError('esbuild did not set its plugins up');
    return { context, resolve };
  }
}
