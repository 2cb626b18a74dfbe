import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isBedsError, type Template } from '@beds/sdk';
import { buildTemplate } from '@beds/sdk/build';
import type { Proof, ProofStep } from '#sdk/cli';
import {
  type CheckedSpecification,
  type ExampleSpec,
  playExample,
  prepareExample,
  simulate,
  type Specification,
} from '#sdk/spec';
import { configSchema, type StoreConfig } from '../../config/schema.js';
import { applyObjects } from '../../dba/index.js';
import { preflight } from '../../deploy/admit/preflight.js';
import { dbaErrors } from '../../errors/dba.js';
import type { StoreAdapter } from '../../stores/contract.js';
import { loadAdapters } from '../../stores/factory.js';
import { playRandomCalls } from './random-calls.js';
import {
  explainQueries,
  grantFailures,
  knowsZone,
  openScratchDatabase,
  type ScratchDatabase,
} from './scratch-database.js';
import { scratchMysql } from './scratch-data.js';
import { openScratchStage, type ScratchStage } from './scratch-stage.js';

/**
 * Whether a database keeps what a specification says: its files are put into a schema that exists for this alone, and played through the template as
 * the account of a host. The schema is dropped at the end; what a killed run has left the next one drops.
 */

export interface ProveOptions {
  readonly specification: CheckedSpecification;
  /** With `template.ts` and `db/`. */
  readonly folder: string;
  /** Of the server, with the account of its administrator. */
  readonly adminUrl: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: ProofStep) => void;
}

const RANDOM = { runs: 6, calls: 40 } as const;
const RACE = { rounds: 6, atOnce: 4 } as const;
const CLOSE_TIMEOUT_MS = 2_000;

export async function prove(options: ProveOptions): Promise<Proof> {
  const { specification, folder, signal, onStep } = options;
  const database = await openScratchDatabase(options.adminUrl, specification.domain);
  const state = mkdtempSync(join(tmpdir(), 'beds-prove-'));
  const steps: ProofStep[] = [];
  const notices: string[] = [];
  const step = async (name: ProofStep['name'], work: () => Promise<Omit<ProofStep, 'name'>>): Promise<boolean> => {
    signal.throwIfAborted();
    const done = { name, ...(await work()) };
    steps.push(done);
    onStep(done);
    return done.failures.length === 0;
  };
  let adapter: StoreAdapter | undefined;
  try {
    const prepared = await prepare(options, { database, state, step });
    if (prepared === undefined) return proofOf(folder, { server: database.server, steps, notices });
    const { template, url } = prepared;
    adapter = prepared.adapter;
    const stage = await openScratchStage({
      ...{ specification, template, adapter, objects: prepared.objects },
      scratch: scratchMysql(database.dba),
    });
    await step('privileges', () => grantFailures(database, url));
    await step('examples', () => examples(specification, stage, signal));
    await step('races', () => races(specification, stage, signal));
    await step('random calls', async () => {
      const seed = createHash('sha256').update(JSON.stringify(specification.source)).digest().readInt32BE();
      return playRandomCalls({ specification, stage, seed, signal, ...RANDOM });
    });
    await stage.empty();
    await step('plans', async () => {
      const queries = await explainQueries(database, { specification, folder });
      notices.push(...queries.notices);
      const views = await unindexed(specification, prepared);
      return { tried: queries.tried + views.tried, failures: [...queries.failures, ...views.failures] };
    });
    return proofOf(folder, { server: database.server, steps, notices });
  } finally {
    await adapter?.close(CLOSE_TIMEOUT_MS);
    await database.drop();
    rmSync(state, { recursive: true, force: true });
  }
}

interface Prepared {
  readonly template: Template;
  readonly adapter: StoreAdapter;
  readonly objects: Awaited<ReturnType<typeof preflight>>['objects'];
  readonly key: string;
  /** As the runtime account. */
  readonly url: string;
}

interface Preparing {
  readonly database: ScratchDatabase;
  readonly state: string;
  readonly step: (name: ProofStep['name'], work: () => Promise<Omit<ProofStep, 'name'>>) => Promise<boolean>;
}

/** The files in the schema, twice, and a connection as the account that they were granted to. Undefined: it did not come to that. */
async function prepare(
  { specification, folder }: ProveOptions,
  { database, state, step }: Preparing,
): Promise<Prepared | undefined> {
  const { store } = specification.source;
  const stores = { [store]: { kind: 'mysql', adminUrl: database.url } } as const;
  const put = { stores, folder: dirname(folder), domains: [basename(folder)], directory: state };
  let url = '';
  const { zone } = specification.source;
  const isApplied = await step('files', async () => {
    if (usesZone(folder) && !(await knowsZone(database, zone)))
      return { tried: 1, failures: [`The server does not know the time zone ${zone}. ${ZONES}`] };
    try {
      const { applied, urls } = await applyObjects(put);
      url = urls[store] ?? '';
      database.noteAccount(new URL(url).username);
      // n.b. a DBA runs them again after each change: what is there must not be in the way.
      await applyObjects({ ...put, force: true });
      return { tried: applied, failures: [] };
    } catch (error) {
      if (!isBedsError(error)) throw error;
      return { tried: 1, failures: [error.message] };
    }
  });
  if (!isApplied) return undefined;
  const { path, manifest } = await buildTemplate({ entry: join(folder, 'template.ts'), outDir: state });
  const module = (await import(pathToFileURL(join(path, 'index.mjs')).href)) as { readonly default: Template };
  const config = configSchema.parse({ stores: { [store]: { kind: 'mysql', url, poolSize: 8 } } });
  const settings = config.stores[store] as StoreConfig;
  const adapter = (await loadAdapters({ [store]: settings }))((each) => each).get(store);
  if (adapter === undefined) throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE');
  await adapter.open();
  const { objects, findings } = await preflight(manifest, new Map([[store, adapter]]));
  const isFit = await step('template', () =>
    Promise.resolve({ tried: Object.keys(manifest.objects).length, failures: findings.map(({ message }) => message) }),
  );
  if (isFit) return { template: module.default, adapter, objects, key: manifest.key, url };
  await adapter.close(CLOSE_TIMEOUT_MS);
  return undefined;
}

