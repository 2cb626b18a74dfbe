import { relative, resolve } from 'node:path';
import { buildTemplate } from '../build/index.js';
import type { AuthorContext } from './author.js';
import { type Command, EXIT } from './command.js';
import { entryOf, findDomains } from './domains.js';

export const buildCommand: Command<AuthorContext> = {
  name: 'build',
  summary: 'Build a domain into one bundle for the plugin directory of a host.',
  usage: 'build [domain…] [--out <dir>] [--file]',
  options: {
    out: {
      type: 'string',
      short: 'o',
      value: '<dir>',
      description: 'Output directory. Default: dist in the folder of the domain.',
    },
    file: { type: 'boolean', description: 'Write one .mjs file with the manifest inside, instead of a folder.' },
  },
  details:
    'Name each domain by its path, or by its name in plugins.directory. Its folder holds template.ts (or .js). Default: the working ' +
    'directory, or every domain in it.',
  run: async (context) => {
    const { cwd, options, out, json } = context;
    const built: { path: string; bytes: number; domain: string; version: string }[] = [];
    for (const { folder } of await findDomains(context, 'template')) {
      const outDir = typeof options['out'] === 'string' ? resolve(cwd, options['out']) : resolve(folder, 'dist');
      const form = options['file'] === true ? 'file' : 'folder';
      const bundle = await buildTemplate({ entry: entryOf(folder) ?? folder, outDir, form });
      const { domain, version } = bundle.manifest;
      built.push({ path: bundle.path, bytes: bundle.bytes, domain, version });
      const size = bundle.bytes.toLocaleString('en');
      if (!json) out.line(`${domain} ${version}, ${size} bytes: ${relative(cwd, bundle.path)}`);
    }
    if (json) out.value(built.length === 1 ? built[0] : built);
    return EXIT.ok;
  },
};
