import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isBedsError, type Template } from '@beds/sdk';
import { buildTemplate } from '@beds/sdk/build';
import type { Proof, ProofStep } from '#sdk/cli';
import { type CheckedSpecification, type ExampleSpec, playExample, prepareExample, simulate } from '#sdk/spec';
import { configSchema, type StoreConfig } from '../../config/schema.js';
import { applyObjects, readRuntimeAccounts } from '../../dba/index.js';
import { preflight } from '../../deploy/admit/preflight.js';
import { dbaErrors } from '../../errors/dba.js';
import type { StoreAdapter } from '../../stores/contract.js';
import { loadAdapters } from '../../stores/factory.js';
import { playRandomCalls } from './random-calls.js';
import type { ScratchDatabase, Tried } from './scratch-data.js';
import { openScratchStage, type ScratchStage } from './scratch-stage.js';

/**
 * Whether a database keeps what a specification says: its files are put into a database that exists for this alone, and played through the template as
 * the account of a host. It is dropped at the end; what a killed run has left the next one drops. What a server cannot show, because it has no
 * accounts or no transactions, is not proved there, and said by name.
 */

export interface ProveOptions {
  readonly specification: CheckedSpecification;
  /** With `template.ts` and `db/`. */
  readonly folder: string;
  readonly kind: StoreConfig['kind'];
  /** Of the server, with the account of its administrator. */
  readonly adminUrl: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: ProofStep) => void;
}

const RANDOM = { runs: 6, calls: 40 } as const;
const RACE = { rounds: 6, atOnce: 4 } as const;
const CLOSE_TIMEOUT_MS = 2_000;

/** n.b. an author has the driver of his database. */
const open = {
  mysql: async ({ adminUrl, specification }) =>
    (await import('./scratch-database.js')).openScratchDatabase(adminUrl, specification.domain),
  mongodb: async ({ adminUrl, specification }) =>
    (await import('./scratch-mongodb.js')).openScratchMongodb(adminUrl, specification),
} as const satisfies Readonly<Record<StoreConfig['kind'], (options: ProveOptions) => Promise<ScratchDatabase>>>;

