import { sections, type Field, type Section } from './fields.js';
import { isTable, type Layer, type Table } from './layers.js';
import { didYouMean } from '#sdk/nearest';
import type { ConfigProblem } from './problems.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** `BEDS_*` variables that are not keys of the configuration, with what they are for. */
export const OTHER_VARIABLES: Readonly<Record<string, string>> = {
  BEDS_CONFIG: 'Directory of beds.toml and env.toml, instead of config/.',
  BEDS_SESSION: 'Token of the session that orders and questions are sent with, before that of `beds login`.',
  BEDS_DEBUG: 'Set to 1: commands print the stack trace of an error.',
  BEDS_SERVERS: 'Newer private servers than the system has: mysql-9 or mariadb-11 (with RabbitMQ 4).',
  BEDS_RABBITMQ_URL: 'RabbitMQ to use instead of a private server, with an administrator.',
  BEDS_MARIADB_ADMIN_URL: 'MariaDB or MySQL to use instead of a private server, with an administrator.',
  BEDS_MONGODB_URL: 'MongoDB to use instead of a private server, with an administrator.',
};

/** Variables of the test runs and the benchmarks: their names are theirs. */
const FREE_PREFIXES = ['BEDS_TEST_', 'BEDS_BENCH_'] as const;

/** The values that `BEDS_<SECTION>_<KEY>` variables give, and the variables that mean nothing. */
export interface EnvironmentLayer extends Layer {
  readonly problems: readonly ConfigProblem[];
}

/** The variable of a path: `limits.maxBodyBytes` is BEDS_LIMITS_MAX_BODY_BYTES. */
export function variableName(path: readonly string[]): string {
  const words = path.map((word) => word.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('-', '_'));
  return ['BEDS', ...words].join('_').toUpperCase();
}

/**
 * Reads the variables. Tables that carry a name (`[stores.main]`) must exist in `below`: a variable changes them, and a
 * mistyped name is found. `named` are variables that the files mention as `${NAME}`.
 */
export function environmentLayer(env: Environment, below: Table, named: ReadonlySet<string>): EnvironmentLayer {
  const known = knownVariables(below);
  const values = new Map<string, Map<string, unknown>>();
  const sources = new Map<string, string>();
  const problems: ConfigProblem[] = [];

  for (const [variable, text] of Object.entries(env)) {
    if (text === undefined || !variable.startsWith('BEDS_') || isOther(variable, named)) continue;
    const target = known.get(variable);
    if (target === undefined) {
      const meant = didYouMean(variable, [...known.keys(), ...Object.keys(OTHER_VARIABLES)]);
      problems.push({ source: variable, path: '', message: `this variable is not known.${meant}` });
      continue;
    }
    const table = target.path.slice(0, -1).join('.');
    values.set(
      table,
      (values.get(table) ?? new Map<string, unknown>()).set(target.field.key, parse(text, target.field)),
    );
    sources.set(target.path.join('.'), variable);
  }
  return { values: nest(values), problems, source: (path) => sources.get(path.join('.')) };
}

interface Target {
  readonly path: readonly string[];
  readonly field: Field;
}

function knownVariables(below: Table): ReadonlyMap<string, Target> {
  const known = new Map<string, Target>();
  for (const section of sections) {
    for (const table of tablesOf(section, below)) {
      for (const field of section.fields) {
        const path = [...table, field.key];
        known.set(variableName(path), { path, field });
      }
    }
  }
  return known;
}

function tablesOf(section: Section, below: Table): readonly (readonly string[])[] {
  if (!section.named) return [[section.key]];
  const entries = below[section.key];
  return Object.keys(isTable(entries) ? entries : {}).map((entry) => [section.key, entry]);
}

function isOther(variable: string, named: ReadonlySet<string>): boolean {
  return (
    Object.hasOwn(OTHER_VARIABLES, variable) ||
    named.has(variable) ||
    FREE_PREFIXES.some((prefix) => variable.startsWith(prefix))
  );
}

/** The text as the field's type. What does not fit stays a text, for the schema to refuse. */
function parse(text: string, { type }: Field): unknown {
  if (type === 'number') return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text;
  if (type === 'integer') return /^-?\d+$/.test(text.trim()) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' || text === 'false' ? text === 'true' : text;
  if (type === 'array') return text.split(',').flatMap((item) => (item.trim() === '' ? [] : [item.trim()]));
  return text;
}

function nest(tables: ReadonlyMap<string, ReadonlyMap<string, unknown>>): Table {
  const root: Record<string, unknown> = {};
  for (const [path, values] of tables) {
    const [section = '', entry] = path.split('.');
    const table = Object.fromEntries(values);
    const existing = isTable(root[section]) ? root[section] : {};
    root[section] = entry === undefined ? { ...existing, ...table } : { ...existing, [entry]: table };
  }
  return root;
}
