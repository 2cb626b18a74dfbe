import { SDK_VERSION } from '../../template/sdk-version.js';
import type { StoreKind } from '../author.js';
import { mongodbObjects } from './mongodb-objects.js';
import { mysqlObjects } from './mysql-objects.js';

/** A domain to be started. */
export interface NewDomain {
  readonly domain: string;
  readonly store: string;
  readonly kind: StoreKind;
}

/** File names, with `/`, and what they hold. */
type DomainFiles = Readonly<Record<string, string>>;

/** What differs between the kinds of databases in a new domain. */
interface Starter {
  /** Type of the key. */
  readonly keyType: 'integer' | 'string';
  /** Whether the caller of `create` gives the key, or the database makes it. */
  readonly keyIsGiven: boolean;
  readonly objects: (name: string) => DomainFiles;
}

const STARTERS: Readonly<Record<NewDomain['kind'], Starter>> = {
  mysql: { keyType: 'integer', keyIsGiven: false, objects: mysqlObjects },
  mongodb: { keyType: 'string', keyIsGiven: true, objects: mongodbObjects },
};

/** All files of a new domain that keeps records of an `id` and a `name`: it builds, and passes its test, as it is. */
export function domainFiles(asked: NewDomain): DomainFiles {
  const starter = STARTERS[asked.kind];
  return {
    'package.json': packageText(asked),
    'template.ts': templateText(asked, starter),
    [`${asked.domain}.test.ts`]: testText(starter),
    ...starter.objects(objectPrefix(asked.domain)),
  };
}

/** What a domain needs beside its files to be a project of its own: it replaces the package.json of `domainFiles`. */
export function projectFiles(asked: NewDomain): DomainFiles {
  const { domain, store, kind } = asked;
  const driver = kind === 'mysql' ? { mysql2: '^3.24.6' } : { mongodb: '^7.9.0' };
  const content = {
    name: domain,
    version: '1.0.0',
    private: true,
    description: `The domain ${domain}.`,
    type: 'module',
    scripts: { check: 'beds check', test: 'beds test', build: 'beds build --file', dev: 'beds dev' },
    dependencies: { '@beds/sdk': `^${SDK_VERSION}` },
    devDependencies: {
      ...{ '@beds/tools': `^${SDK_VERSION}`, '@types/node': '^20.19.0', esbuild: '^0.28.2' },
      ...{ ...driver, typescript: '~6.0.0' },
    },
    beds: { store },
  };
  return { 'package.json': `${JSON.stringify(content, undefined, 2)}\n`, ...workplaceFiles(asked, ['*.ts']) };
}

/** What a project needs once, however many domains it has: types, what git leaves out, and which databases there are. */
export function workplaceFiles({ store, kind }: NewDomain, include: readonly string[]): DomainFiles {
  const settings = { extends: '@beds/sdk/tsconfig.template.json', compilerOptions: { types: ['node'] }, include };
  const variable = `BEDS_STORES_${store.replaceAll('-', '_').toUpperCase()}_URL`;
  const admin = kind === 'mysql' ? 'BEDS_MARIADB_ADMIN_URL' : 'BEDS_MONGODB_URL';
  return {
    'tsconfig.json': `${JSON.stringify(settings, undefined, 2)}\n`,
    '.gitignore': 'node_modules/\ndist/\n.beds/\nconfig/env.toml\n',
    'config/beds.toml': `# The same keys as the host's. What is secret or differs between machines goes into config/env.toml, or into variables:
# BEDS_AMQP_URL, ${variable}. \`beds db apply\` works as the administrator of ${admin}.
${storeText({ store, kind })}`,
  };
}

/** A store in a configuration. */
export function storeText({ store, kind }: Pick<NewDomain, 'store' | 'kind'>): string {
  return `[stores.${store}]\nkind = "${kind}"\n`;
}

/** Databases do not like `-` in names. */
function objectPrefix(domain: string): string {
  return domain.replaceAll('-', '_');
}

function packageText({ domain, store }: NewDomain): string {
  const content = {
    name: `@beds-plugins/${domain}`,
    version: '1.0.0',
    private: true,
    description: `The domain ${domain}.`,
    type: 'module',
    dependencies: { '@beds/sdk': '*' },
    beds: { store },
  };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

function templateText({ domain, store }: NewDomain, { keyType, keyIsGiven }: Starter): string {
  const name = objectPrefix(domain);
  const created = keyIsGiven ? 'record' : `record.omit('id')`;
  const key = keyType === 'integer' ? 't.int()' : 't.string()';
  return `import { defineDomain, procedure, t, view } from '@beds/sdk';

const record = t.row({ id: ${key}, name: t.string() });

/** The DBA's objects are in db/; they are the only way to the data. */
export default defineDomain({
  name: '${domain}',
  version: '1.0.0',
  store: '${store}',
  key: 'id',
  create: procedure('${name}_create', ${created}, record),
  fetch: view('${name}_list', record),
  update: procedure('${name}_update', record.partial(), record),
  delete: procedure('${name}_delete', record.pick('id')),
});
`;
}

function testText({ keyType, keyIsGiven }: Starter): string {
  const id = keyType === 'integer' ? '1' : `'one'`;
  const record = `{ id: ${id}, name: 'First' }`;
  return `import assert from 'node:assert/strict';
import { it } from 'node:test';
import { testDomain } from '@beds/sdk/testing';
import template from './template.js';

const record = ${record};

it('create gives back the record that the database made', async () => {
  const domain = testDomain(template, { objects: { create: () => record } });
  assert.deepEqual(await domain.create(${keyIsGiven ? 'record' : `{ name: 'First' }`}), record);
});

it('fetch finds a record by its id', async () => {
  const domain = testDomain(template, { views: { fetch: [record] } });
  assert.deepEqual((await domain.fetch({ where: { id: ${id} } })).rows, [record]);
});

it('update says when there is no such record', async () => {
  const domain = testDomain(template, { objects: { update: () => undefined } });
  await assert.rejects(domain.update(${id}, { name: 'Second' }), { code: 'BEDS_TEMPLATE_NOT_FOUND' });
});
`;
}