export async function prove(options: ProveOptions): Promise<Proof> {
  const { specification, folder, signal, onStep } = options;
  const database = await open[options.kind](options);
  const state = mkdtempSync(join(tmpdir(), 'beds-prove-'));
  const steps: ProofStep[] = [];
  const notices: string[] = [];
  const notProved: string[] = [];
  const step = async (name: ProofStep['name'], work: () => Promise<Tried>): Promise<boolean> => {
    signal.throwIfAborted();
    const { tried, failures, notProved: left = [] } = await work();
    notProved.push(...left);
    if (tried === 0 && left.length > 0) return true;
    steps.push({ name, tried, failures });
    onStep({ name, tried, failures });
    return failures.length === 0;
  };
  const end = (): Proof => proofOf(folder, { server: database.server, steps, notices, notProved });
  let adapter: StoreAdapter | undefined;
  try {
    const prepared = await prepare(options, { database, state, step });
    if (prepared === undefined) return end();
    const { template, url, unkept } = prepared;
    adapter = prepared.adapter;
    const stage = await openScratchStage({
      ...{ specification, template, adapter, objects: prepared.objects },
      scratch: database.data,
    });
    await step('privileges', () => database.privileges(url, { specification, folder }));
    const playing = { specification, stage, signal, examples: playable(specification, unkept) };
    await step('examples', () => examples(playing));
    await step('races', () => races(playing));
    await step('random calls', async () => {
      const seed = createHash('sha256').update(JSON.stringify(specification.source)).digest().readInt32BE();
      return playRandomCalls({ specification, stage, seed, signal, without: unkept, ...RANDOM });
    });
    await stage.empty();
    await step('plans', async () => {
      const queries = await database.plans({ specification, folder });
      notices.push(...queries.notices);
      const views = await unindexed(specification, prepared);
      const failures = [...queries.failures, ...views.failures];
      return { ...queries, tried: queries.tried + views.tried, failures };
    });
    return end();
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
  /** Operations that need what this server lacks. */
  readonly unkept: ReadonlySet<string>;
}

interface Preparing {
  readonly database: ScratchDatabase;
  readonly state: string;
  readonly step: (name: ProofStep['name'], work: () => Promise<Tried>) => Promise<boolean>;
}

/** The files in the database, twice, and a connection as the account that they were granted to. Undefined: it did not come to that. */
async function prepare(
  { specification, folder, kind }: ProveOptions,
  { database, state, step }: Preparing,
): Promise<Prepared | undefined> {
  const { store } = specification.source;
  const stores = { [store]: { kind, adminUrl: database.url } };
  const put = { stores, folder: dirname(folder), domains: [basename(folder)], directory: state };
  let url = '';
  const isApplied = await step('files', async () => {
    const lack = await database.lacks({ specification, folder });
    if (lack !== undefined) return { tried: 1, failures: [lack] };
    try {
      const { applied, urls } = await applyObjects(put);
      url = urls[store] ?? '';
      const { user } = readRuntimeAccounts(state)[store] ?? {};
      if (user !== undefined) database.noteAccount(user);
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
  const config = configSchema.parse({ stores: { [store]: { kind, url, poolSize: 8 } } });
  const settings = config.stores[store] as StoreConfig;
  const adapter = (await loadAdapters({ [store]: settings }))((each) => each).get(store);
  if (adapter === undefined) throw dbaErrors.make('BEDS_DBA_SERVER_UNAVAILABLE');
  await adapter.open();
  const together = adapter.status().capabilities.transactions ? new Map<string, string>() : readTogether(folder);
  const isKept = ({ name }: { readonly name: string }): boolean => !together.has(name);
  // n.b. what this server cannot keep is found wrong there, and rightly so: the rest is tried without it.
  const kept = Object.entries(manifest.objects).filter(([, object]) => isKept(object));
  const objects = { ...manifest, objects: Object.fromEntries(kept) };
  const { objects: found, findings } = await preflight(objects, new Map([[store, adapter]]));
  const isFit = await step('template', () =>
    Promise.resolve({
      ...{ tried: kept.length, failures: findings.map(({ message }) => message) },
      notProved: together.size === 0 ? [] : [withoutTransactions(together)],
    }),
  );
  const unkept = new Set([...together.keys()].map((name) => operationOf(name, specification)));
  if (isFit) return { template: module.default, adapter, objects: found, key: manifest.key, url, unkept };
  await adapter.close(CLOSE_TIMEOUT_MS);
  return undefined;
}

/** Why an object of MongoDB changes several documents together, which a server without transactions does not keep: by its name. */
function readTogether(folder: string): ReadonlyMap<string, string> {
  const texts = readdirSync(join(folder, 'db'))
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(folder, 'db', name), 'utf8')) as Entry);
  return new Map(
    texts.flatMap(({ _id, body }): (readonly [string, string])[] =>
      _id === undefined || body?.together === undefined ? [] : [[_id, body.together]],
    ),
  );
}

interface Entry {
  readonly _id?: string;
  readonly body?: { readonly together?: string };
}

function operationOf(object: string, { domain, source: { revision = 1 } }: CheckedSpecification): string {
  const end = revision === 1 ? '' : `_v${String(revision)}`;
  return object.slice(domain.length + 1, object.length - end.length);
}

function withoutTransactions(together: ReadonlyMap<string, string>): string {
  const why = [...new Set(together.values())];
  return `what changes several documents together, for which this server has no transactions: ${[...together.keys()].join(', ')} (${why.join('; ')})`;
}

/** Examples in which nothing is called that this server does not keep. */
function playable({ source }: CheckedSpecification, unkept: ReadonlySet<string>): readonly ExampleSpec[] {
  return (source.examples ?? []).filter(
    ({ given, call }) => ![...given, call].some(({ operation }) => unkept.has(operation)),
  );
}

interface Playing {
  readonly specification: CheckedSpecification;
  readonly stage: ScratchStage;
  readonly signal: AbortSignal;
  readonly examples: readonly ExampleSpec[];
}

async function examples({ specification, stage, signal, examples: all }: Playing): Promise<Tried> {
  const failures: string[] = [];
  for (const example of all) {
    signal.throwIfAborted();
    await stage.empty();
    const wrong = await playExample(specification, example, stage);
    failures.push(...wrong.map((why) => `"${example.description}": ${why}`));
  }
  const left = (specification.source.examples ?? []).filter((example) => !all.includes(example));
  const these = left.map(({ description }) => `"${description}"`).join(', ');
  const notProved = left.length === 0 ? [] : [`examples with such operations: ${these}`];
  return { tried: all.length, failures, notProved };
}

/** For each operation the first call of it in the examples, with what is given before. */
function firstCalls(all: readonly ExampleSpec[]): readonly ExampleSpec[] {
  const first = new Map<string, ExampleSpec>();
  for (const { pass, ...example } of all) {
    const whole = pass === undefined ? example : { ...example, pass };
    const parts = example.given.map((call, place) => ({ ...example, given: example.given.slice(0, place), call }));
    for (const part of [...parts, whole]) if (!first.has(part.call.operation)) first.set(part.call.operation, part);
  }
  return [...new Set([...first.values(), ...all])];
}

/** Calls of the examples, several of each at once: what comes of it must be what comes of one after the other. */
async function races({ specification, stage, signal, examples: all }: Playing): Promise<Tried> {
  const failures: string[] = [];
  let tried = 0;
  for (const example of firstCalls(all)) {
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
async function unindexed({ records }: CheckedSpecification, { adapter, objects, key }: Prepared): Promise<Tried> {
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

function proofOf(folder: string, proof: Pick<Proof, 'server' | 'steps' | 'notices' | 'notProved'>): Proof {
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
