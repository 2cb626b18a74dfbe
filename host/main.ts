import type { Config } from './config/schema.js';
import { withOwnStores } from './roles.js';
import { createLog, type Log, type LogOutput, type LogState, stdoutOutput } from './observe/log.js';
import { loadAdapters } from './stores/factory.js';
import { Supervisor } from './supervisor.js';

/** What a host that has ended waits for whoever reads its log. */
const LOG_CLOSE_MS = 500;

export interface HostOptions {
  /** Validated and complete: every URL is known. */
  readonly config: Config;
  /** Directories of the configuration are relative to it. */
  readonly projectRoot: string;
  /** Where the JSON lines of the log go; it is closed with the host. Default: standard output. */
  readonly logOutput?: LogOutput;
  /** A log that is opened already, in place of `logOutput`. */
  readonly log?: Log;
}

/** A host that serves. */
export interface Host {
  readonly node: string;
  /** Rejects when the host cannot go on; never resolves. */
  readonly failed: Promise<never>;
  /** Ends in order, bounded by supervisor.drainTimeoutMs; a second call joins the first. */
  stop(): Promise<void>;
}

/** Starts a host in this process; resolves when it serves what its plugin directory holds. */
export async function startHost(options: HostOptions): Promise<Host> {
  const { projectRoot } = options;
  const config = withOwnStores(options.config);
  const makeAdapters = await loadAdapters(config.stores);
  const { log, logState, closeLog } = openLog(options);
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  const supervisor = new Supervisor({
    config,
    projectRoot,
    log,
    logState,
    onFatal: (error) => {
      fail(error);
    },
    makeAdapters,
  });
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= supervisor.stop().finally(closeLog));
  try {
    await supervisor.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { node: supervisor.node, failed, stop };
}

interface OpenLog {
  readonly log: Log;
  readonly logState: () => LogState;
  readonly closeLog: () => Promise<void>;
}

function openLog({ config, log, logOutput }: HostOptions): OpenLog {
  if (log !== undefined)
    return { log, logState: () => ({ droppedLines: 0, waitingLines: 0 }), closeLog: () => Promise.resolve() };
  const output = logOutput ?? stdoutOutput();
  return {
    log: createLog({ node: config.node.name, level: config.log.level, output }),
    logState: () => output.state,
    closeLog: () => output.close(LOG_CLOSE_MS),
  };
}
