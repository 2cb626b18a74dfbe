import type { Specification } from '../spec/index.js';
import { SDK_VERSION } from '../template/sdk-version.js';
import type { StoreKind } from './author.js';

/** A domain to be started. */
export interface NewDomain {
  readonly domain: string;
  readonly store: string;
  readonly kind: StoreKind;
}

/** File names, with `/`, and what they hold. */
export type DomainFiles = Readonly<Record<string, string>>;

/** A domain that keeps records of a name: what its author goes on from. */
export function smallSpecification({ domain, store }: NewDomain): Specification {
  const record = singular(domain).replaceAll('-', '_').slice(0, MOST_CHARACTERS);
  const words = record.replaceAll('_', ' ');
  const added = { operation: 'create', arguments: [{ name: 'name', value: 'First' }] };
  return {
    ...{ beds: 1, domain, store, zone: 'UTC' },
    description: `The domain ${domain}.`,
    records: [
      {
        ...{ name: record, description: `One ${words}`, key: 'auto' },
        fields: [{ name: 'name', description: 'What it is called', type: 'text', max_length: 100 }],
        operations: ['create', 'update', 'delete'],
      },
    ],
    examples: [
      {
        description: `Adds one ${words}.`,
        given: [],
        call: added,
        expect: { outcome: 'ok', values: [{ name: 'name', value: 'First' }] },
      },
      {
        description: 'Every one has a name.',
        given: [],
        call: { operation: 'create', arguments: [] },
        expect: { outcome: 'error', error: 'invalid' },
      },
    ],
    assumptions: [],
    questions: [],
  };
}

/** Of a name in the language of specifications. */
const MOST_CHARACTERS = 30;

/** `songs` holds songs, one of them is a `song`. */
function singular(domain: string): string {
  if (domain.endsWith('ies')) return domain.replace(/ies$/, 'y');
  return /[^aius]s$/.test(domain) ? domain.slice(0, -1) : domain;
}

/** What a domain needs beside its files to be a project of its own: it replaces the package.json of the others. */
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
