import { basename, dirname } from 'node:path';
import type { AuthorContext } from './author.js';
import { type Command, EXIT } from './command.js';
import { commandErrors } from './command-errors.js';
import { findDomains } from './domains.js';

export const dbCommand: Command<AuthorContext> = {
  name: 'db',
  summary: "Apply the DBA's objects (<domain>/db) to their databases and grant them to the host.",
  usage: 'db apply [domain…] [--account <user>] [--force]',
  options: {
    account: {
      type: 'string',
      value: '<user>',
      description: 'The account of a host elsewhere, as its store.url names it. Default: one is made for this project.',
    },
    force: { type: 'boolean', description: 'Apply unchanged files again.' },
  },
  details:
    'Works as administrator, on the servers of BEDS_MARIADB_ADMIN_URL and BEDS_MONGODB_URL. Without them, in a checkout of BEDS, ' +
    'it starts private servers for the duration of the command. Files are applied in the order of their names; unchanged files ' +
    'are skipped. The account of the host gets EXECUTE on each routine and SELECT on each view, except those whose ' +
    'names begin with _, and nothing else. The host itself never changes a schema.',
  run: async (context) => {
    const { args, options, out, json, tools } = context;
    const [verb, ...names] = args;
    if (verb !== 'apply') throw commandErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'Use `db apply [domain…]`.');
    const byParent = new Map<string, string[]>();
    for (const { folder } of await findDomains({ ...context, args: names }, 'db')) {
      byParent.set(dirname(folder), [...(byParent.get(dirname(folder)) ?? []), basename(folder)]);
    }
    const total = { applied: 0, unchanged: 0 };
    for (const [folder, domains] of byParent) {
      const account = typeof options['account'] === 'string' ? options['account'] : undefined;
      const done = await (await tools()).applyObjects({ folder, domains, account, force: options['force'] === true });
      total.applied += done.applied;
      total.unchanged += done.unchanged;
    }
    if (json) out.value(total);
    else out.line(`${total.applied === 1 ? '1 file' : `${total.applied} files`} applied, ${total.unchanged} unchanged`);
    return EXIT.ok;
  },
};
