import { statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { crossCheck } from './cross-checks.js';
import { environmentLayer, type Environment } from './environment.js';
import { sections } from './fields.js';
import { mergeLayers, readTomlFile, sourceOf, type Layer, type Merged } from './layers.js';
import { configInvalid, schemaProblems, type ConfigProblem } from './problems.js';
import { ownStores, withPossibleRoles } from '../roles.js';
import { configSchema, type Config } from './schema.js';
import { expandSecrets, type Expanded } from './secrets.js';

export interface ConfigOrigin {
  /** The checkout. Names of files in messages are relative to it. */
  readonly projectRoot: string;
  /** BEDS_CONFIG is the directory of beds.toml and env.toml; without it, `config` of the project. */
  readonly env: Environment;
}

/** A configuration and where it comes from, or everything that is wrong with it. */
export interface ConfigReading {
  /** Undefined when there are problems. */
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  /** Dotted path to the file or variable of the effective value. A path that is absent has its default. */
  readonly sources: ReadonlyMap<string, string>;
  /** Dotted path to the text as written, for values that hold a `${NAME}`: print this, not the value. */
  readonly written: ReadonlyMap<string, string>;
}

/**
 * The configuration of this node, deep-frozen: beds.toml, then env.toml, then `BEDS_*` variables, later ones winning.
 * Throws BEDS_CONFIG_INVALID with every problem in its message, and no secret.
 */
export function loadConfig(origin: ConfigOrigin): Config {
  const { config, problems } = readConfig(origin);
  if (config === undefined) throw configInvalid(problems);
  return config;
}

/** As `loadConfig`, but gives back the problems, and says where each value comes from. */
export function readConfig(origin: ConfigOrigin): ConfigReading {
  const { env } = origin;
  const directory = resolve(origin.projectRoot, env['BEDS_CONFIG'] ?? 'config');
  const files = ['beds.toml', 'env.toml'].map((name) => readFileLayer(join(directory, name), origin.projectRoot, env));
  const named = new Set(files.flatMap((file) => [...file.expanded.names]));
  const below = mergeLayers([defaultLayer(files), ...files]);
  const environment = environmentLayer(env, below.values, named);
  const merged = mergeLayers([defaultLayer(files), ...files, environment]);

  const { config, problems } = validate(merged);
  const { unset, idle, hasKey } = unsetOf(files, config);
  const all = [
    ...missingDirectory(directory, origin.projectRoot, env),
    ...files.flatMap((file) => file.problems),
    ...unset,
    ...environment.problems,
    ...problems,
  ];
  return {
    config: all.length === 0 && config !== undefined ? deepFreeze(withoutSecrets(config, idle, hasKey)) : undefined,
    problems: all,
    sources: merged.sources,
    written: writtenTexts(files, merged),
  };
}

interface FileLayer extends Layer {
  readonly expanded: Expanded;
  readonly problems: readonly ConfigProblem[];
}

function readFileLayer(path: string, projectRoot: string, env: Environment): FileLayer {
  const source = nameOf(path, projectRoot);
  const { values, problem } = readTomlFile(path);
  const expanded = expandSecrets(values, source, env);
  return {
    values: expanded.values,
    expanded,
    source: () => source,
    problems: problem === undefined ? expanded.problems : [{ source, path: '', message: problem }],
  };
}

const MODEL_KEY = 'assistant.apiKey';

/**
 * Variables that are not set; `idle`: stores that need some for their URLs, and that this node does not open. The key of a model
 * is needed by who asks one: no host does.
 */
function unsetOf(
  files: readonly FileLayer[],
  config: Config | undefined,
): { readonly unset: readonly ConfigProblem[]; readonly idle: readonly string[]; readonly hasKey: boolean } {
  const found = files.flatMap(({ expanded }) => expanded.unset);
  const all = found.filter(({ path }) => path !== MODEL_KEY);
  const hasKey = all.length === found.length;
  if (config === undefined || all.length === 0) return { unset: all, idle: [], hasKey };
  const own = ownStores(withPossibleRoles(config));
  const others = Object.keys(config.stores).filter((store) => !Object.hasOwn(own, store));
  const urlOf = (store: string): string => `stores.${store}.url`;
  return {
    unset: all.filter(({ path }) => !others.some((store) => urlOf(store) === path)),
    idle: others.filter((store) => all.some(({ path }) => path === urlOf(store))),
    hasKey,
  };
}

/** n.b. what is left of a URL without its password, or of a key without its variable, is none to be tried. */
function withoutSecrets(config: Config, stores: readonly string[], hasKey: boolean): Config {
  const emptied = stores.flatMap((name) => {
    const store = config.stores[name];
    return store === undefined ? [] : [[name, { ...store, url: '' }] as const];
  });
  const assistant = hasKey ? config.assistant : { ...config.assistant, apiKey: '' };
  return { ...config, assistant, stores: { ...config.stores, ...Object.fromEntries(emptied) } };
}

/** Named tables (`[brokers.rBroker]`) that no file speaks of, so that a variable can change them too. */
function defaultLayer(files: readonly Layer[]): Layer {
  const unsaid = sections.filter(({ key, named }) => named && !files.some(({ values }) => Object.hasOwn(values, key)));
  return {
    values: Object.fromEntries(unsaid.map((section) => [section.key, section.default])),
    source: () => 'default',
  };
}

function validate(merged: Merged): Pick<ConfigReading, 'config' | 'problems'> {
  const parsed = configSchema.safeParse(merged.values);
  if (parsed.success) {
    const problems = crossProblems(parsed.data, merged);
    return { config: problems.length === 0 ? parsed.data : undefined, problems };
  }
  const problems = schemaProblems(parsed.error.issues, merged);
  // Problems between the other sections are reported at the same time: a faulty section is replaced by its defaults.
  const faulty = new Set(problems.map(({ path }) => path.split('.')[0]));
  const sound = Object.fromEntries(Object.entries(merged.values).filter(([section]) => !faulty.has(section)));
  return { config: undefined, problems: [...problems, ...crossProblems(configSchema.parse(sound), merged, faulty)] };
}

function crossProblems(config: Config, merged: Merged, faulty?: ReadonlySet<string | undefined>): ConfigProblem[] {
  return crossCheck(config)
    .filter(({ paths }) => !paths.some((path) => faulty?.has(path.split('.')[0])))
    .map(({ paths: [path], message }) => ({ source: sourceOf(merged.sources, path.split('.')), path, message }));
}

function missingDirectory(directory: string, projectRoot: string, env: Environment): readonly ConfigProblem[] {
  if (env['BEDS_CONFIG'] === undefined || statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true)
    return [];
  return [{ source: 'BEDS_CONFIG', path: '', message: `there is no directory ${nameOf(directory, projectRoot)}.` }];
}

function writtenTexts(files: readonly FileLayer[], merged: Merged): ReadonlyMap<string, string> {
  const texts = files.flatMap(({ expanded, source }) =>
    [...expanded.written].filter(([path]) => merged.sources.get(path) === source([])),
  );
  return new Map(texts);
}

function nameOf(path: string, projectRoot: string): string {
  const name = relative(projectRoot, path);
  return name.startsWith('..') ? path : name;
}

/** Freezes plain data to its last leaf, and gives it back. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}

export interface Directories {
  /** `state.directory`: private servers, staged bundles, history and runtime accounts. */
  readonly state: string;
  /** `plugins.directory`: bundles that are dropped in, and the sources of domains. */
  readonly plugins: string;
}

/** The directories of the configuration, absolute. A relative one starts at the checkout. */
export function directoriesOf(projectRoot: string, { state, plugins }: Pick<Config, 'state' | 'plugins'>): Directories {
  return {
    state: resolve(projectRoot, state.directory),
    plugins: resolve(projectRoot, plugins.directory),
  };
}
