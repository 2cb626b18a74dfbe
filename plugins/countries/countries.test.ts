import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DomainCaller, JsonObject } from '@beds/sdk';
import { testTemplate } from '@beds/sdk/testing';
import template from './template.js';

const shared = { region: 'Europe', subregion: 'Central Europe', area_km2: 80_000, languages: [], currencies: ['EUR'] };
const austria = { ...shared, code: 'AT', code3: 'AUT', name: 'Austria', capital: 'Vienna', neighbours: ['SK'] };
const slovakia = { ...shared, code: 'SK', code3: 'SVK', name: 'Slovakia', capital: 'Bratislava', neighbours: ['AT'] };

const populations: Readonly<Record<string, number>> = { AT: 1_600_000, SK: 400_000 };

/** The domain cities, as far as a profile asks it. */
function fakeCities(asked: string[] = []): Partial<DomainCaller> {
  return {
    call: (operation, input = {}) => {
      const country = input['country'] as string;
      asked.push(`${operation} ${country}`);
      if (operation === 'capitals') return Promise.resolve([{ name: `Capital of ${country}`, population: 1 }]);
      return Promise.resolve([{ country, cities: 2, population: populations[country] ?? 0 }]);
    },
    fetch: ({ where }) => {
      const country = where?.['country'] as string;
      asked.push(`largest ${country}`);
      return Promise.resolve({ rows: [{ name: `Largest of ${country}`, population: populations[country] ?? 0 }] });
    },
  };
}

describe('countries', () => {
  it('draws a profile from both databases', async () => {
    const countries = testTemplate(template, {
      views: { fetch: [austria, slovakia] },
      objects: { areas: () => [{ subregion: 'Central Europe', countries: 2, area_km2: 160_000 }] },
      domains: { cities: fakeCities() },
    });
    const profile = await countries.call('profile', { code: 'AT' });
    assert.equal((profile['country'] as JsonObject)['name'], 'Austria');
    assert.equal((profile['capital'] as JsonObject)['name'], 'Capital of AT');
    assert.deepEqual(profile['cities'], {
      cities: 2,
      population: 1_600_000,
      perKm2: 20,
      largest: [{ name: 'Largest of AT', country: 'AT', population: 1_600_000 }],
    });
    assert.deepEqual(profile['neighbours'], [
      { code: 'SK', name: 'Slovakia', capital: 'Bratislava', largest: 'Largest of SK', cities: 2, population: 400_000 },
    ]);
    const region = profile['region'] as JsonObject;
    assert.deepEqual([region['countries'], region['cities'], region['rank']], [2, 4, 1]);
  });

  it('asks everything at once after the first document, and counts truly', async () => {
    const asked: string[] = [];
    const countries = testTemplate(template, {
      views: { fetch: [austria, slovakia] },
      objects: { areas: () => [] },
      domains: { cities: fakeCities(asked) },
    });
    const { calls } = await countries.call('profile', { code: 'SK' });
    // Its own document, the list of the region, a neighbour's document, and the areas besides what cities was asked.
    assert.equal(calls, asked.length + 4);
  });

  it('says that there is no such country', async () => {
    const countries = testTemplate(template, { views: { fetch: [austria] } });
    await assert.rejects(countries.call('profile', { code: 'XX' }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  });

  it('imports each country with a call of its own', async () => {
    const countries = testTemplate(template, { objects: { save: () => 1 } });
    assert.deepEqual(await countries.call('import', { countries: [austria, slovakia] }), { imported: 2 });
    assert.deepEqual(
      countries.calls.map(({ args }) => args['code']),
      ['AT', 'SK'],
    );
  });

  it('refuses an import that is not a list of objects', async () => {
    const countries = testTemplate(template);
    for (const wrong of [{}, [], ['AT'], [null]]) {
      await assert.rejects(countries.call('import', { countries: wrong }), { field: 'payload.countries' });
    }
  });
});
