import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectBeds, type BedsClient } from '@beds/sdk/client';
import type { JsonObject } from '@beds/sdk';
import { makeNames } from '../../amqp/names.js';
import { directoriesOf } from '../../config/load.js';
import type { Config } from '../../config/schema.js';
import { applyObjects, readRuntimeAccounts } from '../../dba/index.js';
import { startHost, type Host } from '../../main.js';
import { fileOutput } from '../../observe/log-output.js';
import type { CommandContext } from '../command.js';
import { administeredStores, resolveConfig, type ServerUrls } from '../resolve-config.js';
import { requireServed } from './ask-history.js';
import { buildBundles, clearBundles, dropBundle, type DemoBundles } from './bundles.js';
import { readCities, readCountries } from './data.js';
import { begin, goBack } from './go-back.js';
import { countOf, loadData } from './load-data.js';
import { MixedLoad } from './mixed-load.js';
import type { Endings } from './endings.js';
import type { Narrator } from './narrator.js';
import { startServers } from './servers.js';
import type { DemoReport } from './summary.js';
import { watchSwap } from './watch-swap.js';

const IN_FLIGHT = 32;
const BEFORE_SWAP_MS = 2_500;
const AFTER_SWAP_MS = 2_000;
const BETWEEN_MS = 500;
const SHOWN_COUNTRY = 'DE';

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
  const directories = directoriesOf(context.projectRoot, settings);
  const stage: Stage = {
    context,
    narrator,
    endings,
    directory: directories.state,
    pluginsDirectory: directories.plugins,
  };
  const servers = await startServers(settings, stage);
  await applyStep(settings, servers, stage);
  const config = resolveConfig(settings, servers, readRuntimeAccounts(stage.directory));
  const bundles = await bundleStep(stage);
  const host = await hostStep(config, bundles, stage);
  const client = await connectBeds({
    url: config.amqp.url,
    name: 'beds demo',
    exchange: makeNames(config.amqp.prefix).requests,
  });
  endings.push(() => client.close());
  await dataStep(client, stage);
  const report = await loadStep({ client, config, bundles }, stage);
  return { host, report };
}

async function applyStep(settings: Config, servers: ServerUrls, stage: Stage): Promise<void> {
  const { context, narrator, directory } = stage;
  const stores = administeredStores(settings, servers);
  await narrator.step("The DBA's objects: tables, views, procedures, grants", async () => {
    if (Object.keys(stores).length === 0) return 'the stores are configured, so they are their DBA’s: `beds db apply`';
    const { applied, unchanged } = await applyObjects({
      stores,
      // The domains of the demonstration are those of the checkout, wherever bundles are dropped.
      folder: join(context.projectRoot, 'plugins'),
      directory,
      domains: ['cities', 'countries'],
      onProgress: (event) => {
        if (event.type === 'granted') narrator.say(`${event.store}: ${event.words}`);
      },
    });
    context.signal.throwIfAborted();
    return `${String(applied)} files applied, ${String(unchanged)} in place already`;
  });
}

async function bundleStep({ context, narrator, directory, pluginsDirectory }: Stage): Promise<DemoBundles> {
  let built: DemoBundles | undefined;
  await narrator.step('The templates: each domain becomes one file', async () => {
    const bundles = await buildBundles(context.projectRoot, join(directory, 'demo'));
    built = bundles;
    const others = await clearBundles(bundles, pluginsDirectory);
    if (others.length > 0) narrator.say(`beside them in the plugins directory: ${others.join(', ')}`);
    for (const bundle of [bundles.cities, bundles.countries]) await dropBundle(bundle, pluginsDirectory);
    context.signal.throwIfAborted();
    const kilobytes = (bundles.cities.bytes / 1_024).toFixed(0);
    return `cities ${bundles.cities.version} (${kilobytes} KB) and countries ${bundles.countries.version} are dropped`;
  });
  return built as DemoBundles;
}

async function hostStep(
  config: Config,
  bundles: DemoBundles,
  { context, narrator, endings, directory }: Stage,
): Promise<Host> {
  let started: Host | undefined;
  await narrator.step('The host', async () => {
    const file = join(directory, 'demo-host.log');
    const host = await startHost({ config, projectRoot: context.projectRoot, logOutput: fileOutput(file) });
    endings.push(() => host.stop());
    started = host;
    context.signal.throwIfAborted();
    const status = await requireServed(['cities', 'countries'], { config, signal: context.signal });
    narrator.say(`its log: ${file}`);
    const before = status.domains.find(({ domain }) => domain === 'cities')?.live?.version;
    if (before !== bundles.cities.version) {
      narrator.say(
        `cities ${before ?? '?'} served last and serves again; ${bundles.cities.version} takes over to begin with`,
      );
      await begin(bundles.cities, { config, signal: context.signal });
    }
    return `node ${host.node} serves with ${String(status.threads.length)} broker thread(s)`;
  });
  return started as Host;
}

async function dataStep(client: BedsClient, { context: { signal }, narrator }: Stage): Promise<void> {
  await narrator.step('The data, over AMQP like everything else', async () => {
    const cities = { domain: 'cities', unit: 'cities', records: readCities(), perRequest: 1_000 };
    const countries = { domain: 'countries', unit: 'countries', records: readCountries(), perRequest: 50 };
    const words = [
      await loadData(client, countries, { narrator, signal }),
      await loadData(client, cities, { narrator, signal }),
    ];
    return words.join(', ');
  });
}

interface LoadStep {
  readonly client: BedsClient;
  readonly config: Config;
  readonly bundles: DemoBundles;
}

async function loadStep({ client, config, bundles }: LoadStep, stage: Stage): Promise<DemoReport> {
  const { context, narrator, pluginsDirectory: directory } = stage;
  const { signal } = context;
  const citiesBefore = await countOf(client, 'cities', signal);
  const { rows } = await client.domain('countries').fetch({ limit: 250 }, { signal });
  const countries = rows.flatMap(({ code }) => (typeof code === 'string' ? [code] : []));
  const load = new MixedLoad(client, { countries, inFlight: IN_FLIGHT, signal });
  let swap: DemoReport['swap'] | undefined;
  await narrator.step(
    `A load of reads and writes, ${String(IN_FLIGHT)} at once, while cities is swapped, taken back and forward`,
    async () => {
      try {
        await delay(BEFORE_SWAP_MS, undefined, { signal });
        narrator.say(`dropping cities ${bundles.citiesNext.version} into ${directory}`);
        swap = await watchSwap({ bundle: bundles.citiesNext, directory, load, config, signal });
        narrator.say(`cities ${bundles.citiesNext.version} answers; the load goes on`);
        await delay(AFTER_SWAP_MS, undefined, { signal });
        for (const { version } of [bundles.cities, bundles.citiesNext]) {
          const backMs = await goBack(version, { config, signal });
          narrator.say(
            `beds rollback cities ${version}: on all threads after ${String(backMs)} ms, from the host's copy`,
          );
          await delay(BETWEEN_MS, undefined, { signal });
        }
      } finally {
        await load.end();
      }
      return `${load.tally.answered.toLocaleString('en')} requests answered, ${String(load.tally.failed)} failed`;
    },
  );
  const askedAt = performance.now();
  const profile = await client.domain('countries').call('profile', { code: SHOWN_COUNTRY }, { mode: 'read', signal });
  const profileMs = performance.now() - askedAt;
  const citiesAfter = await countOf(client, 'cities', signal);
  return {
    load,
    swap: swap as DemoReport['swap'],
    citiesBefore,
    citiesAfter,
    profile: profile as JsonObject,
    profileMs,
  };
}
