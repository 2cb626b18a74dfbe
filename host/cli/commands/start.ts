import { once } from 'node:events';
import type { Config } from '../../config/schema.js';
import { startHost } from '../../main.js';
import { type ServiceName, startServices } from '../../services/index.js';
import { EXIT, type Command, type CommandContext } from '../command.js';
import { liveConfig, servicesDirectory } from '../live-config.js';

export const startCommand: Command = {
  name: 'start',
  summary: 'Run a host until it is told to stop (SIGINT, SIGTERM).',
  usage: 'start',
  options: {},
  details:
    'The log goes to standard output, one JSON object a line. Servers that the configuration names no URL for are started ' +
    'as private servers of this checkout, and stopped at the end; `beds db apply` must have made their runtime accounts.',
  run: async (context) => {
    const services = await startServices({
      directory: servicesDirectory(context),
      need: needed(context.config()),
      onProgress: ({ words }) => {
        context.out.note(words);
      },
      signal: context.signal,
      environment: context.env,
    });
    try {
      return await serve(context);
    } finally {
      await services.close();
    }
  },
};

async function serve(context: CommandContext): Promise<number> {
  const host = await startHost({ config: liveConfig(context), projectRoot: context.projectRoot });
  try {
    if (!context.signal.aborted) await Promise.race([once(context.signal, 'abort'), host.failed]);
    return EXIT.ok;
  } finally {
    await host.stop();
  }
}

/** The private servers that stand in for URLs that are empty. */
function needed(config: Config): readonly ServiceName[] {
  const kinds = new Set(Object.values(config.stores).flatMap(({ kind, url }) => (url === '' ? [kind] : [])));
  return [
    ...(config.broker.url === '' ? (['rabbitmq'] as const) : []),
    ...(kinds.has('mysql') ? (['mariadb'] as const) : []),
    ...(kinds.has('mongodb') ? (['mongodb'] as const) : []),
  ];
}
