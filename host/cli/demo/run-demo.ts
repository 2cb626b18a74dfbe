import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectBeds, type BedsClient } from '@beds/sdk/client';
import type { JsonObject } from '@beds/sdk';
import { askNodes, type AskOptions } from '../../admin/client.js';
import { readOwnerToken } from '../../admin/orders.js';
import { makeNames } from '../../amqp/names.js';
import { directoriesOf } from '../../config/load.js';
import type { Config } from '../../config/schema.js';
import { applyObjects, readRuntimeAccounts } from '../../dba/index.js';
import { startServices, type Services } from '../../dev-servers/index.js';
import { cliErrors } from '../../errors/cli.js';
import { startHost, type Host } from '../../main.js';
import { fileOutput } from '../../observe/log.js';
import type { CommandContext } from '../command.js';
import { readBundles } from '../../author/read-bundles.js';
import { administeredStores, neededServers, resolveConfig, type ServerUrls } from '../../author/resolve-config.js';
import { buildBundles, clearBundles, dropBundle, type DemoBundles } from './bundles.js';
import { countOf, loadData, readCities, readCountries } from './data.js';
import { MixedLoad } from './load.js';
import type { DemoReport, Narrator } from './report.js';
import { begin, goBack, requireServed, watchSwap } from './swap.js';

const IN_FLIGHT = 32;
const BEFORE_SWAP_MS = 2_500;
const AFTER_SWAP_MS = 2_000;
const BETWEEN_MS = 500;
const DOMAINS = ['cities', 'countries', 'users', 'sessions', 'audit', 'fleet', 'logs', 'metrics'];
const SHOWN_COUNTRY = 'DE';
const ANSWER_TIMEOUT_MS = 5_000;

/** What is running and has to be ended, the last first. */
export type Endings = (() => Promise<unknown>)[];

export interface Demo {
  readonly host: Host;
  readonly report: DemoReport;
}

interface Stage {
  readonly context: CommandContext;
  readonly narrator: Narrator;
  readonly endings: Endings;
  readonly directory: string;
  readonly pluginsDirectory: string;
}

/** The whole demonstration, step by step. What it starts it puts on `endings`, also when it does not come to its end. */
export async function runDemo(context: CommandContext, narrator: Narrator, endings: Endings): Promise<Demo> {
  const settings = context.config();
  const { state: directory, plugins: pluginsDirectory } = directoriesOf(context.projectRoot, settings);
  const stage: Stage = { context, narrator, endings, directory, pluginsDirectory };
  const servers = await startServers(settings, stage);
  await applyStep(settings, servers, stage);
  const resolved = resolveConfig(settings, servers, readRuntimeAccounts(directory));
  const config: Config = { ...resolved, dashboard: { ...resolved.dashboard, enabled: true } };
  const { url, prefix } = config.amqp;
  const session = (): Promise<string | undefined> => Promise.resolve(readOwnerToken(config, directory));
  const asking: AskOptions = { url, prefix, session, timeoutMs: ANSWER_TIMEOUT_MS, signal: context.signal };
  const bundles = await bundleStep(stage);
  const host = await hostStep(config, { bundles, asking }, stage);
  const client = await connectBeds({ url, name: 'beds demo', exchange: makeNames(prefix).requests });
  endings.push(() => client.close());
  await dataStep(client, stage);
  const report = await loadStep({ client, bundles, asking }, stage);
  return { host, report };
}

/** The servers that the configuration leaves to this checkout. Throws BEDS_SERVICES_*, BEDS_CLI_HOST_RUNNING. */
async function startServers(settings: Config, stage: Stage): Promise<ServerUrls> {
  const { context, narrator, endings, directory } = stage;
  const { env: environment, signal } = context;
  const need = neededServers(settings);
  const start = async (): Promise<ServerUrls> => {
    if (need.length === 0) return {};
    const onProgress = ({ words }: { readonly words: string }): void => narrator.say(words);
    const services = await startServices({ directory, need, environment, signal, onProgress });
    endings.push(() => services.close());
    await refuseSecondHost(settings, services, signal);
    return services;
  };
  return narrator.step('Servers: RabbitMQ, MariaDB and MongoDB, private to this checkout', start, () =>
    need.length === 0 ? 'all of them are configured by URL' : `${need.join(', ')} up`,
  );
}

/** Two hosts of one checkout would take the bundles away from under each other. */
async function refuseSecondHost({ amqp }: Config, { rabbitmq }: Services, signal: AbortSignal): Promise<void> {
  if (rabbitmq === undefined || rabbitmq.owned || rabbitmq.source === 'configured') return;
  const asking = { url: rabbitmq.url, prefix: amqp.prefix, timeoutMs: 500, signal };
  const [answer] = await askNodes('status', {}, asking).catch(() => []);
  if (answer === undefined) return;
  throw cliErrors.make('BEDS_CLI_HOST_RUNNING', `A host of this checkout is running already: ${answer.node}.`);
}

