import { notFound, t, type Call, type ShownOf } from '@beds/sdk';
import { area, country, type definition } from './definition.js';
import { Sources, type City, type Country, type Totals } from './sources.js';

const city = t.object({ name: t.string(), country: t.string(), population: t.int() });
const totals = t.object({ cities: t.int(), population: t.int() });
const group = totals.extend({ name: t.string().optional(), countries: t.int(), largestOfEach: t.list(city) });

/** All that both databases know of a country. */
export const profile = t.object({
  country: country.omit('code3', 'un_member', 'neighbours'),
  capital: city.optional(),
  cities: totals.extend({ perKm2: t.number().optional(), largest: t.list(city) }),
  neighbours: t.list(
    totals.extend({
      code: t.string(),
      name: t.string(),
      capital: t.string().optional(),
      largest: t.string().optional(),
    }),
  ),
  subregion: group,
  region: group.extend({ areas: t.list(area), rank: t.int() }),
  /** How many calls it took. */
  calls: t.int(),
});

type Profile = ShownOf<typeof profile>;

export interface ProfileRequest {
  readonly code: string;
  /** How many cities to name. */
  readonly largest: number;
}

/** One country of a region, with what the cities say of it. */
interface Member {
  readonly country: Country;
  readonly totals: Totals;
  readonly largest: City | undefined;
}

/**
 * A country from both databases. Once its document is known, everything else is asked at once: well over a hundred calls
 * for a country of Europe.
 */
export async function profileOf(request: ProfileRequest, call: Call<unknown, typeof definition>): Promise<Profile> {
  const sources = new Sources(call);
  const [country] = await sources.countries({ code: request.code });
  if (country === undefined) throw notFound('There is no such country.');
  const { region } = country;
  const [capital, largest, neighbours, members, areas] = await Promise.all([
    sources.capital(request.code),
    sources.largest(request.code, request.largest),
    Promise.all((country.neighbours ?? []).map((code) => neighbour(code, sources))),
    membersOf(region, sources),
    sources.areas(region),
  ]);
  const own = members.find((member) => member.country.code === request.code)?.totals;
  return {
    country: describe(country),
    capital: capital === undefined ? null : plain(capital),
    cities: { ...summary(own === undefined ? [] : [own]), perKm2: perKm2(own, country), largest: largest.map(plain) },
    neighbours: neighbours.filter((each) => each !== null),
    subregion: describeGroup(
      country.subregion,
      members.filter((each) => each.country.subregion === country.subregion),
    ),
    region: { ...describeGroup(region, members), areas, rank: rankOf(request.code, members) },
    calls: sources.calls,
  };
}

async function membersOf(region: string, sources: Sources): Promise<readonly Member[]> {
  const countries = await sources.countries({ region });
  return Promise.all(
    countries.map(async (country) => {
      const [totals, [largest]] = await Promise.all([sources.totals(country.code), sources.largest(country.code, 1)]);
      return { country, totals, largest };
    }),
  );
}

async function neighbour(code: string, sources: Sources): Promise<Profile['neighbours'][number] | null> {
  const [[country], totals, [largest]] = await Promise.all([
    sources.countries({ code }),
    sources.totals(code),
    sources.largest(code, 1),
  ]);
  if (country === undefined) return null;
  return { code, name: country.name, capital: country.capital, largest: largest?.name ?? null, ...totals };
}

function describe(country: Country): Profile['country'] {
  const { code, name, official_name, capital, region, subregion, area_km2, landlocked, languages, currencies } =
    country;
  return { code, name, official_name, capital, region, subregion, area_km2, landlocked, languages, currencies };
}

function describeGroup(name: string | null, members: readonly Member[]): Profile['subregion'] {
  const cities = members.flatMap(({ largest }) => (largest === undefined ? [] : [largest]));
  const largest = cities.sort((a, b) => b.population - a.population).slice(0, 5);
  const totals = summary(members.map((member) => member.totals));
  return { name, countries: members.length, ...totals, largestOfEach: largest.map(plain) };
}

function summary(totals: readonly Totals[]): Totals {
  return {
    cities: totals.reduce((sum, each) => sum + each.cities, 0),
    population: totals.reduce((sum, each) => sum + each.population, 0),
  };
}

/** Its place by inhabitants of cities; 1 is the most populous. */
function rankOf(code: string, members: readonly Member[]): number {
  const own = members.find((member) => member.country.code === code)?.totals.population ?? 0;
  return 1 + members.filter((member) => member.totals.population > own).length;
}

function perKm2(totals: Totals | undefined, { area_km2: area }: Country): number | null {
  if (totals === undefined || area === null || area <= 0) return null;
  return Math.round((totals.population / area) * 10) / 10;
}

function plain({ name, country, population }: City): City {
  return { name, country, population };
}
