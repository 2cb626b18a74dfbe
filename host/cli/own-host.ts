import { existsSync } from 'node:fs';
import { open as openInspector } from 'node:inspector';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import type { DevHost, HostLine, StartHostOptions, ToolsPlace } from '#sdk/cli';
import { readOwnerToken } from '../admin/orders.js';
import { findDevHost } from '../author/dev-host.js';
import { createTools } from '../author/index.js';
import { neededServers, resolveConfig, urlOfStore } from '../author/resolve-config.js';
import { directoriesOf } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { readRuntimeAccounts } from '../dba/index.js';
import { startServices } from '../dev-servers/index.js';
import { startHost } from '../main.js';
import { debuggedSources } from '../template/debugged-sources.js';

const INSPECTOR_PORT = 9_229;
/** A day: who stands at a breakpoint is no thread that hangs. */
const DEBUGGING_MS = 86_400_000;

/**
 * A host in this process for `beds dev`, with private servers for what the configuration leaves open, the objects of the
 * domains in their databases, and their log lines for the author.
 */
export async function startOwnHost(place: ToolsPlace, settings: Config, options: StartHostOptions): Promise<DevHost> {
  const { projectRoot, env: environment, signal, note } = place;
  const directory = directoriesOf(projectRoot, settings).state;
  const onProgress = ({ words }: { readonly words: string }): void => note(words);
  const servers = await startServices({ directory, need: neededServers(settings), environment, signal, onProgress });
  try {
    const tools = createTools(place, () => Promise.resolve({ ...servers, close: () => Promise.resolve() }));
    for (const { folder } of options.domains) {
      if (!existsSync(join(folder, 'db'))) continue;
      await tools.applyObjects({ folder: dirname(folder), domains: [basename(folder)], force: false });
    }
    const accounts = readRuntimeAccounts(directory);
    // Other domains of the project may have stores that nobody has prepared: they are not what is developed here.
    const ready = Object.entries(settings.stores).filter(
      ([name, store]) => urlOfStore(name, store, { servers, accounts }) !== undefined,
    );
    const resolved = resolveConfig({ ...settings, stores: Object.fromEntries(ready) }, servers, accounts);
    const config = options.inspect ? debugging(resolved) : resolved;
    if (options.inspect) {
      for (const { name, folder } of options.domains) debuggedSources.set(name, pathToFileURL(`${folder}/`).href);
      openInspector(INSPECTOR_PORT, '127.0.0.1');
    }
    const log = pino({ base: null }, { write: (line: string) => tell(line, options) });
    const host = await startHost({ config, projectRoot, log });
    const { url, prefix } = config.amqp;
    const session = (): Promise<string | undefined> => Promise.resolve(readOwnerToken(config, directory));
    const found = await findDevHost({
      ...{ url, prefix, session, signal: new AbortController().signal, limits: config.plugins },
    });
    if (found === undefined) throw new TypeError('a started host must answer');
    return {
      deploy: (path) => found.deploy(path),
      close: async () => {
        await found.close();
        await host.stop();
        await servers.close();
      },
    };
  } catch (error) {
    await servers.close();
    throw error;
  }
}

function debugging(config: Config): Config {
  const supervisor = { ...config.supervisor, stallTimeoutMs: DEBUGGING_MS };
  const limits = { ...config.limits, maxDeadlineMs: DEBUGGING_MS };
  return { ...config, supervisor, limits };
}

const LEVELS = { 30: 'info', 40: 'warn', 50: 'error', 60: 'error' } as const;

/** What the log has of these domains, and what is wrong with the host as a whole. */
function tell(line: string, { domains, onLine }: StartHostOptions): void {
  const { level, msg, domain, state, err, error, stack } = JSON.parse(line) as Readonly<Record<string, unknown>> & {
    readonly level: keyof typeof LEVELS;
  };
  const isOurs = domains.some(({ name }) => name === domain);
  // That a version goes from state to state is said by `dev` itself.
  const isKnown = isOurs && (state === undefined || level >= 50);
  if (!isKnown && level < 50) return;
  const trace = [stack, err, error].map((each) => (typeof each === 'object' ? (each as Error | null)?.stack : each));
  const detail = trace.find((each): each is string => typeof each === 'string');
  const told: HostLine = { level: LEVELS[level], text: String(msg), ...(detail === undefined ? {} : { detail }) };
  onLine(told);
}
