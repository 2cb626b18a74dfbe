import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import next from './next/template.js';
import template from './template.js';

/** What the database adds. */
const stored = { admin_code: '', population: 0, updated_at: '2026-01-01T00:00:00.000Z' };
const vienna = {
  latitude: 48.2,
  longitude: 16.4,
  id: 2761369,
  name: 'Vienna',
  country: 'AT',
  admin_code: '09',
  population: 1_691_468,
};
const graz = {
  latitude: 47,
  longitude: 15.4,
  id: 2778067,
  name: 'Graz',
  country: 'AT',
  admin_code: '06',
  population: 222_326,
};

const near = { id: 1, name: 'Vienna', country: 'AT', population: 1_691_468, distance_km: 0.5 };

describe('cities', () => {
  it('fetches what the view holds, in the order asked for', async () => {
    const cities = testDomain(template, { views: { fetch: [graz, vienna] } });
    const { rows } = await cities.fetch({
      where: { country: 'AT' },
      order: [{ column: 'population', direction: 'desc' }],
    });
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['Vienna', 'Graz'],
    );
  });

  it('creates with the procedure of the DBA and gives back its row', async () => {
    const cities = testDomain(template, {
      objects: {
        create: ({ name, country, latitude, longitude }) => ({ ...stored, id: 1, name, country, latitude, longitude }),
      },
    });
    const city = { name: 'Neustadt', country: 'AT', latitude: 47.8, longitude: 16.2 };
    assert.deepEqual(await cities.create(city), { ...stored, ...city, id: 1 });
  });

  it('says that there is no such city where an update or a delete meets none', async () => {
    const cities = testDomain(template, { objects: { update: () => undefined, delete: () => 0 } });
    await assert.rejects(cities.update(7, { population: 5 }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
    await assert.rejects(cities.delete(7), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  });

  it('imports a list as one call', async () => {
    const cities = testDomain(template, {
      objects: { import: (args) => ({ imported: args.cities.length }) },
    });
    assert.deepEqual(await cities.import({ cities: [vienna, graz] }), { imported: 2 });
    assert.equal(cities.$calls.length, 1);
  });

  it('refuses an import that is no list, is empty or is too long', async () => {
    const cities = testDomain(template);
    for (const wrong of ['Vienna', [], Array.from({ length: 2_001 }, () => vienna)]) {
      await assert.rejects(cities.import({ cities: wrong as never }), { field: 'payload.cities' });
    }
  });

  it('counts and sums by country', async () => {
    const totals = [{ country: 'AT', cities: 2, population: 1_913_794, largest: 1_691_468 }];
    const cities = testDomain(template, { objects: { totals: () => totals, count: () => 2 } });
    assert.deepEqual(await cities.totals({ country: 'AT' }), totals);
    assert.deepEqual(await cities.count(), { count: 2 });
  });
});

describe('cities 1.1.0', () => {
  it('can do all that 1.0.0 can, and more', () => {
    const before = Object.keys(template.operations);
    const after = Object.keys(next.operations);
    assert.deepEqual(
      before.filter((name) => !after.includes(name)),
      [],
    );
    assert.deepEqual(
      after.filter((name) => !before.includes(name)),
      ['nearest'],
    );
  });

  it('also says what kind of place a city is', async () => {
    const cities = testDomain(next, { views: { fetch: [{ ...vienna, feature_code: 'PPLC' }] } });
    const { rows } = await cities.fetch({ key: vienna.id });
    assert.equal(rows[0]?.feature_code, 'PPLC');
  });

  it('finds the nearest cities, five unless told otherwise', async () => {
    const cities = testDomain(next, {
      objects: { nearest: ({ wanted }) => Array.from({ length: wanted }, () => near) },
    });
    const found = await cities.nearest({ latitude: 48.2, longitude: 16.4 });
    assert.deepEqual(
      found,
      Array.from({ length: 5 }, () => near),
    );
    await assert.rejects(cities.nearest({ latitude: 91, longitude: 0 }), { field: 'payload.latitude' });
  });
});
