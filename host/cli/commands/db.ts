import { directoriesOf } from '../../config/load.js';
import { applyObjects } from '../../dba/index.js';
import { cliErrors } from '../../errors/cli.js';
import { startServices } from '../../dev-servers/index.js';
import { EXIT, type Command } from '../command.js';
import { administeredStores } from '../resolve-config.js';

export const dbCommand: Command = {
  name: 'db',
  summary: "Put the DBA's objects (<domain>/db in plugins.directory) into their databases and grant them to the host.",
  usage: 'db apply [domain…] [--force]',
  options: { force: { type: 'boolean', description: 'Apply files again that are in place unchanged.' } },
  details:
    'Works as administrator: on the servers of BEDS_MARIADB_ADMIN_URL and BEDS_MONGODB_URL, else on the private servers of ' +
    'this checkout, which it starts for the while. Files go in by the order of their names; one that is in place unchanged is ' +
    'skipped. The account of the host gets EXECUTE on each routine and SELECT on each view, except those whose names begin ' +
    'with _, and nothing else. The host itself never changes a schema.',
  run: async ({ projectRoot, env, args: [verb, ...domains], options, out, json, config, signal }) => {
    if (verb !== 'apply') throw cliErrors.make('BEDS_CLI_ARGUMENT_INVALID', 'What db can do is: db apply [domain…].');
    const settings = config();
    const { state: directory, plugins: folder } = directoriesOf(projectRoot, settings);
    const services = await startServices({
      directory,
      need: ['mariadb', 'mongodb'],
      environment: env,
      signal,
      onProgress: ({ words }) => out.note(words),
    });
    try {
      const { applied, unchanged } = await applyObjects({
        stores: administeredStores(settings, services),
        ...{ folder, directory },
        domains,
        force: options['force'] === true,
        onProgress: (event) => {
          if (event.type === 'granted') out.note(`${event.store}: ${event.words}`);
          else if (event.type === 'applied') out.note(`${event.store}: applied ${event.file}`);
        },
      });
      if (json) out.value({ applied, unchanged });
      else out.line(`${String(applied)} files applied, ${String(unchanged)} in place already`);
      return EXIT.ok;
    } finally {
      await services.close();
    }
  },
};
