import { runProgram, type Invocation as ProgramInvocation } from '#sdk/cli';
import { createTools, type UseServers } from '../author/index.js';
import { directoriesOf, loadConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { COMMANDS } from './commands.js';
import { createOutput } from './output.js';

export interface Invocation extends ProgramInvocation {
  readonly projectRoot: string;
}

const HELP = {
  before: [
    'BEDS: a data backend reached only through RabbitMQ, with data domains that are swapped in at runtime.',
    '',
    'Usage: beds <command>, from a checkout: npm run beds -- <command>',
  ],
  after: 'beds help <command> explains a command. Every command takes --json. Tests: npm test [-- --help]',
} as const;

/** Runs one `beds` command. Resolves to the exit code; never rejects. */
export function main(invocation: Invocation): Promise<number> {
  const { projectRoot, env } = invocation;
  let loaded: Config | undefined;
  const config = (): Config => (loaded ??= loadConfig({ projectRoot, env }));
  return runProgram(
    {
      commands: COMMANDS,
      help: HELP,
      createOutput,
      contextOf: (base) => ({
        ...base,
        projectRoot,
        beds: 'npm run beds --',
        startHost: async (options) => {
          const place = { projectRoot, env, signal: base.signal, note: base.out.note };
          return (await import('./own-host.js')).startOwnHost(place, config(), options);
        },
        tools: () => {
          const place = { projectRoot, env, signal: base.signal, note: base.out.note };
          // Private servers of this checkout stand in for those that no variable names.
          const useServers: UseServers = async (need) =>
            (await import('../dev-servers/index.js')).startServices({
              directory: directoriesOf(projectRoot, config()).state,
              need,
              environment: env,
              signal: place.signal,
              onProgress: ({ words }) => place.note(words),
            });
          return Promise.resolve(createTools(place, useServers));
        },
        config,
      }),
    },
    invocation,
  );
}
