#!/usr/bin/env node
import type { AuthorTools, ToolsPlace } from './author.js';
import { projectOf } from './domains.js';
import { AUTHOR_COMMANDS } from './index.js';
import { createOutput } from './output.js';
import { runProgram } from './program.js';

const HELP = {
  before: [
    'BEDS for authors of domains: from an empty folder to a domain that is live.',
    '',
    'Usage: npx beds <command>',
  ],
  after:
    'npx beds help <command> says more. Every command takes --json. The configuration is config/beds.toml and BEDS_* variables, ' +
    "as a host's. Commands for operators (status, deploy, rollback, …) come with the host.",
} as const;

/** What is made of host/author for this package: databases and hosts, as the host itself knows them. */
const TOOLS = new URL('../author-tools/index.js', import.meta.url);

async function main(): Promise<void> {
  process.setSourceMapsEnabled(true);
  const cwd = process.cwd();
  const projectRoot = projectOf(cwd);
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
          const { createTools } = (await import(TOOLS.href)) as { createTools: (place: ToolsPlace) => AuthorTools };
          return createTools({ projectRoot, env, signal: base.signal, note: base.out.note });
        },
      }),
    },
    { args: process.argv.slice(2), cwd, env },
  );
}

await main();
