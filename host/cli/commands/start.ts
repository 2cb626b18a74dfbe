import { EXIT } from '#sdk/cli';
import { once } from 'node:events';
import { readRuntimeAccounts } from '../../dba/index.js';
import { startHost } from '../../main.js';
import { type Services, startServices } from '../../dev-servers/index.js';
import type { Command, CommandContext } from '../command.js';
import { stateDirectory } from '../broker-of.js';
import { neededServers, resolveConfig } from '../../author/resolve-config.js';

export const startCommand: Command = {
  name: 'start',
  summary: 'Run a host until SIGINT or SIGTERM.',
  usage: 'start',
  options: {},
  details:
    'The log goes to standard output, one JSON object per line. Servers without a URL in the configuration are started ' +
    'as private servers of this checkout, and stopped at the end. Run `beds db apply` first: it creates their runtime accounts.',
  run: async (context) => {
    const services = await startServices({
      directory: stateDirectory(context),
      need: neededServers(context.config()),
      onProgress: ({ words }) => {
        context.out.note(words);
      },
      signal: context.signal,
      environment: context.env,
    });
    try {
      return await serve(context, services);
    } finally {
      await services.close();
    }
  },
};

async function serve(context: CommandContext, services: Services): Promise<number> {
  const accounts = readRuntimeAccounts(stateDirectory(context));
  const config = resolveConfig(context.config(), services, accounts);
  const host = await startHost({ config, projectRoot: context.projectRoot });
  try {
    if (!context.signal.aborted) await Promise.race([once(context.signal, 'abort'), host.failed]);
    return EXIT.ok;
  } finally {
    await host.stop();
  }
}
