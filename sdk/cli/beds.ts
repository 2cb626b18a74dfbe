#!/usr/bin/env node
import type { AuthorTools, ToolsPlace } from './author.js';
import { configuredProjectOf } from './domains.js';
import { AUTHOR_COMMANDS } from './index.js';
import { createOutput } from './output.js';
import { runProgram } from './program.js';

const HELP = {
  before: ['BEDS for domain authors: from an empty folder to a live domain.', '', 'Usage: npx beds <command>'],
  after:
    'npx beds help <command> explains a command. Every command takes --json. The configuration is config/beds.toml and BEDS_* variables, ' +
    'as in a host. Commands for operators (status, deploy, rollback, …) come with the host.',
} as const;

/** Made of host/author: databases and hosts, as the host itself knows them. n.b. no literal: the compiler need not know it. */
const TOOLS = '@beds/tools' as string;

async function main(): Promise<void> {
  process.setSourceMapsEnabled(true);
  const cwd = process.cwd();
  const projectRoot = configuredProjectOf(cwd);
  const { env } = process;
  process.exitCode = await runProgram(
    {
      commands: new Map(AUTHOR_COMMANDS),
      help: HELP,
      createOutput,
      contextOf: (base) => ({
        ...base,
        projectRoot,
        beds: 'npx beds',
        tools: async () => {
          const { createTools } = (await import(TOOLS)) as { createTools: (place: ToolsPlace) => AuthorTools };
          return createTools({ projectRoot, env, signal: base.signal, note: base.out.note });
        },
      }),
    },
    { args: process.argv.slice(2), cwd, env },
  );
}

await main();
