import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TypesOf } from '@beds/sdk';
import { connectBeds } from '@beds/sdk/client';
import { buildTemplate } from '@beds/sdk/build';
import { MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import { buildBundles, dropBundle } from '../host/cli/demo/bundles.js';
import { readCities, readCountries } from '../host/cli/demo/data.js';
import { configSchema } from '../host/config/schema.js';
import { applyObjects } from '../host/dba/index.js';
import { startHost } from '../host/main.js';
import type next from '../plugins/cities/next/template.js';
import type cities from '../plugins/cities/template.js';
import type countries from '../plugins/countries/template.js';
import { eventually } from './support/eventually.js';
import { deleteTopology } from './support/delete-topology.js';
import { sharedServices, temporaryDirectory } from './support/services.js';

/** Germany, its neighbours, and what else is needed to tell a region from a subregion. */
const LOADED = ['DE', 'AT', 'BE', 'CZ', 'DK', 'FR', 'LU', 'NL', 'PL', 'CH', 'LI', 'MC', 'SE', 'JP'];
const SWAP_WITHIN_MS = 10_000;

// node:test runs these hooks in their order: what is ended here must end before the servers do.
const endings: (() => Promise<unknown>)[] = [];
after(async () => {
  for (const end of endings.toReversed()) await end();
});

const { rabbitmq, mariadb, mongodb } = await sharedServices(['rabbitmq', 'mariadb', 'mongodb']);
assert.ok(rabbitmq && mariadb && mongodb);

const name = `t${randomBytes(5).toString('hex')}`;
const urlOf = (url: string): string => Object.assign(new URL(url), { pathname: `/${name}` }).href;
const projectRoot = temporaryDirectory({ after: (work) => endings.push(async () => work()) });
const pluginsDirectory = join(projectRoot, 'plugins');

const admin = await mysql.createConnection(mariadb.url);
const mongo = new MongoClient(urlOf(mongodb.url));
await admin.query(`CREATE DATABASE ${name}`);
const { urls } = await applyObjects({
  stores: {
    main: { kind: 'mysql', adminUrl: urlOf(mariadb.url) },
    documents: { kind: 'mongodb', adminUrl: urlOf(mongodb.url) },
  },
  folder: 'plugins',
  directory: projectRoot,
  domains: ['cities', 'countries'],
});
endings.push(async () => {
  await admin.query(`DROP DATABASE ${name}`);
  await admin.query(`DROP USER '${new URL(urls['main'] ?? '').username}'@'%'`);
  await admin.end();
  await mongo.db().dropDatabase();
  await mongo.close();
});

const bundles = await buildBundles(process.cwd(), join(projectRoot, 'built'));
await dropBundle(bundles.cities, pluginsDirectory);
await dropBundle(bundles.countries, pluginsDirectory);
endings.push(() => deleteTopology(rabbitmq.url, name, { domains: ['cities', 'countries'] }));
const host = await startHost({
  config: configSchema.parse({
    node: { name },
    amqp: { url: rabbitmq.url, prefix: name },
    threads: { default: { count: 2 } },
    stores: { main: { kind: 'mysql', url: urls['main'] }, documents: { kind: 'mongodb', url: urls['documents'] } },
  }),
  projectRoot,
  log: pino({ level: 'silent' }),
});
endings.push(() => host.stop());
const client = await connectBeds({ url: rabbitmq.url, name: 'test', exchange: `${name}.request` });
endings.push(() => client.close());
const ofCities = client.domain<typeof cities>('cities');
const ofCountries = client.domain<typeof countries>('countries');

type CityInput = TypesOf<typeof cities>['operations']['import']['input']['cities'][number];
type CountryInput = TypesOf<typeof countries>['operations']['import']['input']['countries'][number];

// What was prepared as JSON is checked by the domain.
const loadedCities = (readCities() as unknown as readonly CityInput[]).filter(({ country }) =>
  LOADED.includes(country),
);

test('an import of real cities and countries goes in over AMQP, and a second one changes nothing', async () => {
  const some = loadedCities.slice(0, 500);
  for (const round of [1, 2]) {
    assert.deepEqual(await ofCities.import({ cities: some }), { imported: 500 }, String(round));
    const chosen = (readCountries() as unknown as readonly CountryInput[]).filter(({ code }) => LOADED.includes(code));
    assert.deepEqual(await ofCountries.import({ countries: chosen }), { imported: LOADED.length });
  }
  for (let start = 500; start < loadedCities.length; start += 1_000) {
    await ofCities.import({ cities: loadedCities.slice(start, start + 1_000) }, { deadlineMs: 30_000 });
  }
  assert.deepEqual(await ofCities.count(), { count: loadedCities.length });
  assert.deepEqual(await ofCountries.count(), { count: LOADED.length });
});

test('cities: created, fetched, changed and deleted; missing and refused records give different errors', async () => {
  const created = await ofCities.create({ name: 'Neustadt', country: 'AT', latitude: 47.8, longitude: 16.2 });
  const { id } = created;
  const { rows } = await ofCities.fetch({ key: id });
  assert.deepEqual([rows[0]?.name, rows[0]?.population, rows[0]?.latitude], ['Neustadt', 0, 47.8]);
  assert.match(rows[0]?.updated_at ?? '', /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.equal((await ofCities.update(id, { population: 45_000 })).population, 45_000);
  await assert.rejects(ofCities.update(id, { population: -1 }), { code: 'BEDS_STORE_REFUSED', message: /negative/ });
  await assert.rejects(ofCities.create({ id, name: 'Twice', country: 'AT', latitude: 0, longitude: 0 }), {
    code: 'BEDS_STORE_CONFLICT',
  });
  await ofCities.delete(id);
  await assert.rejects(ofCities.delete(id), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  assert.deepEqual((await ofCities.fetch({ key: id })).rows, []);
});

test('countries: created, fetched, changed and deleted; missing and refused records give different errors', async () => {
  const atlantis = { code: 'ZZ', code3: 'ZZZ', name: 'Atlantis', region: 'Oceania', neighbours: [] };
  assert.deepEqual(await ofCountries.create(atlantis), { affected: 1 });
  await assert.rejects(ofCountries.create(atlantis), { code: 'BEDS_STORE_CONFLICT' });
  const changed = await ofCountries.update('ZZ', { capital: 'Poseidonia', area_km2: 12.5 });
  assert.deepEqual([changed.capital, changed.area_km2, changed.name], ['Poseidonia', 12.5, 'Atlantis']);
  const { rows } = await ofCountries.fetch({ where: { region: 'Oceania' } });
  assert.deepEqual(
    rows.map(({ code }) => code),
    ['ZZ'],
  );
  await ofCountries.delete('ZZ');
  await assert.rejects(ofCountries.delete('ZZ'), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
  await assert.rejects(ofCountries.update('ZZ', { capital: 'Lost' }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
});

test('all cities of a country come page by page, none twice and none left out', async () => {
  const seen: number[] = [];
  for await (const { rows } of ofCities.fetchAll({
    where: { country: 'CH' },
    order: [{ column: 'name' }],
    limit: 300,
  })) {
    seen.push(...rows.map(({ id }) => id));
  }
  const expected = loadedCities.filter(({ country }) => country === 'CH').map(({ id }) => id);
  assert.deepEqual([...seen].sort(), [...expected].sort());
});

test('a profile is one request and dozens of concurrent calls across both databases', async () => {
  const profile = await ofCountries.profile({ code: 'DE' });
  assert.ok(profile.calls >= 48, `only ${String(profile.calls)} calls`);
  assert.equal(profile.capital?.name, 'Berlin');
  assert.deepEqual(
    profile.cities.largest.map(({ name }) => name),
    ['Berlin', 'Hamburg', 'Munich', 'Köln', 'Frankfurt am Main'],
  );
  const ofGermany = loadedCities.filter(({ country }) => country === 'DE');
  assert.equal(profile.cities.cities, ofGermany.length);
  assert.equal(
    profile.cities.population,
    ofGermany.reduce((sum, { population }) => sum + Number(population), 0),
  );
  assert.deepEqual(
    profile.neighbours.map(({ code }) => code),
    ['AT', 'BE', 'CZ', 'DK', 'FR', 'LU', 'NL', 'PL', 'CH'],
  );
  assert.deepEqual([profile.region.name, profile.region.countries, profile.region.rank], ['Europe', 13, 1]);
});

test('cities 1.1.0 takes over from 1.0.0 between two requests and can do more', async () => {
  const { rows: before } = await ofCities.fetch({ where: { name: 'Berlin' } });
  assert.ok(!('feature_code' in (before[0] ?? {})));
  const byNext = client.domain<typeof next>('cities');
  await assert.rejects(byNext.call('nearest', { latitude: 52.5, longitude: 13.4 }));
  await dropBundle(bundles.citiesNext, pluginsDirectory);
  const isNext = async (): Promise<boolean> => {
    const { rows } = await byNext.fetch({ where: { name: 'Berlin', country: 'DE' } });
    assert.equal(rows.length, 1);
    return rows[0]?.feature_code === 'PPLC';
  };
  await eventually('the new version serves', isNext, SWAP_WITHIN_MS);
  const near = await byNext.call('nearest', { latitude: 52.52, longitude: 13.41, limit: 1 });
  assert.deepEqual(
    near.map((city) => city.country),
    ['DE'],
  );
});

test('the two versions of cities are built from the same tree, to the same bytes each time', async () => {
  const again = await buildTemplate({
    entry: join('plugins', 'cities', 'next', 'template.ts'),
    outDir: join(projectRoot, 'again'),
    form: 'file',
  });
  assert.equal(again.bytes, bundles.citiesNext.bytes);
  assert.deepEqual([bundles.cities.version, bundles.citiesNext.version], ['1.0.0', '1.1.0']);
});
