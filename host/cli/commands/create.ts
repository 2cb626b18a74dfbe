import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { directoriesOf } from '../../config/load.js';
import { didYouMean } from '../../config/nearest.js';
import type { Config } from '../../config/schema.js';
import { cliErrors } from '../../errors/cli.js';
import { EXIT, type Command } from '../command.js';
import { domainFiles } from '../scaffold/domain-files.js';

const DOMAIN = /^[a-z][a-z0-9-]{0,62}$/;

export const createCommand: Command = {
  name: 'create',
  summary: 'Start a new domain: a template, its test and its database objects.',
  usage: 'create <domain> [--store <name>]',
  options: {
    store: {
      type: 'string',
      short: 's',
      value: '<name>',
      description: 'A [stores.*] of the configuration. Default: main.',
    },
  },
  details: 'The domain starts with records of an id and a name. It builds and passes its test as it is.',
  run: ({ projectRoot, cwd, args: [domain, ...more], options, config, out, json }) => {
    if (domain === undefined || more.length > 0 || !DOMAIN.test(domain)) {
      const message = 'Give the domain one name of lower-case letters, digits and -, a letter first.';
      throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
    }
    const { plugins } = directoriesOf(projectRoot, config());
    const folder = join(plugins, domain);
    const shown = relative(cwd, folder);
    if (existsSync(folder)) throw cliErrors.make('BEDS_CLI_TARGET_EXISTS', `There is a ${shown} already.`);
    const store = typeof options['store'] === 'string' ? options['store'] : 'main';
    const files = domainFiles({ domain, store, kind: kindOf(config(), store) });
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text, { flag: 'wx' });
    }
    if (json) out.value({ domain, store, folder, files: Object.keys(files) });
    else {
      for (const name of Object.keys(files)) out.line(join(shown, name));
      out.line('\nNext:');
      for (const step of nextSteps(domain, { plugins, projectRoot, cwd })) out.line(`  ${step}`);
    }
    return Promise.resolve(EXIT.ok);
  },
};

/** From the template to a served domain. */
function nextSteps(
  domain: string,
  { plugins, projectRoot, cwd }: { readonly plugins: string; readonly projectRoot: string; readonly cwd: string },
): readonly string[] {
  const beds = 'npm run beds --';
  // The tests that `npm test` knows are those of the checkout.
  const isInside = plugins === join(projectRoot, 'plugins');
  const out = isInside ? relative(cwd, plugins) || '.' : plugins;
  const test = isInside ? [`npm test -- ${domain}`] : [];
  return [...test, `${beds} db apply ${domain}`, `${beds} build ${domain} --file --out ${out}`];
}

function kindOf(config: Config, store: string): 'mysql' | 'mongodb' {
  const kind = config.stores[store]?.kind;
  if (kind !== undefined) return kind;
  const known = Object.keys(config.stores);
  const message = `The configuration has no store ${store}.${didYouMean(store, known)} Known: ${known.join(', ')}.`;
  throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', message);
}
