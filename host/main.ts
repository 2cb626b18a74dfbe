import { randomBytes } from 'node:crypto';
import type { Config } from './config/schema.js';
import { type Dashboard, type DashboardOptions, startDashboard } from './dashboard/start.js';
import { withOwnStores } from './roles.js';
import {
  createLog,
  isJournal,
  type Log,
  type LogOutput,
  type LogState,
  stdoutOutput,
  WrittenLines,
} from './observe/log.js';
import { loadAdapters } from './stores/factory.js';
import { LogTap } from './observe/log-tap.js';
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
  /** Undefined: it is not served here, or could not be started. */
  readonly dashboard: Pick<Dashboard, 'url' | 'urlWithKey'> | undefined;
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
  const { log, tap, logState, closeLog } = openLog(options);
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
    tap,
    onFatal: (error) => {
      fail(error);
    },
    makeAdapters,
  });
  let stopping: Promise<void> | undefined;
  let dashboard: Dashboard | undefined;
  const stop = (): Promise<void> => {
    stopping ??= Promise.all([dashboard?.close(), supervisor.stop()])
      .then(() => undefined)
      .finally(closeLog);
    return stopping;
  };
  try {
    await supervisor.start();
    dashboard = await openDashboard({ config, projectRoot, log, desk: supervisor.ownDesk });
  } catch (error) {
    await stop();
    throw error;
  }
  return { node: supervisor.node, dashboard, failed, stop };
}

/** n.b. callers are served without it: what keeps it from starting is no reason to serve nobody. */
async function openDashboard(options: DashboardOptions): Promise<Dashboard | undefined> {
  if (!options.config.dashboard.enabled) return undefined;
  try {
    return await startDashboard(options);
  } catch (err) {
    options.log.error({ err }, 'the dashboard could not be started; the host goes on without it');
    return undefined;
  }
}

interface OpenLog {
  readonly log: Log;
  readonly tap?: LogTap;
  readonly logState: () => LogState;
  readonly closeLog: () => Promise<void>;
}

function openLog({ config, log, logOutput }: HostOptions): OpenLog {
  if (log !== undefined)
    return { log, logState: () => ({ droppedLines: 0, waitingLines: 0 }), closeLog: () => Promise.resolve() };
  const output = logOutput ?? stdoutOutput();
  // n.b. a file of the log is read by nobody who takes priorities off.
  const hasPriorities = logOutput === undefined && isJournal(config.log.format);
  const lines = config.log.publish ? new WrittenLines() : undefined;
  return {
    log: createLog({ node: config.node.name, level: config.log.level, output, lines, hasPriorities }),
    ...(lines === undefined ? {} : { tap: new LogTap({ source: randomBytes(4).toString('hex'), lines }) }),
    logState: () => output.state,
    closeLog: () => output.close(LOG_CLOSE_MS),
  };
}
