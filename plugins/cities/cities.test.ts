import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testTemplate } from '@beds/sdk/testing';
import next from './next/template.js';
import template from './template.js';

const vienna = { id: 2761369, name: 'Vienna', country: 'AT', admin_code: '09', population: 1_691_468 };
const graz = { id: 2778067, name: 'Graz', country: 'AT', admin_code: '06', population: 222_326 };

describe('cities', () => {
  it('fetches what the view holds, in the order asked for', async () => {
    const cities = testTemplate(template, { views: { fetch: [graz, vienna] } });
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
    const cities = testTemplate(template, { objects: { create: (args) => [{ id: 1, ...args }] } });
    const city = { name: 'Neustadt', country: 'AT', latitude: 47.8, longitude: 16.2 };
    assert.deepEqual(await cities.create(city), { id: 1, ...city });
  });

  it('says that there is no such city where an update or a delete meets none', async () => {
    const cities = testTemplate(template, { objects: { update: () => [], delete: () => 0 } });
    await assert.rejects(cities.update(7, { population: 5 }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
    await assert.rejects(cities.delete(7), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  });

  it('imports a list as one call', async () => {
    const cities = testTemplate(template, {
      objects: { import: ({ cities: json }) => [{ imported: (JSON.parse(json) as unknown[]).length }] },
    });
    assert.deepEqual(await cities.call('import', { cities: [vienna, graz] }), { imported: 2 });
    assert.equal(cities.calls.length, 1);
  });

  it('refuses an import that is no list, is empty or is too long', async () => {
    const cities = testTemplate(template);
    for (const wrong of ['Vienna', [], Array.from({ length: 2_001 }, () => vienna)]) {
      await assert.rejects(cities.call('import', { cities: wrong }), { field: 'payload.cities' });
    }
  });

  it('counts and sums by country', async () => {
    const totals = [{ country: 'AT', cities: 2, population: 1_913_794, largest: 1_691_468 }];
    const cities = testTemplate(template, { objects: { totals: () => totals, count: () => [{ value: 2 }] } });
    assert.deepEqual(await cities.call('totals', { country: 'AT' }), totals);
    assert.deepEqual(await cities.call('count', {}), { count: 2 });
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
    const cities = testTemplate(next, { views: { fetch: [{ ...vienna, feature_code: 'PPLC' }] } });
    const { rows } = await cities.fetch({ key: vienna.id });
    assert.equal(rows[0]?.feature_code, 'PPLC');
  });

  it('finds the nearest cities, five unless told otherwise', async () => {
    const cities = testTemplate(next, { objects: { nearest: ({ wanted }) => [{ wanted }] } });
    assert.deepEqual(await cities.call('nearest', { latitude: 48.2, longitude: 16.4 }), [{ wanted: 5 }]);
    await assert.rejects(cities.call('nearest', { latitude: 91, longitude: 0 }), { field: 'payload.latitude' });
  });
});
