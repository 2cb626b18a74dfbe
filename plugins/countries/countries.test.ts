import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testDomain, type FakesOf } from '@beds/sdk/testing';
import template from './template.js';

const shared = { region: 'Europe', subregion: 'Central Europe', area_km2: 80_000, languages: [], currencies: ['EUR'] };
const austria = { ...shared, code: 'AT', code3: 'AUT', name: 'Austria', capital: 'Vienna', neighbours: ['SK'] };
const slovakia = { ...shared, code: 'SK', code3: 'SVK', name: 'Slovakia', capital: 'Bratislava', neighbours: ['AT'] };

const populations: Readonly<Record<string, number>> = { AT: 1_600_000, SK: 400_000 };

type FakePeers = NonNullable<FakesOf<typeof template>['peers']>;

/** The domain cities, as far as a profile asks it. */
function fakeCities(asked: string[] = []): NonNullable<FakePeers['cities']> {
  const place = { id: 1, latitude: 0, longitude: 0 };
  const say = (what: string, country: string | null | undefined): string => {
    asked.push(`${what} ${String(country)}`);
    return String(country);
  };
  return {
    capitals: ({ country }) => [{ ...place, name: `Capital of ${say('capitals', country)}`, country, population: 1 }],
    totals: (input) => {
      const country = say('totals', input?.country);
      return [{ country, cities: 2, population: populations[country] ?? 0, largest: 0 }];
    },
    fetch: (query) => {
      const country = say('largest', 'where' in query ? (query.where?.country as string) : '');
      return { rows: [{ name: `Largest of ${country}`, country, population: populations[country] ?? 0 }] };
    },
  };
}

describe('countries', () => {
  it('draws a profile from both databases', async () => {
    const countries = testDomain(template, {
      views: { fetch: [austria, slovakia] },
      objects: { areas: () => [{ subregion: 'Central Europe', countries: 2, area_km2: 160_000 }] },
      peers: { cities: fakeCities() },
    });
    const profile = await countries.profile({ code: 'AT' });
    assert.equal(profile.country.name, 'Austria');
    assert.equal(profile.capital?.name, 'Capital of AT');
    assert.deepEqual(profile.cities, {
      cities: 2,
      population: 1_600_000,
      perKm2: 20,
      largest: [{ name: 'Largest of AT', country: 'AT', population: 1_600_000 }],
    });
    assert.deepEqual(profile.neighbours, [
      { code: 'SK', name: 'Slovakia', capital: 'Bratislava', largest: 'Largest of SK', cities: 2, population: 400_000 },
    ]);
    const { region } = profile;
    assert.deepEqual([region.countries, region.cities, region.rank], [2, 4, 1]);
  });

  it('asks everything at once after the first document, and counts truly', async () => {
    const asked: string[] = [];
    const countries = testDomain(template, {
      views: { fetch: [austria, slovakia] },
      objects: { areas: () => [] },
      peers: { cities: fakeCities(asked) },
    });
    const { calls } = await countries.profile({ code: 'SK' });
    // Its own document, the list of the region, a neighbour's document, and the areas besides what cities was asked.
    assert.equal(calls, asked.length + 4);
  });

  it('says that there is no such country', async () => {
    const countries = testDomain(template, { views: { fetch: [austria] } });
    await assert.rejects(countries.profile({ code: 'XX' }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  });

  it('imports each country with a call of its own', async () => {
    const countries = testDomain(template, { objects: { save: () => 1 } });
    assert.deepEqual(await countries.import({ countries: [austria, slovakia] }), { imported: 2 });
    assert.deepEqual(
      countries.$calls.map(({ args }) => args['code']),
      ['AT', 'SK'],
    );
  });

  it('refuses an import that is not a list of objects', async () => {
    const countries = testDomain(template);
    for (const [wrong, field] of [
      [{}, 'payload.countries'],
      [[], 'payload.countries'],
      [['AT'], 'payload.countries[0]'],
      [[null], 'payload.countries[0]'],
      [[{ ...austria, languages: [1] }], 'payload.countries[0].languages[0]'],
    ] as const) {
      await assert.rejects(countries.import({ countries: wrong as never }), { field });
    }
  });
});