async function applyStep(settings: Config, servers: ServerUrls, stage: Stage): Promise<void> {
  const { context, narrator, directory } = stage;
  const stores = administeredStores(settings, servers);
  const apply = async (): Promise<string> => {
    if (Object.keys(stores).length === 0) return 'the stores are configured, so they are their DBA’s: `beds db apply`';
    const { applied, unchanged } = await applyObjects({
      stores,
      // The domains of the demonstration are those of the checkout, wherever bundles are dropped.
      folder: join(context.projectRoot, 'plugins'),
      directory,
      domains: DOMAINS,
      onProgress: (event) => {
        if (event.type === 'granted') narrator.say(`${event.store}: ${event.words}`);
      },
    });
    context.signal.throwIfAborted();
    return `${applied} files applied, ${unchanged} unchanged`;
  };
  await narrator.step("The DBA's objects: tables, views, procedures, grants", apply, (words) => words);
}

function bundleStep({ context, narrator, directory, pluginsDirectory }: Stage): Promise<DemoBundles> {
  const build = async (): Promise<DemoBundles> => {
    const bundles = await buildBundles(context.projectRoot, join(directory, 'demo'));
    const others = await clearBundles(bundles, pluginsDirectory);
    if (others.length > 0) narrator.say(`beside them in the plugins directory: ${others.join(', ')}`);
    const { citiesNext: _, ...dropped } = bundles;
    for (const bundle of Object.values(dropped)) await dropBundle(bundle, pluginsDirectory);
    context.signal.throwIfAborted();
    return bundles;
  };
  return narrator.step('The templates: each domain becomes one file', build, ({ cities, countries }) => {
    const kilobytes = (cities.bytes / 1_024).toFixed(0);
    return `cities ${cities.version} (${kilobytes} KB), countries ${countries.version}, users, sessions, audit, fleet, logs and metrics are dropped`;
  });
}

interface HostStep {
  readonly bundles: DemoBundles;
  readonly asking: AskOptions;
}

function hostStep(config: Config, { bundles, asking }: HostStep, stage: Stage): Promise<Host> {
  const { context, narrator, endings, directory } = stage;
  const start = async (): Promise<Host> => {
    const file = join(directory, 'demo-host.log');
    const host = await startHost({ config, projectRoot: context.projectRoot, logOutput: fileOutput(file) });
    endings.push(() => host.stop());
    context.signal.throwIfAborted();
    narrator.say(`its log: ${file}`);
    const { domains } = await requireServed(DOMAINS, asking);
    const before = domains.find(({ domain }) => domain === 'cities')?.live?.version;
    if (before === bundles.cities.version) return host;
    narrator.say(`cities ${before ?? '?'} served last; ${bundles.cities.version} takes over to begin with`);
    const [bundle] = await readBundles({ cwd: '/', paths: [bundles.cities.file] }, config.plugins);
    if (bundle !== undefined) await begin(bundle, asking);
    return host;
  };
  return narrator.step('The host', start, ({ node }) => `node ${node} serves`);
}

async function dataStep(client: BedsClient, { context: { signal }, narrator }: Stage): Promise<void> {
  const load = async (): Promise<string> => {
    const countries = { domain: 'countries', unit: 'countries', records: readCountries(), perRequest: 50 };
    const cities = { domain: 'cities', unit: 'cities', records: readCities(), perRequest: 1_000 };
    const first = await loadData(client, countries, { narrator, signal });
    return `${first}, ${await loadData(client, cities, { narrator, signal })}`;
  };
  await narrator.step('The data, over AMQP like everything else', load, (words) => words);
}

interface LoadStep extends HostStep {
  readonly client: BedsClient;
}

async function loadStep({ client, bundles, asking }: LoadStep, stage: Stage): Promise<DemoReport> {
  const { narrator, pluginsDirectory: directory } = stage;
  const { signal } = asking;
  const { cities, citiesNext } = bundles;
  const citiesBefore = await countOf(client, 'cities', signal);
  const { rows } = await client.domain('countries').fetch({ limit: 250 }, { signal });
  const countries = rows.flatMap(({ code }) => (typeof code === 'string' ? [code] : []));
  const load = new MixedLoad(client, { countries, inFlight: IN_FLIGHT, signal });
  const work = async (): Promise<DemoReport['swap']> => {
    try {
      await delay(BEFORE_SWAP_MS, undefined, { signal });
      narrator.say(`dropping cities ${citiesNext.version} into ${directory}`);
      const swap = await watchSwap({ bundle: citiesNext, directory, load }, asking);
      narrator.say(`cities ${citiesNext.version} answers; the load goes on`);
      await delay(AFTER_SWAP_MS, undefined, { signal });
      for (const { version } of [cities, citiesNext]) {
        const backMs = await goBack(version, asking);
        narrator.say(`beds rollback cities ${version}: on all threads after ${backMs} ms, from the host's copy`);
        await delay(BETWEEN_MS, undefined, { signal });
      }
      return swap;
    } finally {
      await load.end();
    }
  };
  const title = `A load of reads and writes, ${IN_FLIGHT} at once, while cities is swapped, taken back and forward`;
  const tally = (): string =>
    `${load.tally.answered.toLocaleString('en')} requests answered, ${load.tally.failed} failed`;
  const swap = await narrator.step(title, work, tally);
  const askedAt = performance.now();
  const profile = await client.domain('countries').call('profile', { code: SHOWN_COUNTRY }, { signal });
  const profileMs = performance.now() - askedAt;
  const citiesAfter = await countOf(client, 'cities', signal);
  return { load, swap, citiesBefore, citiesAfter, profile: profile as JsonObject, profileMs };
}