const ZONES = 'Fill its tables: mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql';

function usesZone(folder: string): boolean {
  return readdirSync(join(folder, 'db')).some((name) =>
    readFileSync(join(folder, 'db', name), 'utf8').includes('CONVERT_TZ'),
  );
}

type Steps = Omit<ProofStep, 'name'>;

async function examples(specification: CheckedSpecification, stage: ScratchStage, signal: AbortSignal): Promise<Steps> {
  const { examples: all = [] } = specification.source;
  const failures: string[] = [];
  for (const example of all) {
    signal.throwIfAborted();
    await stage.empty();
    const wrong = await playExample(specification, example, stage);
    failures.push(...wrong.map((why) => `"${example.description}": ${why}`));
  }
  return { tried: all.length, failures };
}

/** For each operation the first call of it in the examples, with what is given before. */
function firstCalls({ examples: all = [] }: Specification): readonly ExampleSpec[] {
  const first = new Map<string, ExampleSpec>();
  for (const { pass, ...example } of all) {
    const whole = pass === undefined ? example : { ...example, pass };
    const parts = example.given.map((call, place) => ({ ...example, given: example.given.slice(0, place), call }));
    for (const part of [...parts, whole]) if (!first.has(part.call.operation)) first.set(part.call.operation, part);
  }
  return [...new Set([...first.values(), ...all])];
}

/** Calls of the examples, several of each at once: what comes of it must be what comes of one after the other. */
async function races(specification: CheckedSpecification, stage: ScratchStage, signal: AbortSignal): Promise<Steps> {
  const failures: string[] = [];
  let tried = 0;
  for (const example of firstCalls(specification.source)) {
    const model = simulate(specification);
    const expected = await prepareExample(specification, example, model);
    if (expected === undefined) continue;
    const alone: boolean[] = [];
    while (alone.length < RACE.atOnce) alone.push((await model.call(expected)).ok);
    if (!alone.includes(true)) continue;
    await stage.empty();
    const real = await prepareExample(specification, example, stage);
    if (real === undefined) continue;
    await stage.keep();
    for (let round = 1; round <= RACE.rounds; round += 1) {
      signal.throwIfAborted();
      if (round > 1) await stage.putBack();
      const together = await Promise.all(alone.map(() => stage.call(real)));
      tried += 1;
      const isRight =
        together.every((outcome) => outcome.ok || outcome.error !== 'fault') &&
        together.filter(({ ok }) => ok).length === alone.filter(Boolean).length;
      if (isRight) continue;
      const wrong = together.find((outcome) => !outcome.ok && outcome.error === 'fault');
      const count = (list: readonly boolean[]): string => `${String(list.filter(Boolean).length)} succeed`;
      const fault = wrong?.ok === false ? ` (${wrong.message})` : '';
      failures.push(
        `${real.operation}, ${String(RACE.atOnce)} at once: ${count(together.map(({ ok }) => ok))}${fault}; one after the other: ${count(alone)}.`,
      );
      break;
    }
  }
  return { tried, failures };
}

const EXPLAIN_TIMEOUT_MS = 5_000;

/** Of the columns of views those for which the specification promises an index, and the server reads every row all the same. */
async function unindexed({ records }: CheckedSpecification, { adapter, objects, key }: Prepared): Promise<Steps> {
  const failures: string[] = [];
  let tried = 0;
  for (const [place, record] of records.entries()) {
    const view = objects[place === 0 ? 'fetch' : `${record.name}_records`];
    if (view?.kind !== 'view') continue;
    tried += 1;
    const promised = new Set([record.key[0], ...record.indexes.map(({ fields }) => fields[0]?.name)]);
    const { filters = [] } = (await adapter.findUnindexed(view, { key, timeoutMs: EXPLAIN_TIMEOUT_MS })) ?? {};
    // n.b. what expires reads as changed: a view computes these, whatever is stored.
    const computed = (record.expires?.set ?? []).map(({ name }) => name);
    const missing = filters.filter((name) => promised.has(name) && !computed.includes(name));
    failures.push(
      ...missing.map((name) => `A fetch from ${view.name} by ${name} reads every row: its index does not serve.`),
    );
  }
  return { tried, failures };
}

function proofOf(folder: string, proof: Pick<Proof, 'server' | 'steps' | 'notices'>): Proof {
  return { ...proof, ok: proof.steps.every(({ failures }) => failures.length === 0), of: filesHash(folder) };
}

/** Of all that was proved: what differs must be proved again. */
function filesHash(folder: string): string {
  const hash = createHash('sha256');
  const names = [
    'domain.json',
    'template.ts',
    ...readdirSync(join(folder, 'db'))
      .toSorted()
      .map((name) => join('db', name)),
  ];
  for (const name of names) hash.update(`${name}\n`).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}
