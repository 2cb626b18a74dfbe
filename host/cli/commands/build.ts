import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildTemplate } from '@beds/sdk/build';
import { directoriesOf } from '../../config/load.js';
import { cliErrors } from '../../errors/cli.js';
import { EXIT, type Command } from '../command.js';

export const buildCommand: Command = {
  name: 'build',
  summary: 'Build a domain into one bundle, ready to be dropped into a host.',
  usage: 'build <folder> [--out <dir>] [--file]',
  options: {
    out: {
      type: 'string',
      short: 'o',
      value: '<dir>',
      description: 'Where the bundle goes. Default: dist in the folder.',
    },
    file: { type: 'boolean', description: 'One .mjs file with the manifest inside, instead of a folder.' },
  },
  details: 'The folder is a path, or the name of a domain in plugins.directory; it holds template.ts (or .js).',
  run: async ({ projectRoot, cwd, args: [folder, ...more], options, config, out, json }) => {
    if (folder === undefined || more.length > 0) {
      throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Name the one folder that holds template.ts.');
    }
    // n.b. a path needs no configuration: a template is built where there is none, too.
    const entry =
      findEntry(resolve(cwd, folder)) ?? findEntry(join(directoriesOf(projectRoot, config()).plugins, folder));
    if (entry === undefined) {
      throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', `There is no template.ts in ${resolve(cwd, folder)}.`);
    }
    const outDir = typeof options['out'] === 'string' ? resolve(cwd, options['out']) : resolve(entry, '..', 'dist');
    const bundle = await buildTemplate({ entry, outDir, form: options['file'] === true ? 'file' : 'folder' });
    const { domain, version } = bundle.manifest;
    if (json) out.value({ path: bundle.path, bytes: bundle.bytes, domain, version });
    else out.line(`${domain} ${version}, ${bundle.bytes.toLocaleString('en')} bytes: ${bundle.path}`);
    return EXIT.ok;
  },
};

function findEntry(folder: string): string | undefined {
  const entries = [join(folder, 'template.ts'), join(folder, 'template.js'), folder];
  return entries.find((path) => existsSync(path) && statSync(path).isFile());
}
