import type { Config } from './config/schema.js';
import { createLog, type Log } from './observe/log.js';
import { Supervisor } from './supervisor/supervisor.js';
import { letHeapsGrow } from './supervisor/threads/heap-growth.js';

export interface HostOptions {
  /** Validated and complete: every URL is known. */
  readonly config: Config;
  /** Directories of the configuration are relative to it. */
  readonly projectRoot: string;
  /** Default: JSON lines on standard output. */
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
export async function startHost({ config, projectRoot, log }: HostOptions): Promise<Host> {
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  letHeapsGrow();
  const supervisor = new Supervisor({
    config,
    projectRoot,
    log: log ?? createLog({ node: config.node.name, level: config.log.level }),
    onFatal: (error) => {
      fail(error);
    },
  });
  try {
    await supervisor.start();
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  return { node: supervisor.node, failed, stop: () => supervisor.stop() };
}
